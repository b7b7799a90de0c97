# Standard input in asyncio: `connect_read_pipe(…, sys.stdin)` and `add_reader(sys.stdin, …)`.
#
# Nothing comes over descriptor 0, which asyncio would watch. So a thread asks over the control channel: for a
# `StreamReader` when somebody waits for its data, so that the text that asks comes before; else as soon as the loop runs.

import _thread
import os

from _agb.streams import RawIn, streams


def loaded(module, _):
    if module.__name__ == "asyncio.base_events":
        watch_pipes(module.BaseEventLoop)
    else:
        watch_readers(module.BaseSelectorEventLoop)


def raw_of(file):
    """What a file object reads the run's input by; `None` if it reads something else."""
    if type(file) is int:
        return streams.stdin.raw if file == 0 else None
    raw = file if isinstance(file, RawIn) else getattr(file, "raw", None)
    return raw if isinstance(raw, RawIn) else None


def replace(kind, name, function):
    function.__name__, function.__qualname__ = name, "%s.%s" % (kind.__name__, name)
    function.__module__ = kind.__module__
    setattr(kind, name, function)


def watch_pipes(kind):
    original = kind.connect_read_pipe

    async def connect_read_pipe(self, protocol_factory, pipe):
        raw = raw_of(pipe)
        if raw is None:
            return await original(self, protocol_factory, pipe)
        reader, writer = os.pipe()
        feed = Feed(self, raw, writer)
        connected = await original(self, protocol_factory, os.fdopen(reader, "rb", 0))
        feed.begin(connected[1])
        return connected

    replace(kind, "connect_read_pipe", connect_read_pipe)


class Feed:
    """Gives what comes to the pipe that stands for standard input."""

    def __init__(self, loop, raw, writer):
        self.loop, self.raw, self.writer = loop, raw, writer
        self.lock = _thread.allocate_lock()
        self.is_asking = self.is_wanted = self.is_eager = False

    def begin(self, protocol):
        reader = getattr(protocol, "_stream_reader", None)
        wait = getattr(reader, "_wait_for_data", None)
        if wait is None:
            self.is_eager = True
            self.loop.call_soon(self.ask)
            return

        async def wait_for_data(name):
            self.ask()
            await wait(name)

        reader._wait_for_data = wait_for_data

    def ask(self):
        with self.lock:
            self.is_wanted = True
            if self.is_asking:
                return
            self.is_asking = True
        _thread.start_new_thread(self.fetch, ())

    def fetch(self):
        try:
            while self.give():
                with self.lock:
                    if not self.is_wanted:
                        self.is_asking = False
                        return
        except OSError:
            pass  # nobody reads any more
        os.close(self.writer)  # and nobody is asked any more: that stays `is_asking`

    def give(self):
        """Asks, and writes what came; false at the end."""
        self.raw.fill()
        data, self.raw.rest = self.raw.rest, b""
        view = memoryview(data)
        while view:
            self.is_wanted = self.is_eager  # who waits has this, and says so when it wants more
            view = view[os.write(self.writer, view):]
        return bool(data)


def watch_readers(kind):
    add, remove = kind.add_reader, kind.remove_reader

    def add_reader(self, fd, callback, *args):
        raw = raw_of(fd)
        if raw is None:
            return add(self, fd, callback, *args)
        forget(self)
        waiting[self] = Reader(self, raw, callback, args)

    def remove_reader(self, fd):
        return forget(self) if raw_of(fd) is not None else remove(self, fd)

    replace(kind, "add_reader", add_reader)
    replace(kind, "remove_reader", remove_reader)


waiting = {}  # who reads standard input, by loop


def forget(loop):
    reader = waiting.pop(loop, None)
    if reader is not None:
        reader.is_over = True
    return reader is not None


class Reader:
    """Calls a function whenever there is input to read, or its end."""

    def __init__(self, loop, raw, callback, args):
        self.loop, self.raw, self.callback, self.args = loop, raw, callback, args
        self.is_over = False
        loop.call_soon(self.look)

    def look(self):
        if self.is_over:
            return
        if self.raw.rest or self.raw.at_end:
            self.loop.call_soon(self.look)
            self.callback(*self.args)
        else:
            _thread.start_new_thread(self.fetch, ())

    def fetch(self):
        self.raw.fill()
        try:
            self.loop.call_soon_threadsafe(self.look)
        except RuntimeError:
            waiting.pop(self.loop, None)  # it is closed
