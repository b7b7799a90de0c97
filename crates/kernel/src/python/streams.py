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
from _agb.untouched import state

PAUSE = 0.005  # seconds: shorter than anybody sees, longer than the parts of one print are apart
KEPT = 1000  # duplicates of the descriptors 0, 1 and 2 are kept from this number on, where no program looks
SMALL = 2000  # characters: what a buffer holds whatever they are, so that none is lost when the pipe does not take it

get_ident = _thread.get_ident
python_frame, getrefcount, Method, audit = sys._getframe, sys.getrefcount, type(imports.load), sys.audit
base_write, base_flush = _io.TextIOWrapper.write, _io.TextIOWrapper.flush
base_buffer, file_number = _io.TextIOWrapper.buffer.__get__, _io.TextIOWrapper.fileno
is_closed = _io.TextIOWrapper.closed.__get__
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


class Nobody:
    """Stands for the function that calls, where the interpreter itself does: `print` as a thread's or `atexit`'s function."""

    f_lasti = -1


nobody = Nobody()


def getframe(depth):
    try:
        return python_frame(depth + 1)
    except ValueError:
        return nobody


looked_up_in, looked_up_at = 0, 0  # the function that looked up a `write` last, and at which instruction


class Write:
    """`write`, which notes where it is looked up."""

    def __get__(self, stream, kind=None):
        global looked_up_in, looked_up_at
        try:
            frame = python_frame(1)
        except ValueError:
            looked_up_in = 0  # nothing is a part of what the interpreter prints
            return write if stream is None else stream.write_first
        looked_up_in, looked_up_at = id(frame), frame.f_lasti
        return write if stream is None else stream.write_first


class Flush:
    def __get__(self, stream, kind=None):
        return flush if stream is None else Method(flush, stream)


def write(stream, text):
    return write_any(stream, text, getframe(1))


def quick_writes(stream, held, write_bytes):
    """What `write` of a stream is, for the first part of a print and for those after it; and what ends that. Nearly every
    print comes here, so all that these use is at hand, and they call little."""
    own, is_quick = vars(stream), True

    def write(stream, text):
        try:
            frame = python_frame(1)
        except ValueError:
            frame = nobody
        is_part = looked_up_at == frame.f_lasti and looked_up_in == id(frame) and type(text) is str and is_quick
        # What ends a line is never a first part: there may be no other.
        if is_part and not questions.open and (not text or text[-1] != "\n"):
            held.append(text)
            # An attribute of the stream's own is found without `Write`: this is what the print looks up next.
            own["write"] = more
            return len(text)
        return write_any(stream, text, frame)

    def write_more(stream, text):
        if type(text) is str and is_quick:
            if text == "\n" or not text:
                own.pop("write", None)
                try:
                    data = (held.pop() + text if len(held) == 1 else taken(held, text)).encode()
                except IndexError:
                    data = text.encode()  # another thread has taken it
                except UnicodeEncodeError as error:
                    data = error.object.encode("utf-8", "backslashreplace")
                size = write_bytes(data)
                if size != len(data):
                    write_rest(stream, data, size)
                return len(text)
            try:
                frame = python_frame(1)
            except ValueError:
                frame = nobody
            if looked_up_at == frame.f_lasti and looked_up_in == id(frame) and text[-1] != "\n":
                held.append(text)
                if not partial.is_watched:
                    partial.begin_watch()
                return len(text)
        # The end of the print, or it has failed in between, or what it prints writes as well.
        own.pop("write", None)
        return write_any(stream, text, getframe(1))

    def stop():
        nonlocal is_quick
        is_quick = False

    more = Method(write_more, stream)
    return Method(write, stream), more, stop


def release(stream, text=""):
    """Writes what is held of a print, and a last part."""
    send(stream, taken(stream.held, text))


def taken(held, text):
    """What is held, and a last part."""
    parts = [text]
    try:
        while held:
            parts.append(held.pop())
    except IndexError:
        pass  # another thread was quicker
    parts.reverse()
    return "".join(parts)


def send(stream, text):
    """Past the layers of `io`, which take longer than all of this."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = text.encode("utf-8", "backslashreplace")
    size = stream.write_bytes(data)
    if size != len(data):
        write_rest(stream, data, size)


def write_rest(stream, data, size):
    make_blocking(file_number(stream))
    write_all(file_number(stream), data[size or 0:])


def write_any(stream, text, frame):
    question = questions.open and questions.asked_at(frame)
    if question:
        question[2] += text
        return len(text)
    if type(text) is not str:
        if not isinstance(text, str):
            return base_write(stream, text)  # raises what it raises
        text = str.__str__(text)  # a class of the program's may lie about what is in it
    size = len(text)
    is_part = text[-1:] != "\n" and looked_up_at == frame.f_lasti and looked_up_in == id(frame)
    if stream.held is not None:
        if is_part and size and "\r" not in text:
            stream.held.append(text)
            partial.add(stream)
        else:
            release(stream, text)
            partial.streams.discard(stream)
        return size
    if size > SMALL:
        make_blocking(file_number(stream))
    if is_part and "\n" in text:
        # Some lines and more to come: past the text layer, which would not wait.
        base_flush(stream)
        base_buffer(stream).write(text.encode("utf-8", "backslashreplace"))
    else:
        try:
            base_write(stream, text)
        except BlockingIOError:
            make_blocking(file_number(stream))
            base_flush(stream)
    if is_part and size and "\r" not in text:
        partial.add(stream)
    elif is_part or text[-1:] != "\n":
        flush(stream)  # not of a print, or the end of `print(…, end="")`
    elif stream in partial.streams:
        partial.streams.discard(stream)  # its line has an end
    return size


def flush(stream):
    if questions.open and questions.asked_at(getframe(1)):
        return  # `input` begins: the prompt belongs to the request
    deliver(stream)
    partial.streams.discard(stream)


def deliver(stream):
    if stream.held:
        release(stream)
    base_flush(stream)


class TextOut(_io.TextIOWrapper):
    write, flush = Write(), Flush()
    held = write_bytes = None

    def __init__(self, fd, name):
        raw = _io.FileIO(fd, "wb", closefd=False)
        raw.name = name
        super().__init__(_io.BufferedWriter(raw), "utf-8", "backslashreplace", "\n", True)
        self.mode = "w"
        self.bytes = BytesOut(raw)
        self.write_bytes = raw.write
        self.held = []  # parts of a print; None: all goes the way of `io`
        self.write_first, self.write_more, self.stop = quick_writes(self, self.held, raw.write)

    def reconfigure(self, **options):
        self.leave()
        _io.TextIOWrapper.reconfigure(self, **options)

    def detach(self):
        self.leave()
        return _io.TextIOWrapper.detach(self)

    def close(self):
        self.leave()
        _io.TextIOWrapper.close(self)

    def leave(self):
        """From here on something else than UTF-8 may be to be written, or nothing."""
        if self.held:
            release(self)
        self.held = None
        self.stop()

    @property
    def buffer(self):
        return self.bytes if base_buffer(self) is not None else None


class Questions:
    """What `input` does before it reads: it asks for the number of `sys.stdin`, writes the prompt and flushes it. What
    is written at the same place of the same function is the prompt of a request and not printed."""

    def __init__(self):
        self.open = {}  # by thread: the place, what was written there, and whether the answer is a password

    def begin(self, frame):
        self.open[get_ident()] = [id(frame), frame.f_lasti, "", False]

    def ask_password(self, prompt):
        """For who asks without printing."""
        self.begin(getframe(1))
        self.open[get_ident()][2:] = prompt, True

    def asked_at(self, frame):
        question = self.open.get(get_ident())
        return question if question is not None and question[0] == id(frame) and question[1] == frame.f_lasti else None

    def end(self):
        """The prompt, which nobody takes a second time, and whether it asks for a password."""
        question = self.open.pop(get_ident(), None)
        return question[2:] if question is not None else ("", False)


class Partial:
    """The streams that hold a part of a line."""

    def __init__(self):
        self.streams = set()
        self.is_watched = False

    def add(self, stream):
        if stream in self.streams:
            self.look_after(stream)
        self.streams.add(stream)

    def look_after(self, stream):
        self.streams.add(stream)
        if not self.is_watched:
            self.begin_watch()

    def begin_watch(self):
        self.is_watched = True
        _thread.start_new_thread(self.watch, ())

    def flush(self):
        for stream in streams.own:
            if stream.held:
                self.streams.add(stream)
        while self.streams:
            try:
                deliver(self.streams.pop())
            except (ValueError, OSError, KeyError):
                pass  # it was closed meanwhile, or written by another thread

    def watch(self):
        try:
            while True:
                time.sleep(PAUSE)
                self.flush()
                # What comes from here on begins another watch; what came before is seen here.
                self.is_watched = False
                if not self.streams and not any(stream.held for stream in streams.own):
                    return
                self.is_watched = True
        finally:
            self.is_watched = False

    def forked(self):
        self.is_watched = False


class RawIn(io.RawIOBase):
    """Asks over the control channel when the cell may, else is at its end."""

    def __init__(self, nonce=None):
        self.name, self.rest, self.as_lines = "<stdin>", b"", True
        self.begin(nonce)

    def begin(self, nonce):
        self.nonce, self.at_end = nonce, nonce is None

    def readable(self):
        return True

    def fileno(self):
        return 0

    def fill(self):
        """Asks, unless there is something to read, or the end."""
        if self.rest or self.at_end:
            return
        from _agb import asking

        partial.flush()  # the text that asks comes before the request
        data, self.at_end = asking.ask(self.nonce, *questions.end())
        if data and self.as_lines and not data.endswith("\n"):
            data += "\n"  # what was sent in one piece is a line
        self.rest = str.encode(data, "utf-8", "surrogateescape")

    def readinto(self, target):
        self.is_read = True
        self.fill()
        size = min(len(target), len(self.rest))
        target[:size], self.rest = self.rest[:size], self.rest[size:]
        return size


class TextIn(_io.TextIOWrapper):
    def __init__(self, nonce=None):
        self.raw = RawIn(nonce)
        super().__init__(_io.BufferedReader(self.raw), "utf-8", "strict")
        self.mode = "r"

    def fileno(self):
        partial.flush()
        questions.begin(getframe(1))
        return 0

    def reconfigure(self, **options):
        self.is_reconfigured = True
        _io.TextIOWrapper.reconfigure(self, **options)

    def readline(self, size=-1, /):
        if not questions.asked_at(getframe(1)):
            questions.end()
        try:
            return base_readline(self, size)
        finally:
            prompt, _ = questions.end()
            if prompt:
                streams.stdout.write(prompt)  # nobody had to be asked, so it is plain output

    def read(self, size=-1, /):
        self.raw.as_lines = False
        try:
            return base_read(self, size)
        finally:
            self.raw.as_lines = True


class Streams:
    """The streams of the run, and the descriptors below them."""

    def __init__(self):
        self.kept = []  # duplicates of descriptors 0, 1 and 2
        self.strangers = [_io.StringIO()]  # what programs have put in place of the streams, while somebody uses it
        self.unused, self.as_new, self.own, self.stdin = 0, None, (), None
        self.unused = [self.references(one) for one in self.strangers][0]
        self.prepare()

    def keep(self):
        for fd in range(3):
            try:
                self.kept.append(os.dup2(fd, KEPT + fd, False))
            except OSError:
                self.kept.append(os.dup(fd))  # the limit is lower

    def prepare(self):
        """Makes the streams of the next run, whatever has become of those of the last one. Those that nobody has touched,
        and that nobody else knows, are as good as new."""
        self.is_prepared = False
        if self.as_new is None or self.as_new != state(self.own, self.stdin):
            self.stdout, self.stderr, self.stdin = TextOut(1, "<stdout>"), TextOut(2, "<stderr>"), TextIn()
            self.own = self.stdout, self.stderr
            sys.__stdout__, sys.__stderr__, sys.__stdin__ = self.stdout, self.stderr, self.stdin
            self.put_back()
            self.as_new = self.as_new or state(self.own, self.stdin)
        else:
            audit("open", 1, "wb", 0)  # as when one is made: whoever forbids it does so in every run
        self.is_prepared = True

    def begin(self, nonce):
        """Puts the streams in place, on the descriptors that the interpreter began with."""
        if not self.is_prepared or self.are_used():
            partial.flush()
            self.prepare()
        self.put_back()
        self.stdin.raw.begin(nonce)
        questions.open.clear()

    def are_used(self):
        """Whether a thread of an earlier run has closed or changed one of them since they were made."""
        try:
            return any(stream.held is None or is_closed(stream) for stream in self.own) or is_closed(self.stdin)
        except ValueError:
            return True  # it was detached

    def put_back(self):
        """What stands in place of the streams goes. If that closes its descriptor, it does so now and not later."""
        self.strangers += [getattr(sys, name, None) for name in ("stdout", "stderr")]
        sys.stdout, sys.stderr, sys.stdin = self.stdout, self.stderr, self.stdin
        self.strangers = [one for one in self.strangers if self.references(one) > self.unused]
        for fd, kept in enumerate(self.kept):
            os.dup2(kept, fd)

    def references(self, stranger):
        """How many know a stream, in a list that is walked; none of those that close nothing."""
        is_stranger = isinstance(stranger, _io._IOBase) and type(stranger) is not TextOut
        return getrefcount(stranger) if is_stranger else 0

    def flush(self):
        """Delivers what was written, be it into what stands in place of the streams."""
        placed = [getattr(sys, "stdout", None), getattr(sys, "stderr", None)]
        if placed != [self.stdout, self.stderr]:
            from _agb import strangers

            strangers.flush(placed)
        partial.streams.update(self.own)
        partial.flush()


def at_fork():
    partial.flush()


questions, partial = Questions(), Partial()
streams = Streams()
os.register_at_fork(before=at_fork, after_in_child=partial.forked)
