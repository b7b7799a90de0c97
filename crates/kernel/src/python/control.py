# The control channel: cells come from fd 3, what is said about them goes to fd 4. And the interrupts, which must not
# tear a frame.

import _json
import _signal
import _thread
import os
import sys

CONTROL_IN, CONTROL_OUT = 3, 4

os.set_inheritable(CONTROL_IN, False)
os.set_inheritable(CONTROL_OUT, False)


def library(name):
    """Imports a module of the standard library, which a file of the same name in the user's directory must not
    shadow."""
    module = sys.modules.get(name)
    if module is not None:
        return module
    path = sys.path
    sys.path = [entry for entry in path if entry]
    try:
        __import__(name)
    finally:
        sys.path = path
    return sys.modules[name]


class Interrupts:
    """Ctrl-C reaches user code only: a frame is never torn, and between cells nothing happens."""

    def __init__(self):
        self.in_cell = False
        self.held = False
        self.pending = False
        self.main_thread = _thread.get_ident()

    def install(self):
        _signal.signal(_signal.SIGINT, self.on_signal)

    def on_signal(self, signum, frame):
        if not self.in_cell:
            return
        if self.held:
            self.pending = True
        else:
            raise KeyboardInterrupt

    def hold(self):
        """Starts a passage that must not be torn; answers whether `release` is due."""
        if self.held or _thread.get_ident() != self.main_thread:
            return False
        self.held = True
        return True

    def release(self):
        self.held = False
        if self.pending:
            self.pending = False
            if self.in_cell:
                raise KeyboardInterrupt


interrupts = Interrupts()


def whole(text):
    """The same text as whole characters: a lone surrogate is no JSON."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()


def quote(text):
    return _json.encode_basestring(whole(text))


class Scanner:
    """What the C scanner of `json` asks of its context; importing `json` costs as much as all the rest."""

    strict = True
    object_hook = object_pairs_hook = parse_constant = None
    parse_float, parse_int = float, int
    memo = {}


scan = _json.make_scanner(Scanner())


class Control:
    """Frames: a length of four bytes, big-endian, and JSON."""

    def __init__(self):
        self.received = b""
        self.lock = _thread.RLock()
        self.pid = os.getpid()
        os.register_at_fork(after_in_child=self.forked)

    def forked(self):
        # A copy of this process speaks no more on the channel, and a lock held by a thread that is not here any more
        # would be held for ever.
        self.lock = _thread.RLock()
        interrupts.main_thread = _thread.get_ident()
        interrupts.held = interrupts.pending = False

    def is_ours(self):
        return os.getpid() == self.pid

    def send(self, text):
        data = text.encode()
        data = len(data).to_bytes(4, "big") + data
        with self.lock:
            held = interrupts.hold()
            try:
                while data:
                    data = data[os.write(CONTROL_OUT, data):]
            finally:
                if held:
                    interrupts.release()

    def receive(self):
        """The next message. An interrupt in here loses nothing: what has come stays in `received`."""
        while True:
            if len(self.received) >= 4:
                end = 4 + int.from_bytes(self.received[:4], "big")
                if len(self.received) >= end:
                    text = self.received[4:end].decode()
                    self.received = self.received[end:]
                    return scan(text, 0)[0]
            data = os.read(CONTROL_IN, 1 << 16)
            if not data:
                os._exit(0)  # nobody is there any more
            self.received += data


control = Control()
