/** What the editor shows first, by language: each shows something that only live output can. */
export const programs: Readonly<Record<string, string>> = {
  python: `import sys, time

# A progress bar redraws its line; what goes to stderr has another colour.
for done in range(41):
    bar = "█" * done + "·" * (40 - done)
    print(f"\\r{bar} {done / 40:4.0%}", end="" if done < 40 else "\\n", file=sys.stderr, flush=True)
    time.sleep(0.05)

for name, colour in [("red", 31), ("green", 32), ("blue", 34)]:
    print(f"\\x1b[{colour}m{name}\\x1b[0m", "is a colour", flush=True)
    time.sleep(0.4)

class Table:
    """Shown below the output: as HTML, in a frame that can run nothing."""
    def _repr_html_(self):
        rows = "".join(f"<tr><td>{n}</td><td>{n * n}</td></tr>" for n in range(1, 6))
        return f"<table border=1 cellpadding=4><tr><th>n</th><th>n²</th></tr>{rows}</table>"

Table()
`,
  javascript: `const pause = (ms) => new Promise((done) => setTimeout(done, ms));

for (let step = 1; step <= 5; step += 1) {
  console.log(\`step \${step} of 5\`);
  if (step === 3) console.error("this line went to stderr");
  await pause(500);
}
[1, 2, 3].map((n) => n ** 2);
`,
};
