# `sys.stdout`, `sys.stderr`, `sys.stdin`, `print` and `input`.
#
# Every write goes to the pipe at once. What reads input is in `asking`: few programs do.

import builtins
import io
import os
import sys


def write_all(fd, data):
    view = memoryview(data).cast("B")
    size = len(view)
    while view:
        try:
            view = view[os.write(fd, view):]
        except BlockingIOError:
            # A child process (node does it) has made the pipe it shares with us non-blocking.
            os.set_blocking(fd, True)
    return size


class RawOut(io.BufferedIOBase):
    """`sys.stdout.buffer`: unbuffered."""

    def __init__(self, fd, name):
        self.fd, self.name, self.mode = fd, name, "wb"

    def writable(self):
        return True

    def fileno(self):
        return self.fd

    def write(self, data):
        return write_all(self.fd, data)

    def close(self):
        pass


class TextOut(io.TextIOBase):
    """`sys.stdout`: every write goes to the pipe at once, so that nothing waits for a newline or a flush."""

    encoding, errors, newlines, line_buffering, write_through, mode = "utf-8", "backslashreplace", None, True, True, "w"

    def __init__(self, fd, name):
        self.fd, self.name = fd, name
        self.buffer = RawOut(fd, name)

    def writable(self):
        return True

    def fileno(self):
        return self.fd

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            write_all(self.fd, text.encode("utf-8", "backslashreplace"))
        return len(text)

    def reconfigure(self, **_):
        pass  # there is nothing to configure: no buffer, one encoding

    def close(self):
        pass  # a program that closes its output must not take it from the next one


class TextIn(io.TextIOBase):
    """`sys.stdin`: asks over the control channel when the cell may, else is at its end."""

    encoding, errors, newlines, name, mode = "utf-8", "strict", None, "<stdin>", "r"

    def __init__(self):
        self.start(None)

    def start(self, nonce):
        """Begins a cell; without a nonce there is no input."""
        self.nonce, self.pending, self.at_end = nonce, "", nonce is None

    def readable(self):
        return True

    def fileno(self):
        return 0

    @property
    def buffer(self):
        from _agb import asking

        self.__dict__["buffer"] = raw = asking.RawIn(self)
        return raw

    def readline(self, size=-1, prompt=""):
        from _agb import asking

        return asking.readline(self, size, prompt)

    def read(self, size=-1):
        from _agb import asking

        return asking.read(self, size)

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def close(self):
        pass


stdout, stderr, stdin = TextOut(1, "<stdout>"), TextOut(2, "<stderr>"), TextIn()
builtin_print = builtins.print


def print(*values, sep=" ", end="\n", file=None, flush=False):
    """Prints the values to a stream, or to sys.stdout by default.

    sep
      string inserted between values, default a space.
    end
      string appended after the last value, default a newline.
    file
      a file-like object (stream); defaults to the current sys.stdout.
    flush
      whether to forcibly flush the stream.
    """
    # The built-in one writes the text and the newline apart: two system calls, and a reader would see them apart.
    target = sys.stdout if file is None else file
    if type(target) is not TextOut:
        return builtin_print(*values, sep=sep, end=end, file=file, flush=flush)
    sep = " " if sep is None else sep
    end = "\n" if end is None else end
    if not (isinstance(sep, str) and isinstance(end, str)):
        return builtin_print(*values, sep=sep, end=end, file=file, flush=flush)  # raises what it raises
    target.write(sep.join([str(value) for value in values]) + end)


def input(prompt="", /):
    """Read a string from standard input.  The trailing newline is stripped.

    The prompt string, if given, is shown to whoever answers. When nobody does, EOFError is raised.
    """
    prompt = str(prompt)
    if sys.stdin is not stdin:
        stdout.write(prompt)
        line = sys.stdin.readline()
    else:
        if stdin.at_end:
            stdout.write(prompt)  # nobody is asked, so it is plain output
        line = stdin.readline(prompt=prompt)
    if not line:
        raise EOFError("EOF when reading a line: this run has no input to give")
    return line[:-1] if line.endswith("\n") else line


def install():
    sys.stdout, sys.stderr, sys.stdin = sys.__stdout__, sys.__stderr__, sys.__stdin__ = stdout, stderr, stdin
    for function in (print, input):
        function.__module__, function.__qualname__ = "builtins", function.__name__
        setattr(builtins, function.__name__, function)
