# What runs inside a Python kernel: takes cells from fd 3, runs them in `__main__`, answers on fd 4.
#
# The namespace of this code is not `__main__`; user code sees only the builtins it replaces.
# Imports at the top are built-in modules (C, no file to read): everything else is imported when it is first needed,
# which keeps the time to ready at that of the interpreter itself.

import _ast
import _json
import _signal
import _thread
import builtins
import io
import os
import sys

HARNESS = "<agb>"
CONTROL_IN, CONTROL_OUT = 3, 4
TEXT_LIMIT = 256 * 1024  # of an error's message or traceback: nobody reads more, and frames stay small

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


# ---------------------------------------------------------------------------------------------------- interrupts


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


# ------------------------------------------------------------------------------------------------------- control


def whole(text):
    """The same text as whole characters: a lone surrogate is no JSON."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()


def quote(text):
    return _json.encode_basestring(whole(text))


def encode(value):
    if isinstance(value, str):
        return quote(value)
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, dict) and all(type(key) is str for key in value):
        return "{" + ",".join(quote(key) + ":" + encode(item) for key, item in value.items()) + "}"
    # Numbers, lists and what a library thinks is JSON; NaN is none.
    return whole(library("json").dumps(value, allow_nan=False, default=str))


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


# ------------------------------------------------------------------------------------------------------- streams


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

    def ask(self, prompt=""):
        """Adds what comes to `pending`; false at the end."""
        if self.at_end or not control.is_ours():
            return False
        with control.lock:
            control.send('{"type":"input","nonce":%s,"prompt":%s}' % (quote(self.nonce), quote(prompt)))
            while True:
                message = control.receive()
                if message["type"] == "stdin" and message["nonce"] == self.nonce:
                    break
        self.pending += message["data"]
        self.at_end = message["eof"]
        return not self.at_end

    def readline(self, size=-1, prompt=""):
        if not self.pending and self.ask(prompt) and not self.pending.endswith("\n"):
            self.pending += "\n"  # what was sent in one piece is a line
        end = self.pending.find("\n") + 1 or len(self.pending)
        if size is not None and size >= 0:
            end = min(end, size)
        line, self.pending = self.pending[:end], self.pending[end:]
        return line

    def read(self, size=-1):
        while (size is None or size < 0 or len(self.pending) < size) and self.ask():
            pass
        end = len(self.pending) if size is None or size < 0 else size
        text, self.pending = self.pending[:end], self.pending[end:]
        return text

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def close(self):
        pass


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


stdout, stderr, stdin = TextOut(1, "<stdout>"), TextOut(2, "<stderr>"), TextIn()
stdin.buffer = RawIn(stdin)
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


for function in (print, input):
    function.__module__, function.__qualname__ = "builtins", function.__name__
    setattr(builtins, function.__name__, function)


# ------------------------------------------------------------------------------------------------------- results

REPRESENTATIONS = (
    ("_repr_html_", "text/html"),
    ("_repr_markdown_", "text/markdown"),
    ("_repr_latex_", "text/latex"),
    ("_repr_svg_", "image/svg+xml"),
    ("_repr_png_", "image/png"),
    ("_repr_jpeg_", "image/jpeg"),
    ("_repr_json_", "application/json"),
)


def represent(value):
    """The value's representations by MIME type."""
    data = {}
    if not isinstance(value, type):  # a class has the methods, but not for itself
        bundle = call_representation(value, "_repr_mimebundle_", include=None, exclude=None)
        if isinstance(bundle, dict):
            data.update((str(key), item) for key, item in bundle.items() if item is not None)
        for method, mime in REPRESENTATIONS:
            if mime not in data:
                item = call_representation(value, method)
                if item is not None:
                    data[mime] = item
    if "text/plain" not in data:
        data["text/plain"] = repr(value)
    for mime, item in data.items():
        if isinstance(item, (bytes, bytearray, memoryview)):
            data[mime] = library("binascii").b2a_base64(item, newline=False).decode()
    return data


def call_representation(value, method, **arguments):
    # Objects such as mocks and proxies have every attribute one asks for.
    if getattr(type(value), method, None) is None or getattr(value, "_ipython_canary_method_should_not_exist_", None):
        return None
    try:
        item = getattr(value, method)(**arguments)
    except NotImplementedError:
        return None
    except Exception as error:
        stderr.write(f"{type(value).__name__}.{method} failed: {type(error).__name__}: {error}\n")
        return None
    return item[0] if isinstance(item, tuple) and item else item


def display(*values):
    """Shows values in their richest form, as a notebook does."""
    for value in values:
        cells.show(value, False)


builtins.display = display


# --------------------------------------------------------------------------------------------------------- cells


class Sources:
    """The text of every cell, for tracebacks and `inspect`.

    `linecache` is what both read. It is filled when somebody imports it, not imported to be filled."""

    def __init__(self):
        self.lines = {}
        sys.meta_path.insert(0, self)

    def add(self, name, code):
        self.lines[name] = (len(code), None, [line + "\n" for line in code.split("\n")], name)
        linecache = sys.modules.get("linecache")
        if linecache is not None and hasattr(linecache, "cache"):
            linecache.cache[name] = self.lines[name]

    def find_spec(self, name, path=None, target=None):
        if name != "linecache":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = Filling(spec.loader, self.lines)
                return spec
        return None


class Filling:
    """Loads `linecache`, then fills it."""

    def __init__(self, loader, lines):
        self.loader, self.lines = loader, lines

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        module.cache.update(self.lines)


class Cells:
    """Runs cells in `__main__`."""

    def __init__(self):
        module = type(sys)("__main__")
        self.names = module.__dict__
        self.names.update(__builtins__=builtins, __spec__=None, __annotations__={})
        sys.modules["__main__"] = module
        self.sources = Sources()
        self.loop = None
        self.nonce = ""
        self.frame_limit = 0

    def run(self, message):
        self.nonce = message["nonce"]
        self.frame_limit = message["maxFrame"]
        code, name = message["code"], "<cell %d>" % message["count"]
        self.sources.add(name, code)
        sys.stdout, sys.stderr, sys.stdin = stdout, stderr, stdin
        stdin.start(self.nonce if message["stdin"] else None)
        interrupts.install()
        failure = None
        clock = library("time").perf_counter
        interrupts.pending = False
        start = clock()
        try:
            interrupts.in_cell = True
            try:
                self.execute(code, name)
            finally:
                interrupts.in_cell = False
        except BaseException as error:
            failure = error
        seconds = clock() - start
        if not control.is_ours():
            os._exit(self.exit_code(failure))  # a forked copy came out of the cell
        failed = failure is not None and self.report(failure)
        failure = None
        self.flush_c()
        control.send(
            '{"type":"done","nonce":%s,"failed":%s,"seconds":%.9f}'
            % (quote(self.nonce), "true" if failed else "false", seconds)
        )

    def execute(self, code, name):
        # dont_inherit: no __future__ of this file; the flag allows `await` outside of functions.
        flags = _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree = compile(code, name, "exec", flags | _ast.PyCF_ONLY_AST, True)
        last = None
        if tree.body and isinstance(tree.body[-1], _ast.Expr):
            last = tree.body.pop()
        body = compile(tree, name, "exec", flags, True)
        value = last and compile(_ast.Expression(last.value), name, "eval", flags, True)
        self.evaluate(body)
        if value is not None:
            result = self.evaluate(value)
            if result is not None and not self.is_suppressed(code, last):
                self.names["_"] = result
                self.show(result, True)

    def evaluate(self, code):
        result = eval(code, self.names)
        if code.co_flags & 0x80:  # CO_COROUTINE: it has an `await`
            asyncio = library("asyncio")
            if self.loop is None or self.loop.is_closed():
                self.loop = asyncio.new_event_loop()
                asyncio.set_event_loop(self.loop)
            task = self.loop.create_task(result)
            try:
                result = self.loop.run_until_complete(task)
            except BaseException:
                # Interrupted: the task must not go on in the next cell.
                if not task.done():
                    task.cancel()
                    try:
                        self.loop.run_until_complete(task)
                    except BaseException:
                        pass
                raise
        return result

    @staticmethod
    def is_suppressed(code, last):
        """Whether a semicolon follows the last expression."""
        line = code.split("\n")[last.end_lineno - 1]
        return line.encode()[last.end_col_offset:].lstrip(b" \t)").startswith(b";")

    def show(self, value, is_main):
        data = represent(value)
        if not control.is_ours():
            stdout.write(data["text/plain"] + "\n")  # a forked copy
            return
        nonce, main = quote(self.nonce), "true" if is_main else "false"
        parts = []
        for mime, item in data.items():
            try:
                parts.append(quote(mime) + ":" + encode(item))
            except (TypeError, ValueError, RecursionError) as error:
                stderr.write(f"the {mime} of {type(value).__name__} is not JSON: {error}\n")
        frame = '{"type":"result","nonce":%s,"main":%s,"data":{%s}}' % (nonce, main, ",".join(parts))
        size = len(frame.encode())
        if size > self.frame_limit:
            text = "%s of %d bytes (%s): too large to show" % (type(value).__name__, size, ", ".join(data))
            frame = '{"type":"result","nonce":%s,"main":%s,"data":{"text/plain":%s}}' % (nonce, main, quote(text))
        control.send(frame)

    def exit_code(self, failure):
        if failure is None:
            return 0
        if isinstance(failure, SystemExit):
            return failure.code if isinstance(failure.code, int) else int(failure.code is not None)
        self.write_traceback(failure)
        return 1

    def report(self, error):
        """Tells of an error; false if it is none."""
        if isinstance(error, SystemExit):
            code = error.code
            if code is None or (isinstance(code, int) and code == 0):
                return False
            if not isinstance(code, int):
                stderr.write(str(code) + "\n")
            name, value, trace = "SystemExit", str(code), "SystemExit: %s\n" % (code,)
        else:
            name, trace = type(error).__name__, self.format(error)
            try:
                value = str(error)
            except Exception as broken:
                value = "<no message: %s in __str__>" % type(broken).__name__
        cut = lambda text: text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"
        control.send(
            '{"type":"error","nonce":%s,"name":%s,"value":%s,"traceback":%s}'
            % (quote(self.nonce), quote(name), quote(cut(value)), quote(cut(trace)))
        )
        return True

    def format(self, error):
        """The traceback as Python prints it, without the lines of this file."""
        try:
            traceback = library("traceback")
            report = traceback.TracebackException.from_exception(error)
            pending, seen = [report], set()
            while pending:
                part = pending.pop()
                if part is None or id(part) in seen:
                    continue
                seen.add(id(part))
                if part.stack is not None:
                    part.stack[:] = [frame for frame in part.stack if frame.filename != HARNESS]
                pending += [part.__cause__, part.__context__]
                pending += getattr(part, "exceptions", None) or []
            text = "".join(report.format())
            if not report.stack:
                text = text.replace("Traceback (most recent call last):\n", "", 1)
            return text
        except Exception as broken:  # an exception class that cannot be printed
            return "%s (its traceback could not be made: %s)\n" % (type(error).__name__, type(broken).__name__)

    def write_traceback(self, error):
        stderr.write(self.format(error))

    @staticmethod
    def flush_c():
        """What C code printed through stdio lies in its buffer: out with it, it belongs to this cell."""
        ctypes = sys.modules.get("ctypes")
        if ctypes is not None:
            try:
                ctypes.CDLL(None).fflush(None)
            except Exception:
                pass


def show_uncaught(kind, error, trace):
    cells.write_traceback(error)


cells = Cells()
sys.stdout, sys.stderr, sys.stdin = sys.__stdout__, sys.__stderr__, sys.__stdin__ = stdout, stderr, stdin
sys.excepthook = show_uncaught
sys.argv = [""]
sys.path.insert(0, "")
interrupts.install()
control.send('{"type":"ready"}')
while True:
    message = control.receive()
    if message["type"] == "run":
        cells.run(message)
    message = None
