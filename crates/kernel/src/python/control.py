# The control channel: cells come from fd 3, what is said about them goes to fd 4. And the interrupts, which must not
# tear a frame.

import _json
import _signal
import _thread
import os
import sys

CONTROL_IN, CONTROL_OUT = 3, 4
# Errors in a row, without a byte written in between: a thousand handlers that raise are still fewer than a storm of a
# timer's, but a channel that is gone fails for ever.
MOST_FAILURES = 1000
LOST = b"The program has closed the interpreter's control channel (descriptors 3 and 4), so it ends.\n"

os.set_inheritable(CONTROL_IN, False)
os.set_inheritable(CONTROL_OUT, False)


def library(name):
    """Imports a module of the standard library, which a file of the same name in the user's directory must not
    shadow. It is the program's own: what must not depend on the program takes nothing from here."""
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
        str.encode(text)
        return text
    except UnicodeEncodeError:
        return str.encode(text, "utf-8", "backslashreplace").decode()


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
    """Frames: a length of four bytes, big-endian, and JSON.

    A signal handler of the program's may run between any two steps in here, and raise. So what a system call has done
    is noted within the same step, by `extend(map(call, …))`: whatever is raised, nothing is lost and no frame is torn.
    """

    def __init__(self):
        self.received, self.end = [], 4  # what was read and not taken yet; where its first message ends
        self.unsent = []  # frames, each with the list of how much of it was written
        self.nonce = None  # of the cell that runs
        self.lock = _thread.RLock()
        self.asking = _thread.allocate_lock()  # whoever waits for input has it
        self.when_closed = []  # wakes who waits in a thread
        self.pid = os.getpid()
        os.register_at_fork(after_in_child=self.forked)

    def forked(self):
        # A copy of this process speaks no more on the channel, and a lock held by a thread that is not here any more
        # would be held for ever.
        self.lock = _thread.RLock()
        self.asking = _thread.allocate_lock()
        interrupts.main_thread = _thread.get_ident()
        interrupts.held = interrupts.pending = False

    def is_ours(self):
        return os.getpid() == self.pid

    # To the server.

    def open(self, nonce):
        with self.lock:
            self.nonce = nonce

    def tell(self, kind, fields):
        """Sends a message of the cell that runs; false if none does: what threads say between two is not sent."""
        with self.lock:
            if self.nonce is None or not self.is_ours():
                return False
            self.send('{"type":"%s","nonce":%s,%s}' % (kind, quote(self.nonce), fields))
            return True

    def close(self, fields):
        """Sends that the cell has ended. Nothing of it can be sent any more."""
        with self.lock:
            if self.nonce is not None:
                self.put('{"type":"done","nonce":%s,%s}' % (quote(self.nonce), fields))
                self.nonce = None
            self.flush()
        for wake in self.when_closed:
            wake()

    def send(self, text):
        with self.lock:
            self.put(text)
            self.flush()

    def put(self, text):
        data = text.encode()
        self.unsent.append((memoryview(len(data).to_bytes(4, "big") + data), []))

    def flush(self):
        held, raised, failures = interrupts.hold(), None, 0
        try:
            while self.unsent:
                try:
                    self.write()
                    failures = 0
                except BaseException as error:  # of a signal handler: it may have its error when the frame is whole
                    raised, failures = raised or error, failures + 1
                    if failures > MOST_FAILURES or not is_open(CONTROL_OUT):
                        end()
        finally:
            if held:
                interrupts.release()
        if raised is not None:
            raise raised

    def write(self):
        frame, written = self.unsent[0]
        start = sum(written)
        if start < len(frame):
            written.extend(map(os.write, (CONTROL_OUT,), (frame[start:],)))
        else:
            del self.unsent[0]

    # From the server.

    def has_message(self):
        if self.received and len(self.received[0]) < 4:
            self.received[:] = [b"".join(self.received)]
        if not self.received or len(self.received[0]) < 4:
            return False
        self.end = 4 + int.from_bytes(self.received[0][:4], "big")
        return sum(map(len, self.received)) >= self.end

    def receive(self):
        """The next message. It stays the next one until `take` was called."""
        while not self.has_message():
            self.read()
        return scan(b"".join(self.received)[4:self.end].decode(), 0)[0]

    def read(self):
        try:
            self.received.extend(map(os.read, (CONTROL_IN,), (1 << 16,)))
        except OSError:
            if not is_open(CONTROL_IN):
                end()
            raise
        if not self.received[-1]:
            os._exit(0)  # nobody is there any more

    def take(self):
        self.received[:] = [b"".join(self.received)[self.end:]]


def is_open(fd):
    try:
        os.get_inheritable(fd)
        return True
    except OSError:
        return False


def end():
    """The channel is gone: nothing can be told any more but this."""
    try:
        os.write(2, LOST)
    finally:
        os._exit(1)


control = Control()
