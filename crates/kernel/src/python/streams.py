# `sys.stdout`, `sys.stderr`, `sys.stdin`: Python's own kinds of streams, new ones for each run.
#
# What is printed goes to the pipe when it is complete. `print` looks up `write` and calls it for each part of a line,
# from C code: the calling function is at the same instruction both times. A function that calls `write` itself is not.
# So the first part of a print can wait for the rest, and what is written directly goes at once. A print may also end
# without a newline: from its second part on, a thread looks after the stream and writes what nobody has completed.

import _io
import _thread
import io
import os
import sys
import time

from _agb import imports

PAUSE = 0.005  # seconds: shorter than anybody sees, longer than the parts of one print are apart
KEPT = 1000  # duplicates of the descriptors 0, 1 and 2 are kept from this number on, where no program looks
MOST_STREAMS = 100  # of a program's own, one inside the other, that are flushed: nobody has ten

getframe, getrefcount, Method = sys._getframe, sys.getrefcount, type(imports.load)
base_write, base_flush = _io.TextIOWrapper.write, _io.TextIOWrapper.flush
base_buffer, file_number = _io.TextIOWrapper.buffer.__get__, _io.TextIOWrapper.fileno
base_readline, base_read = _io.TextIOWrapper.readline, _io.TextIOWrapper.read


def write_all(fd, data):
    view = memoryview(data).cast("B")
    while view:
        try:
            view = view[os.write(fd, view):]
        except BlockingIOError:
            os.set_blocking(fd, True)


class BytesOut(_io.BufferedWriter):
    """`sys.stdout.buffer`: what is written is on its way when `write` returns."""

    def write(self, data):
        partial.flush()  # what was printed before
        make_blocking(self.fileno())
        size = _io.BufferedWriter.write(self, data)
        _io.BufferedWriter.flush(self)
        return size


def make_blocking(fd):
    """A child process (node does it) may have made the pipe non-blocking that it shares with us."""
    try:
        if not os.get_blocking(fd):
            os.set_blocking(fd, True)
    except OSError:
        pass  # it was closed: whoever writes is told


class LookedUp:
    """A method of a stream that knows where it was looked up."""

    frame, instruction = 0, 0

    def __init__(self, function):
        self.function = function

    def __get__(self, stream, kind=None):
        frame = getframe(1)
        LookedUp.frame, LookedUp.instruction = id(frame), frame.f_lasti
        return Method(self.function, stream)


def write(stream, text):
    frame = getframe(1)
    if question.place is not None and question.is_asked(frame):
        question.prompt += text
        return len(text)
    make_blocking(file_number(stream))
    size = base_write(stream, text)
    if str.find(text, "\n") >= 0 or str.find(text, "\r") >= 0:  # a class of the program's may lie about itself
        partial.discard(stream)  # it is written
    elif LookedUp.instruction != frame.f_lasti or LookedUp.frame != id(frame) or size == 0:
        flush(stream)  # not of a print, or the end of `print(…, end="")`
    else:
        partial.add(stream)
    return size


def flush(stream):
    if question.place is not None and question.is_asked(getframe(1)):
        return  # `input` begins: the prompt belongs to the request
    base_flush(stream)
    partial.discard(stream)


class TextOut(_io.TextIOWrapper):
    write, flush = LookedUp(write), LookedUp(flush)

    def __init__(self, fd, name):
        raw = _io.FileIO(fd, "wb", closefd=False)
        raw.name = name
        super().__init__(_io.BufferedWriter(raw), "utf-8", "backslashreplace", "\n", True)
        self.mode = "w"
        self.bytes = BytesOut(raw)

    @property
    def buffer(self):
        return self.bytes if base_buffer(self) is not None else None


class Question:
    """What `input` does before it reads: it asks for the number of `sys.stdin`, writes the prompt and flushes it. What
    is written at the same place of the same function is the prompt of a request and not printed."""

    place = None
    prompt = ""

    def begin(self, frame):
        self.place, self.prompt = (id(frame), frame.f_lasti), ""

    def is_asked(self, frame):
        return self.place is not None and self.place == (id(frame), frame.f_lasti)

    def end(self):
        prompt, self.place, self.prompt = self.prompt, None, ""
        return prompt


class Partial:
    """The streams that hold a part of a line."""

    def __init__(self):
        self.streams = set()
        self.is_watched = False

    def add(self, stream):
        if stream not in self.streams:
            self.streams.add(stream)
        elif not self.is_watched:
            self.is_watched = True
            _thread.start_new_thread(self.watch, ())

    def discard(self, stream):
        self.streams.discard(stream)

    def flush(self):
        while self.streams:
            try:
                base_flush(self.streams.pop())
            except (ValueError, OSError, KeyError):
                pass  # it was closed meanwhile, or written by another thread

    def watch(self):
        try:
            while self.streams:
                time.sleep(PAUSE)
                self.flush()
        finally:
            self.is_watched = False

    def forked(self):
        self.is_watched = False


class RawIn(io.RawIOBase):
    """Asks over the control channel when the cell may, else is at its end."""

    def __init__(self, nonce):
        self.name, self.nonce, self.at_end = "<stdin>", nonce, nonce is None
        self.rest, self.as_lines = b"", True

    def readable(self):
        return True

    def fileno(self):
        return 0

    def readinto(self, target):
        if not self.rest and not self.at_end:
            from _agb import asking

            partial.flush()  # the text that asks comes before the request
            data, self.at_end = asking.ask(self.nonce, question.end())
            if data and self.as_lines and not data.endswith("\n"):
                data += "\n"  # what was sent in one piece is a line
            self.rest = str.encode(data, "utf-8", "surrogateescape")
        size = min(len(target), len(self.rest))
        target[:size], self.rest = self.rest[:size], self.rest[size:]
        return size


class TextIn(_io.TextIOWrapper):
    def __init__(self, nonce):
        self.raw = RawIn(nonce)
        super().__init__(_io.BufferedReader(self.raw), "utf-8", "strict")
        self.mode = "r"

    def fileno(self):
        partial.flush()
        question.begin(getframe(1))
        return 0

    def readline(self, size=-1, /):
        if not question.is_asked(getframe(1)):
            question.end()
        try:
            return base_readline(self, size)
        finally:
            prompt = question.end()
            if prompt:
                streams.stdout.write(prompt)  # nobody had to be asked, so it is plain output

    def read(self, size=-1, /):
        self.raw.as_lines = False
        try:
            return base_read(self, size)
        finally:
            self.raw.as_lines = True

    def ask(self, prompt):
        """A line for who asks without printing; empty at the end."""
        question.prompt = prompt
        try:
            return base_readline(self)
        finally:
            question.end()


def count(stranger):
    return getrefcount(stranger)


class Streams:
    """The streams of the run, and the descriptors below them."""

    def __init__(self):
        self.kept = []  # duplicates of descriptors 0, 1 and 2
        self.strangers = [_io.StringIO()]  # what programs have put in place of the streams, while somebody uses it
        self.unused = [count(one) for one in self.strangers][0]
        self.begin(None)

    def keep(self):
        for fd in range(3):
            try:
                self.kept.append(os.dup2(fd, KEPT + fd, False))
            except OSError:
                self.kept.append(os.dup(fd))  # the limit is lower

    def begin(self, nonce):
        """New streams, whatever has become of the old ones, on the descriptors that the interpreter began with."""
        self.stdout, self.stderr, self.stdin = TextOut(1, "<stdout>"), TextOut(2, "<stderr>"), TextIn(nonce)
        self.own = self.stdout, self.stderr
        self.put_back()
        sys.__stdout__, sys.__stderr__, sys.__stdin__ = sys.stdout, sys.stderr, sys.stdin
        question.end()

    def put_back(self):
        """What stands in place of the streams goes. If that closes its descriptor, it does so now and not later."""
        self.strangers += [getattr(sys, name, None) for name in ("stdout", "stderr")]
        sys.stdout, sys.stderr, sys.stdin = self.stdout, self.stderr, self.stdin
        self.strangers = [one for one in self.strangers if self.is_used(one)]
        for fd, kept in enumerate(self.kept):
            os.dup2(kept, fd)

    def is_used(self, stranger):
        return isinstance(stranger, _io._IOBase) and stranger not in self.own and count(stranger) > self.unused

    def flush(self):
        """Delivers what was written into whatever stands in place of the streams, through any depth of buffers."""
        seen, waiting = [], [getattr(sys, "stderr", None), getattr(sys, "stdout", None)]
        while waiting and len(seen) < MOST_STREAMS:
            stream = waiting.pop()
            if stream is None or any(stream is one for one in seen):
                continue
            seen.append(stream)
            try:
                stream.flush()
            except KeyboardInterrupt:
                raise
            except BaseException:
                pass  # it was closed, or has nothing to flush
            try:
                # A program's own class may have streams that its `flush` does not know of.
                waiting += [one for one in vars(stream).values() if hasattr(one, "write")]
            except KeyboardInterrupt:
                raise
            except BaseException:
                pass
        partial.streams.update(self.own)
        partial.flush()


def at_fork():
    partial.flush()


question, partial = Question(), Partial()
streams = Streams()
os.register_at_fork(before=at_fork, after_in_child=partial.forked)
