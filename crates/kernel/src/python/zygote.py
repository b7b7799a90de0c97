# The zygote: it has imported what programs import, runs nothing of theirs, and copies itself into a sandbox for each
# session that starts. The sandbox is made by `agb-sandbox`, which says in `helper/nursery.rs` how the two meet.
#
# A copy first gives up, step by step, all that the zygote may do; any step that fails ends it. Only then does it say
# that it is there. It stays the zygote's child, because nobody else could be its parent without its memory being copied
# a second time: so the zygote says how it ended, to the sandbox's first process.

import array
import ctypes
import gc
import os
import select
import signal
import socket
import sys
import time

from _agb import imports
from _agb.control import control, library
from _agb.errors import describe, private_traceback

FORK_SOCKET = 5  # where copies are asked for
# What comes with an order: the program's descriptors, the sandbox's control socket, the pipe to its first process, its
# namespaces, the processes' first and the user's last: in there, no other can be entered any more; and its control
# groups, of which there are three at most.
CONTROL, END_PIPE, NAMESPACES, GROUPS, MOST = 5, 6, 7, 14, 17
# What the pipe is told, each with a number: the copy is there; it ended.
COPIED, ENDED = b"b", b"e"
KINDS = (0x20000000, 0x00020000, 0x40000000, 0x08000000, 0x04000000, 0x02000000, 0x10000000)
USER = 1000  # in there

# What programs that people and models write import most; what is not installed is left out. Nothing that starts threads
# when it is imported: a copy would not have them.
MODULES = (
    "asyncio base64 collections concurrent.futures contextlib copy csv dataclasses datetime decimal functools hashlib io "
    "itertools json logging math pathlib pickle random re shutil statistics string subprocess tempfile textwrap threading "
    "time traceback typing urllib.parse uuid numpy pandas matplotlib.pyplot"
).split()

# The harness's own that are read when first needed, and that first cells often need: each copy would compile them again.
PARTS = "asking documents formats libraries loops notebook plotting results".split()

libc = ctypes.CDLL(None, use_errno=True)
resource = library("resource")
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_GET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 4, 22, 24, 39, 47


def check(result, what):
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (what, os.strerror(number)))
    return result


def serve():
    """Copies this process as often as it is asked to. Returns in the copies only."""
    global generator
    sys.modules[__name__] = imports.modules[__name__]  # a copy can be told by it
    warm_up()
    private_traceback()
    generator = Generator()
    generator.must_be_alone()
    fork_socket = socket.socket(fileno=FORK_SOCKET)
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    copies = Copies()
    gc.collect()
    gc.freeze()  # a collection in a copy would write to all that it shares with this process
    use_large_pages()
    control.send('{"type":"ready"}')
    while True:
        if not copies.wait():
            continue
        order, fds, is_whole = receive(fork_socket)
        if not order:
            os._exit(0)  # nobody is there any more
        try:
            if not is_whole:
                raise OSError("too many open files")
            # The next process is made in there.
            check(libc.setns(fds[NAMESPACES], KINDS[0]), "the sandbox's processes")
            child = os.fork()
            if child == 0:
                fork_socket.detach()
                copies.forget()
                return be_copy(order, fds)
            copies.add(child, fds.pop(END_PIPE))
        except (OSError, IndexError) as error:
            os.write(2, ("a copy failed: %s\n" % error).encode())
        for fd in fds:
            os.close(fd)
        check(libc.setns(own, KINDS[0]), "the nursery's processes")


class Copies:
    """The copies that live, and whom to tell how they end. Descriptors wake this process, and not the signal that tells of
    ends: it tells of stops as well, and a program could keep this process busy with those.

    Whatever has ended is waited for, and not the copies alone: a sandbox cannot end while a process of it is nobody's. A
    program has no way to make this process a parent; if there is one, its child ends soon after the copy does."""

    AT_ONCE = 64  # ends that are taken in a turn: orders come in between
    AFTER, STEP = 5.0, 0.1  # seconds that are looked after an end, and how often; a sandbox ends within milliseconds
    OF_ANY_KIND = 0x40000000  # __WALL: also of processes that tell of their ends by another signal

    def __init__(self):
        os.close(os.pidfd_open(os.getpid()))  # Python 3.9 has it: with an older one there is no zygote
        self.events = select.epoll()
        self.events.register(FORK_SOCKET, select.EPOLLIN)
        self.living = {}
        self.until = 0.0

    def add(self, child, end_pipe):
        end = None
        try:
            end = os.pidfd_open(child)
            self.events.register(end, select.EPOLLIN)
        except OSError:
            # Its sandbox could not end before somebody has waited for it.
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            for fd in (end_pipe,) if end is None else (end_pipe, end):
                os.close(fd)
            raise
        self.living[child] = end, end_pipe

    def wait(self):
        """Waits until something happens. True: there is an order."""
        ready = [fd for fd, _ in self.events.poll(self.STEP if time.monotonic() < self.until else None)]
        self.reap()
        return FORK_SOCKET in ready

    def reap(self):
        for _ in range(self.AT_ONCE):
            try:
                child, status = os.waitpid(-1, os.WNOHANG | self.OF_ANY_KIND)
            except ChildProcessError:
                return
            if child == 0:
                return
            self.until = time.monotonic() + self.AFTER
            if child in self.living:
                self.tell(*self.living.pop(child), status)

    def tell(self, end, end_pipe, status):
        self.events.unregister(end)  # not by closing it: a copy that has just been made may have it open still
        os.close(end)
        try:
            os.write(end_pipe, ENDED + status.to_bytes(4, "little"))
        except BrokenPipeError:
            pass  # it ended with its sandbox
        os.close(end_pipe)

    def forget(self):
        self.events.close()
        self.living.clear()


def receive(fork_socket):
    """An order: the parts of its message, its descriptors, and whether these are all."""
    fds = array.array("i")
    room = socket.CMSG_SPACE(MOST * fds.itemsize)
    data, ancillary, flags, _ = fork_socket.recvmsg(1 << 17, room)
    for _, _, content in ancillary:
        fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    parts = []
    while data:
        end = 4 + int.from_bytes(data[:4], "little")
        parts.append(data[4:end])
        data = data[end:]
    return parts, list(fds), not flags & socket.MSG_CTRUNC


def be_copy(order, fds):
    """In the new process: enters the sandbox, gives up all rights, and says that it is there."""
    try:
        starting, files, *filters = order
        for fd in fds[GROUPS:]:
            os.write(fd, b"0")
        for fd, kind in list(zip(fds[NAMESPACES:GROUPS], KINDS))[1:]:
            check(libc.setns(fd, kind), "namespace %x" % kind)
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
        for number in range(NAMESPACES - 2):
            os.dup2(fds[number], number, inheritable=number < 3)
        close_all_but(fds[CONTROL], fds[END_PIPE])
        os.chdir(os.environ["HOME"])
        files = int.from_bytes(files, "little")
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        give_up(filters)
        os.setsid()
        begin_anew()
        with socket.socket(fileno=fds[CONTROL]) as sandbox:
            sandbox.send(starting)
        os.write(fds[END_PIPE], COPIED + os.getpid().to_bytes(4, "little"))
        os.close(fds[END_PIPE])
    except BaseException as error:
        os.write(2, describe(error).encode())
        os._exit(1)


def close_all_but(*kept):
    first = NAMESPACES - 2
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def give_up(filters):
    """Gives up every right, for good, and takes on the filter of system calls."""
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == -1:
            break  # past the last there is
    libc.prctl(PR_CAP_AMBIENT, 4, 0, 0, 0)  # older kernels have none
    header, none = HEADER(0x20080522, 0), SETS()
    check(libc.capset(header, none), "capabilities")
    if libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        raise OSError("new privileges could be had")
    check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "its own files in /proc")
    for steps in filters:
        program = Program(len(steps) // 8, steps)
        check(libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0), "the filter")


class Program(ctypes.Structure):
    """`sock_fprog`"""

    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


# What a copy makes of these is made once: a new type touches a hundred pages, and each page is the copy's own then.
HEADER, SETS = ctypes.c_uint32 * 2, ctypes.c_uint32 * 6


def begin_anew():
    """What must not be the same in two copies."""
    control.pid = os.getpid()
    control.received = []
    sys.path_importer_cache.pop(os.environ["HOME"], None)  # another folder than before
    generator.begin_anew()  # `random` does so by itself
    ssl = sys.modules.get("_ssl")
    if ssl is not None:
        ssl.RAND_add(os.urandom(32), 32.0)  # all of OpenSSL's generators follow
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)


class Generator:
    """The random numbers that all of a program's calls to `numpy.random` take from."""

    SIZE = 624 * 4

    def __init__(self):
        self.numpy = sys.modules.get("numpy.random")
        self.address = None
        try:
            words = self.numpy.mtrand._rand._bit_generator
            address, state = words.ctypes.state_address, words.state["state"]
            expected = state["key"].tobytes() + state["pos"].to_bytes(4, sys.byteorder)
            if ctypes.string_at(address, self.SIZE + 4) == expected:
                self.address = address
        except (AttributeError, KeyError):
            pass  # there is no numpy, or one that keeps them elsewhere

    def must_be_alone(self):
        """Ends the zygote if something that was imported has made a generator of its own, seeded once for all copies. Nobody
        can tell whether that was meant, so interpreters are started instead."""
        random = library("random")
        kinds, known = (random.Random,), [random._inst]
        try:
            own = self.numpy.mtrand._rand._bit_generator
            kinds += self.numpy.BitGenerator, self.numpy.SeedSequence
            known += own, own._seed_seq
        except AttributeError:
            pass  # there is no numpy, or one without such generators
        try:
            known.append(sys.modules["tempfile"]._name_sequence._rng)  # made anew where the process is another
        except (KeyError, AttributeError):
            pass  # no name was made
        for thing in gc.get_objects():
            kind = type(thing)
            is_one = issubclass(kind, kinds) and not issubclass(kind, random.SystemRandom)
            if is_one and all(thing is not one for one in known):
                name = "%s.%s" % (kind.__module__, kind.__qualname__)
                os.write(2, ("what this Python imports makes a %s, which copies would share\n" % name).encode())
                os._exit(1)

    def begin_anew(self):
        if self.address is not None:
            # Half a millisecond less than `seed()`, for which numpy makes many objects.
            ctypes.memmove(self.address, os.urandom(self.SIZE), self.SIZE)
        elif self.numpy is not None:
            self.numpy.seed()


def use_large_pages():
    """Has the kernel put memory together in pages of 2 MiB, which are copied, and let go of, as one: a quarter of the
    time of a copy. What a copy writes to is still copied in small pages."""
    large, collapse = 2 << 20, 25
    try:
        with open("/proc/self/maps") as file:
            maps = [line.split() for line in file]
    except OSError:
        return  # there is no /proc
    for place, rights, _, _, _, *name in maps:
        begin, end = (int(number, 16) for number in place.split("-"))
        if rights == "rw-p" and name in ([], ["[heap]"]):
            for at in range(-(-begin // large) * large, end - large + 1, large):
                # An error means that nothing is there, that memory is short, or an older kernel (Linux 6.1 has it).
                libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(large), collapse)


def warm_up():
    """Imports what programs import, and draws a first picture: that fills caches that are worth half a second."""
    for name in MODULES:
        try:
            __import__(name)
        except Exception as error:
            if not isinstance(error, ImportError):
                os.write(2, ("%s: %s\n" % (name, error)).encode())
    for name in PARTS:
        __import__("_agb." + name)
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        try:
            figure = pyplot.figure()
            pyplot.plot([0, 1])
            figure.savefig(library("io").BytesIO(), format="png")
            pyplot.close(figure)
            # Copies throw them away: they are not for two processes.
            sys.modules["matplotlib.font_manager"]._get_font.cache_clear()
        except Exception as error:
            os.write(2, ("no first picture: %s\n" % error).encode())
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.random()
    ssl = sys.modules.get("_ssl")
    if ssl is not None:
        ssl.RAND_bytes(1)  # OpenSSL makes its generators at the first: in each copy that took 1 ms and 100 pages
