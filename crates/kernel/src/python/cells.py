# Runs cells in `__main__`, and says what came of them.

import _ast
import builtins
import os
import sys

from _agb import imports
from _agb.control import control, interrupts, library, quote
from _agb.streams import stderr, stdin, stdout

# What `repr` alone shows: for these nothing has to be loaded.
PLAIN = {int, float, str, bool, bytes, complex, list, tuple, dict, set}
COROUTINE = 0x80  # of `co_flags`: the code has an `await`
# Who calls one of these outside of a function means the loop that `await` runs in,
LOOP_NAMES = {"create_task", "ensure_future", "get_running_loop"}
# but who also calls one of these has a loop of its own, which another that runs would forbid.
RUN_NAMES = {"run", "run_until_complete", "run_forever"}


class Sources:
    """The text of every cell, for tracebacks and `inspect`.

    `linecache` is what both read. It is filled when somebody imports it, not imported to be filled."""

    def __init__(self):
        self.lines = {}
        self.cache = self.lines
        imports.when_loaded("linecache", None, self.fill)

    def fill(self, linecache, _):
        self.cache = linecache.cache
        self.cache.update(self.lines)

    def add(self, name, code):
        entry = (len(code), None, [line + "\n" for line in code.split("\n")], name)
        self.lines[name] = self.cache[name] = entry


class Cells:
    """Runs cells in `__main__`."""

    def __init__(self):
        module = type(sys)("__main__")
        self.names = module.__dict__
        self.names.update(__builtins__=builtins, __spec__=None, __annotations__={})
        sys.modules["__main__"] = module
        self.sources = Sources()
        self.name = ""
        self.loop = None
        self.nonce = ""
        self.frame_limit = 0
        self.after = []  # what runs after each cell, as a part of it

    def run(self, message):
        self.nonce = message["nonce"]
        self.frame_limit = message["maxFrame"]
        code, self.name = message["code"], "<cell %d>" % message["count"]
        self.sources.add(self.name, code)
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
                try:
                    result = self.execute(code)
                    if result is not None:
                        self.names["_"] = result
                        self.show(result, True)
                    result = None
                finally:
                    for function in self.after:
                        function()
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

    def execute(self, code):
        """Runs a program; answers its last expression's value if that is to be shown."""
        # dont_inherit: no __future__ of this file; the flag allows `await` outside of functions.
        flags = _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
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
        is_coroutine = code.co_flags & COROUTINE
        if not is_coroutine and (LOOP_NAMES.isdisjoint(code.co_names) or not RUN_NAMES.isdisjoint(code.co_names)):
            return eval(code, self.names)
        asyncio = library("asyncio")
        if self.loop is None or self.loop.is_closed():
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)

        async def inside():
            return eval(code, self.names)

        task = self.loop.create_task(eval(code, self.names) if is_coroutine else inside())
        try:
            return self.loop.run_until_complete(task)
        except BaseException:
            # Interrupted: the task must not go on in the next cell.
            if not task.done():
                task.cancel()
                try:
                    self.loop.run_until_complete(task)
                except BaseException:
                    pass
            raise

    @staticmethod
    def is_suppressed(code, last):
        """Whether a semicolon follows the last expression."""
        line = code.split("\n")[last.end_lineno - 1]
        return line.encode()[last.end_col_offset:].lstrip(b" \t)").startswith(b";")

    def show(self, value, is_main):
        kind = type(value)
        if kind in PLAIN and control.is_ours():
            self.send_result(kind.__name__, '"text/plain":' + quote(repr(value)), is_main)
        else:
            from _agb import results

            results.show(value, is_main)

    def send_result(self, kind, data, is_main):
        """Sends a result whose representations are JSON already."""
        text = '{"type":"result","nonce":%s,"main":%s,"data":{%s}}'
        nonce, main = quote(self.nonce), "true" if is_main else "false"
        frame = text % (nonce, main, data)
        # Four bytes are the most that one character takes in UTF-8: only what may be too large is measured.
        if len(frame) * 4 > self.frame_limit and len(frame.encode()) > self.frame_limit:
            note = "%s of %d bytes: too large to show" % (kind, len(frame.encode()))
            frame = text % (nonce, main, '"text/plain":' + quote(note))
        control.send(frame)

    def exit_code(self, failure):
        if failure is None:
            return 0
        if isinstance(failure, SystemExit):
            return failure.code if isinstance(failure.code, int) else int(failure.code is not None)
        self.write_traceback(failure)
        return 1

    def report(self, error):
        from _agb import errors

        return errors.report(error, self.nonce)

    def write_traceback(self, error):
        from _agb import errors

        stderr.write(errors.describe(error))

    @staticmethod
    def flush_c():
        """What C code printed through stdio lies in its buffer: out with it, it belongs to this cell."""
        ctypes = sys.modules.get("ctypes")
        if ctypes is not None:
            try:
                ctypes.CDLL(None).fflush(None)
            except Exception:
                pass


cells = Cells()
