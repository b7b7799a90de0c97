# `get_ipython()`: the notebook around a program, as far as programs ask for it.

import os
import re
import sys

from _agb.cells import cells
from _agb.control import library
from _agb.errors import UsageError

# `{expression}`, `$name`, and the ways to mean the characters themselves.
PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|\$\$|\$([A-Za-z_]\w*)")


class Lines(list):
    """The lines that a command printed, as `x = !command` gives them."""

    @property
    def l(self):  # noqa: E743 - IPython's name
        return list(self)

    list = l

    @property
    def n(self):
        return "\n".join(self)

    nlstr = n

    @property
    def s(self):
        return " ".join(self)

    spstr = s

    def grep(self, pattern):
        match = pattern if callable(pattern) else re.compile(pattern, re.I).search
        return Lines(line for line in self if match(line))


class Events:
    """What libraries register with and nothing here triggers, but for the end of a cell."""

    def register(self, event, function):
        if event in ("post_execute", "post_run_cell") and function not in cells.after:
            cells.after.append(function)

    def unregister(self, event, function):
        if function in cells.after:
            cells.after.remove(function)

    def trigger(self, event, *args):
        pass


class Shell:
    """The part of IPython's shell that programs and libraries use."""

    def __init__(self):
        self.user_ns = self.user_global_ns = cells.names
        self.user_module = sys.modules["__main__"]
        self.config = {}
        self.kernel = None  # libraries ask whether it is there: then no terminal is
        self.events = Events()
        self.line_magics, self.cell_magics = {}, {}

    @property
    def execution_count(self):
        return int(cells.name[len("<cell "):-1])

    # Magics.

    def run_line_magic(self, name, line, _stack_depth=1):
        from _agb import magics

        function = self.line_magics.get(name) or magics.LINE.get(name)
        if function is None:
            raise unknown(name, "Line", "%", magics.LINE, magics.CELL)
        # What measures a program must get it as it is written.
        return function(line if name in magics.VERBATIM else self.var_expand(line))

    def run_cell_magic(self, name, line, body, first_line=1):
        from _agb import magics

        function = self.cell_magics.get(name)
        if function is not None:
            return function(line, body)
        function = magics.CELL.get(name)
        if function is None:
            raise unknown(name, "Cell", "%%", magics.CELL, magics.LINE)
        return function(line if name in magics.VERBATIM else self.var_expand(line), body, first_line)

    def magic(self, text):
        name, _, line = text.lstrip("%").partition(" ")
        return self.run_line_magic(name, line.strip())

    def find_magic(self, name, kind="line"):
        from _agb import magics

        own, known = (self.line_magics, magics.LINE) if kind == "line" else (self.cell_magics, magics.CELL)
        return own.get(name) or known.get(name)

    find_line_magic = find_magic

    def find_cell_magic(self, name):
        return self.find_magic(name, "cell")

    def register_magic_function(self, function, magic_kind="line", magic_name=None):
        name = magic_name or function.__name__
        if magic_kind in ("line", "line_cell"):
            self.line_magics[name] = function
        if magic_kind in ("cell", "line_cell"):
            self.cell_magics[name] = function

    # Commands.

    def system(self, command):
        """Runs a shell command; what it prints is the cell's output."""
        command = self.prepare(command)
        # Not `os.system`, which keeps an interrupt from us: the cell would go on behind the command.
        signals = library("signal")
        pid = os.posix_spawn(
            "/bin/sh", ["/bin/sh", "-c", command], os.environ, setsigdef=[signals.SIGPIPE, signals.SIGXFSZ]
        )
        try:
            status = os.waitpid(pid, 0)[1]
        except KeyboardInterrupt:
            os.waitpid(pid, 0)  # the signal went to the whole group
            raise
        self.user_ns["_exit_code"] = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)

    system_raw = system_piped = system

    def getoutput(self, command, split=True):
        """The lines that a shell command prints."""
        subprocess = library("subprocess")
        done = subprocess.run(
            self.prepare(command), shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", errors="backslashreplace",
        )
        self.user_ns["_exit_code"] = done.returncode
        return Lines(done.stdout.splitlines()) if split else done.stdout

    def prepare(self, command):
        from _agb import packages

        if packages.PIP.search(command):
            packages.ensure()
        return self.var_expand(command)

    def var_expand(self, text):
        """Puts values of the program into a command, and leaves alone what is none of its names."""

        def replace(found):
            expression, name = found[1], found[2]
            if found[0] in ("{{", "}}", "$$"):
                return found[0][0]
            if name is not None:
                return str(self.user_ns[name]) if name in self.user_ns else found[0]
            try:
                value, _, form = expression.partition(":")
                return format(eval(value, self.user_ns), form)
            except Exception:
                return found[0]

        return PLACEHOLDER.sub(replace, text) if "{" in text or "$" in text else text

    # The program.

    def run_cell(self, code, *_, **__):
        value = cells.execute(code)
        if value is not None:
            cells.show(value, False)

    def ev(self, expression):
        return eval(expression, self.user_ns)

    def ex(self, code):
        exec(code, self.user_ns)

    def push(self, names, interactive=True):
        if isinstance(names, dict):
            self.user_ns.update(names)
        else:
            frame = sys._getframe(1)
            for name in names.split() if isinstance(names, str) else names:
                self.user_ns[name] = frame.f_locals.get(name, frame.f_globals.get(name))

    def help(self, name, detail=1):
        from _agb import magics

        magics.explain(name, detail)

    @staticmethod
    def open_standard(*args, **options):
        """Opens descriptor 0, 1 or 2; see `standard_input`."""
        from _agb import standard_input

        return standard_input.opened(*args, **options)

    @staticmethod
    def close_standard(function, *args, **options):
        """Calls what closes descriptors; see `standard_input`."""
        from _agb import standard_input

        return standard_input.closed(function, *args, **options)

    def enable_gui(self, gui=None):
        pass

    def enable_matplotlib(self, gui=None):
        return "inline", "module://_agb.figures"

    def showtraceback(self, *_, **__):
        if sys.exc_info()[1] is not None:
            cells.write_traceback(sys.exc_info()[1])


def unknown(name, kind, sign, known, others):
    hint = ""
    if name in others:
        other = "%" if sign == "%%" else "%%"
        hint = " But the %s magic `%s%s` exists." % ("line" if other == "%" else "cell", other, name)
    names = ", ".join(sign + magic for magic in sorted(known))
    return UsageError("%s magic function `%s%s` not found.%s Known here: %s." % (kind, sign, name, hint, names))


shell = Shell()
