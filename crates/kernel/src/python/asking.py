# What a program does with `sys.stdin`: asking over the control channel for what it reads.

import io

from _agb.control import control, quote


def ask(stream, prompt=""):
    """Adds what comes to `stream.pending`; false at the end."""
    if stream.at_end or not control.is_ours():
        return False
    with control.lock:
        control.send('{"type":"input","nonce":%s,"prompt":%s}' % (quote(stream.nonce), quote(prompt)))
        while True:
            message = control.receive()
            if message["type"] == "stdin" and message["nonce"] == stream.nonce:
                break
    stream.pending += message["data"]
    stream.at_end = message["eof"]
    return not stream.at_end


def readline(stream, size, prompt):
    if not stream.pending and ask(stream, prompt) and not stream.pending.endswith("\n"):
        stream.pending += "\n"  # what was sent in one piece is a line
    end = stream.pending.find("\n") + 1 or len(stream.pending)
    if size is not None and size >= 0:
        end = min(end, size)
    line, stream.pending = stream.pending[:end], stream.pending[end:]
    return line


def read(stream, size):
    while (size is None or size < 0 or len(stream.pending) < size) and ask(stream):
        pass
    end = len(stream.pending) if size is None or size < 0 else size
    text, stream.pending = stream.pending[:end], stream.pending[end:]
    return text


class RawIn(io.RawIOBase):
    """`sys.stdin.buffer`, over the same text."""

    name, mode = "<stdin>", "rb"

    def __init__(self, text):
        self.text, self.rest = text, b""

    def readable(self):
        return True

    def fileno(self):
        return 0

    def readinto(self, target):
        if not self.rest:
            self.rest = self.text.readline().encode("utf-8", "surrogateescape")
        size = min(len(target), len(self.rest))
        target[:size], self.rest = self.rest[:size], self.rest[size:]
        return size
