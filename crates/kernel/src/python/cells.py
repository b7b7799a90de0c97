# Runs cells in `__main__`.

import _ast
import builtins
import sys

from _agb import imports
from _agb.control import control, quote
from _agb.streams import partial

# What `repr` alone shows: for these nothing has to be loaded.
PLAIN = {int, float, str, bool, bytes, complex, list, tuple, dict, set}
COROUTINE = 0x80  # of `co_flags`: the code has an `await`
# Who calls one of these outside of a function means the loop that `await` runs in.
LOOP_NAMES = {"create_task", "ensure_future", "get_running_loop"}
Function = type(lambda: 0)
ASYNC = _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
# What a program writes that opens descriptors 0, 1 or 2 once more, or closes them.
STANDARD_DESCRIPTORS = ("open(0", "open(1", "open(2", "/dev/stdin", "/fd/0", ".fileno()", "os.close")
LEAST_DEPTH = 1000  # of the harness's own calls, whatever limit the program has set: Python's own default

getrecursionlimit, setrecursionlimit = sys.getrecursionlimit, sys.setrecursionlimit


class Sources:
    """The text of every cell, for tracebacks and `inspect`.

    `linecache` is what both read. It is filled when somebody imports it, not imported to be filled."""

    def __init__(self):
        self.lines = {}
        self.last = None
        self.caches = [self.lines]
        imports.when_loaded("linecache", None, self.fill)

    def fill(self, linecache, _=None):
        self.caches.append(linecache.cache)
        linecache.cache.update(self.lines)

    def add(self, name, code):
        entry = (len(code), None, [line + "\n" for line in code.split("\n")], name)
        for cache in self.caches:
            if self.last is not None and self.last not in cache:
                cache.update(self.lines)  # it was cleared
            cache[name] = entry
        self.last = name


class Cells:
    """The program's names, and how its cells are executed."""

    def __init__(self):
        self.module = type(sys)("__main__")
        self.names = self.module.__dict__
        self.names.update(__spec__=None, __annotations__={})
        self.sources = Sources()
        self.name = ""
        self.frame_limit = 0
        self.ends = False  # whether it is a whole program
        self.recursion_limit = None  # what the program has set
        self.after = []  # what runs after each cell, as a part of it
        self.begin()

    def begin(self):
        """What a program may have replaced that a program needs."""
        self.names["__builtins__"] = builtins
        sys.modules["__main__"] = self.module

    def enter(self):
        """From here on the program's own limit holds."""
        if self.recursion_limit is not None:
            setrecursionlimit(self.recursion_limit)
            self.recursion_limit = None

    def leave(self):
        limit = getrecursionlimit()
        if limit < LEAST_DEPTH:
            self.recursion_limit = limit
            setrecursionlimit(LEAST_DEPTH)

    def execute(self, code):
        """Runs a program; answers its last expression's value if that is to be shown."""
        # dont_inherit: no __future__ of this file; the flag allows `await` outside of functions.
        flags = ASYNC
        problem = None
        try:
            tree = compile(code, self.name, "exec", flags | _ast.PyCF_ONLY_AST, True)
        except SyntaxError as error:
            problem = error
        if problem is not None:
            # No Python: but maybe it is what notebooks understand besides. Only then is that looked at.
            from _agb import notebook

            translated = notebook.translate(code)
            if translated is None:
                raise problem
            code = translated
            tree = compile(code, self.name, "exec", flags | _ast.PyCF_ONLY_AST, True)
        if any(spelling in code for spelling in STANDARD_DESCRIPTORS):
            from _agb import standard_input

            standard_input.rewrite(tree)
        last = None
        if tree.body and isinstance(tree.body[-1], _ast.Expr):
            last = tree.body.pop()
        if self.shows_all():
            for statement in tree.body:
                self.execute_one(statement, flags)
            tree.body = []
        body = compile(tree, self.name, "exec", flags, True)
        if body.co_flags & COROUTINE:
            # Statement by statement: so `asyncio.run` works beside an `await`.
            for statement in tree.body:
                part = _ast.Module([statement], [])
                self.evaluate(compile(part, self.name, "exec", flags, True))
        else:
            self.evaluate(body)
        if last is None:
            return None
        result = self.evaluate(compile(_ast.Expression(last.value), self.name, "eval", flags, True))
        return None if self.is_suppressed(code, last) else result

    @staticmethod
    def shows_all():
        """Whether the program has asked IPython to show the value of every expression and not only of the last."""
        module = sys.modules.get("IPython.core.interactiveshell")
        return module is not None and getattr(module.InteractiveShell, "ast_node_interactivity", None) == "all"

    def execute_one(self, statement, flags):
        if isinstance(statement, _ast.Expr):
            value = self.evaluate(compile(_ast.Expression(statement.value), self.name, "eval", flags, True))
            if value is not None:
                self.show(value, False)
        else:
            self.evaluate(compile(_ast.Module([statement], []), self.name, "exec", flags, True))

    def evaluate(self, code):
        if code.co_flags & COROUTINE or "asyncio" in sys.modules or not LOOP_NAMES.isdisjoint(code.co_names):
            from _agb import loops

            return loops.evaluate(code)
        return eval(code, self.names)

    @staticmethod
    def is_suppressed(code, last):
        """Whether a semicolon follows the last expression."""
        line = code.split("\n")[last.end_lineno - 1]
        return line.encode()[last.end_col_offset:].lstrip(b" \t)").startswith(b";")

    def show(self, value, is_main):
        kind = type(value)
        if kind in PLAIN and control.nonce is not None and control.is_ours():
            self.send_result(kind.__name__, '"text/plain":' + quote(repr(value)), is_main)
        else:
            from _agb import results

            results.show(value, is_main)

    def send_result(self, kind, data, is_main):
        """Sends a result whose representations are JSON already; false if no cell runs that it could belong to."""
        fields = '"main":%s,"data":{%s}'
        main = "true" if is_main else "false"
        text = fields % (main, data)
        # Four bytes are the most that one character takes in UTF-8: only what may be too large is measured.
        if len(text) * 4 > self.frame_limit and len(text.encode()) + ENVELOPE > self.frame_limit:
            note = "%s of %d bytes: too large to show" % (kind, len(text.encode()))
            text = fields % (main, '"text/plain":' + quote(note))
        partial.flush()  # what was printed before it
        return control.tell("result", text)

    def write_traceback(self, error):
        from _agb import errors
        from _agb.streams import write_all

        write_all(2, errors.describe(error).encode("utf-8", "backslashreplace"))


ENVELOPE = 100  # bytes of a frame besides its fields
cells = Cells()
