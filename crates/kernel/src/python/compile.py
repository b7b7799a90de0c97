import marshal, sys
parts = sys.stdin.buffer.read().decode().split("\0")
names = ["loader", *parts[1::2]]
codes = [compile(part, "<agb:%s>" % name, "exec", 0, True) for name, part in zip(names, parts[::2])]
codes = [marshal.dumps(code) for code in codes]
flat = codes[:1] + [one for pair in zip(names[1:], codes[1:]) for one in pair]
sys.stdout.buffer.write(sys.version.encode() + b"\0" + marshal.dumps(flat))
