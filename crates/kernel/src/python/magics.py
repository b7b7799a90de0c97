# The magic commands that people and models write in notebooks.

import os
import sys

from _agb import packages, results
from _agb.cells import cells
from _agb.control import library
from _agb.errors import UsageError
from _agb.shell import shell
from _agb.streams import streams

# ----------------------------------------------------------------------------------------------------------- time


def duration(seconds):
    """As IPython prints it: three digits and a unit, or minutes and hours."""
    if seconds >= 60:
        parts, rest = [], seconds
        for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
            count, rest = divmod(rest, size)
            if count:
                parts.append("%d%s" % (count, unit))
        return " ".join(parts)
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return "%.3g %s" % (seconds * factor, unit)
    return "%.3g ns" % (seconds * 1e9)


def timed(code):
    time = library("time")
    cpu, wall = os.times(), time.perf_counter()
    try:
        return cells.execute(code)
    finally:
        wall, after = time.perf_counter() - wall, os.times()
        user, system = after.user - cpu.user, after.system - cpu.system
        if user + system > 0:
            parts = duration(user), duration(system), duration(user + system)
            streams.stdout.write("CPU times: user %s, sys: %s, total: %s\n" % parts)
        streams.stdout.write("Wall time: %s\n" % duration(wall))


def at_line(body, first_line):
    """The body of a cell at the lines where it stands in the cell."""
    return "\n" * first_line + body


def time_line(line):
    return timed(line)


def time_cell(line, body, first_line):
    if line.strip():
        raise UsageError("`%%time` takes nothing on its own line; the program goes below it.")
    return timed(at_line(body, first_line))


def timeit(line, body=None, first_line=0):
    timeit, statistics = library("timeit"), library("statistics")
    number, repeat, quiet, output, line = timeit_options(line)
    statement, setup = (line, "pass") if body is None else (body, line or "pass")
    timer = timeit.Timer(statement, setup, globals=cells.names)
    if not number:
        number = timer.autorange()[0]
    runs = [run / number for run in timer.repeat(repeat, number)]
    mean = statistics.mean(runs)
    deviation = statistics.pstdev(runs) if len(runs) > 1 else 0.0
    if not quiet:
        streams.stdout.write("%s ± %s per loop (mean ± std. dev. of %d run%s, %s loop%s each)\n" % (
            duration(mean), duration(deviation), repeat, "s" * (repeat != 1), format(number, ","), "s" * (number != 1)))
    return runs if output else None


def timeit_options(line):
    number, repeat, quiet, output = 0, 7, False, False
    while line.startswith("-") and line[1:2] in ("n", "r", "q", "o"):
        option, line = line[1], line[2:].lstrip()
        if option in "nr":
            value, _, line = line.partition(" ")
            if not value.isdigit() or int(value) == 0:
                raise UsageError("`%%timeit -%s` takes a number, not %r." % (option, value))
            number, repeat = (int(value), repeat) if option == "n" else (number, int(value))
        quiet, output = quiet or option == "q", output or option == "o"
        line = line.lstrip()
    return number, repeat, quiet, output, line


# ------------------------------------------------------------------------------------------------------ processes


def script(program):
    """A cell magic that gives its cell to an interpreter."""

    def run(line, body, first_line):
        words = library("shlex").split(line)
        command = [*program, *words] if program else words
        if not command:
            raise UsageError("`%%script` takes the command that gets the cell, such as `%%script perl`.")
        subprocess = library("subprocess")
        try:
            with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
                try:
                    process.communicate(body.encode())
                except BrokenPipeError:
                    pass  # it has ended without reading everything
        except FileNotFoundError:
            raise UsageError("%s is not installed on this machine." % command[0]) from None
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, " ".join(command))

    return run


def run_file(line):
    """`%run file.py arguments`: in this program, as a main program."""
    words = library("shlex").split(line)
    while words and words[0] in ("-i", "-n"):
        words.pop(0)
    if not words:
        raise UsageError("`%run` takes a file, such as `%run program.py`.")
    path = words[0] if os.path.exists(words[0]) or words[0].endswith(".py") else words[0] + ".py"
    if not os.path.isfile(path):
        raise UsageError("`%%run`: there is no file %s in %s." % (words[0], os.getcwd()))
    argv, sys.argv = sys.argv, words
    try:
        names = library("runpy").run_path(path, run_name="__main__")
    finally:
        sys.argv = argv
        sys.modules["__main__"] = shell.user_module
    cells.names.update((name, value) for name, value in names.items() if not name.startswith("__"))


# ------------------------------------------------------------------------------------------------- files and places

previous = []


def change_directory(line):
    target = line.strip().strip("'\"")
    if target == "-":
        if not previous:
            raise UsageError("`%cd -`: no directory was left yet.")
        target = previous[-1]
    here = os.getcwd()
    try:
        os.chdir(os.path.expanduser(target or "~"))
    except OSError as error:
        raise UsageError("`%%cd %s`: %s." % (line, error.strerror)) from None
    previous[:] = [here]
    streams.stdout.write(os.getcwd() + "\n")


def environment(line):
    line = line.strip()
    if not line:
        return dict(os.environ)
    name, equals, value = line.partition("=") if "=" in line else line.partition(" ")
    name, value = name.strip(), value.strip()
    if not equals:
        if name not in os.environ:
            raise UsageError("Environment does not have key: %s" % name)
        return os.environ[name]
    os.environ[name] = value
    streams.stdout.write("env: %s=%s\n" % (name, value))


def write_file(line, body, first_line):
    words = library("shlex").split(line)
    append = "-a" in words or "--append" in words
    names = [word for word in words if word not in ("-a", "--append")]
    if len(names) != 1:
        raise UsageError("`%%writefile` takes one file name, such as `%%writefile program.py`.")
    path = os.path.expanduser(names[0])
    verb = "Appending to" if append else "Overwriting" if os.path.exists(path) else "Writing"
    streams.stdout.write("%s %s\n" % (verb, names[0]))
    with open(path, "a" if append else "w", encoding="utf-8") as file:
        file.write(body if body.endswith("\n") else body + "\n")


def command(name):
    def run(line):
        shell.system((name + " " + line).strip())

    return run


# --------------------------------------------------------------------------------------------------------- display


def shown_as(kind):
    def show(line, body, first_line):
        results.send(kind, {kind: body, "text/plain": "<%s>" % kind})

    return show


def capture(line, body, first_line):
    """`%%capture name`: what Python prints goes into a variable; what other processes print is shown."""
    io = library("io")
    words = [word for word in line.split() if not word.startswith("--")]
    out, err = io.StringIO(), io.StringIO()
    before, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), out, err
    try:
        cells.execute(at_line(body, first_line))
    finally:
        sys.stdout, sys.stderr = before
        if words:
            cells.names[words[0]] = Captured(out.getvalue(), err.getvalue())


class Captured:
    def __init__(self, out, err):
        self.stdout, self.stderr = out, err

    def show(self):
        sys.stdout.write(self.stdout)
        sys.stderr.write(self.stderr)

    __call__ = show

    def __str__(self):
        return self.stdout


def configure(line):
    """`%config`: the format of figures is what there is to configure; the rest is accepted."""
    name, equals, value = (part.strip() for part in line.partition("="))
    if equals and name in ("InlineBackend.figure_format", "InlineBackend.figure_formats"):
        set_formats(eval(value, cells.names))


def set_formats(formats):
    from _agb import plotting

    formats = [formats] if isinstance(formats, str) else list(formats)
    unknown = [name for name in formats if name not in plotting.KINDS]
    if unknown:
        raise UsageError("figures cannot be shown as %r; known are %s." % (unknown[0], ", ".join(plotting.KINDS)))
    plotting.formats[:] = formats


def matplotlib(line):
    """`%matplotlib`: figures are shown in the output whatever it says."""
    if line.strip() == "--list":
        streams.stdout.write("Available matplotlib backends: ['inline']\n")
    elif "matplotlib" in sys.modules:
        from _agb import plotting

        sys.modules["matplotlib"].use(plotting.BACKEND)


def ignore(*_):
    pass  # accepted for the sake of programs written for other notebooks


def variables(line):
    hidden = {"__builtins__", "__name__", "__doc__", "__package__", "__loader__", "__spec__", "__annotations__"}
    return sorted(name for name in cells.names if name not in hidden and not name.startswith("_"))


def who(line):
    names = variables(line)
    streams.stdout.write("\t ".join(names) + "\n" if names else "Interactive namespace is empty.\n")


def whos(line):
    for name in variables(line):
        value = cells.names[name]
        text = repr(value).replace("\n", " ")
        streams.stdout.write("%-16s %-16s %s\n" % (name, type(value).__name__, text if len(text) <= 60 else text[:57] + "..."))


def reset(line):
    for name in variables(line):
        del cells.names[name]


def list_magics(line):
    streams.stdout.write("Line magics: %s\nCell magics: %s\n" % (
        " ".join("%" + name for name in sorted({**LINE, **shell.line_magics})),
        " ".join("%%" + name for name in sorted({**CELL, **shell.cell_magics}))))


def conda(line):
    raise UsageError("there is no conda here; use `%pip install NAME`.")


def explain(name, detail=1):
    """`name?`, and with the source `name??`."""
    inspect = library("inspect")
    if name.startswith("%"):
        value = LINE.get(name.lstrip("%")) or CELL.get(name.lstrip("%"))
        if value is None:
            raise UsageError("there is no magic command `%s`; `%%lsmagic` lists those that exist." % name)
    else:
        try:
            value = eval(name, cells.names)
        except (NameError, AttributeError, KeyError, IndexError):
            streams.stdout.write("Object `%s` not found.\n" % name)
            return
    lines = []
    try:
        lines.append(("Signature", name + str(inspect.signature(value))))
    except (TypeError, ValueError):
        pass
    lines.append(("Type", type(value).__name__))
    is_named = inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value)
    if not is_named:
        text = repr(value)
        lines.append(("String form", text if len(text) <= 500 else text[:500] + "…"))
    try:
        lines.append(("File", inspect.getfile(value)))
    except (TypeError, OSError):
        pass
    for label, text in lines:
        streams.stdout.write("%-12s %s\n" % (label + ":", text))
    source = None
    if detail > 1:
        try:
            source = inspect.getsource(value)
        except (TypeError, OSError):
            pass
    if source is not None:
        streams.stdout.write("Source:\n%s\n" % source.rstrip("\n"))
    else:
        streams.stdout.write("Docstring:   %s\n" % (inspect.getdoc(value) or "<no docstring>"))


LINE = {
    "time": time_line,
    "timeit": timeit,
    "pip": packages.pip,
    "pip3": packages.pip,
    "conda": conda,
    "mamba": conda,
    "matplotlib": matplotlib,
    "pylab": matplotlib,
    "config": configure,
    "cd": change_directory,
    "pwd": lambda line: os.getcwd(),
    "env": environment,
    "set_env": environment,
    "run": run_file,
    "system": shell.system,
    "sx": shell.getoutput,
    "who": who,
    "who_ls": variables,
    "whos": whos,
    "reset": reset,
    "lsmagic": list_magics,
    "pinfo": explain,
    "load_ext": ignore,
    "reload_ext": ignore,
    "autoreload": ignore,
    "autosave": ignore,
    "precision": ignore,
    "xmode": ignore,
    "colors": ignore,
    "gui": ignore,
    **{name: command(name) for name in ("ls", "ll", "cat", "mkdir", "rm", "cp", "mv", "man")},
}
LINE["ll"] = command("ls -l")
CELL = {
    "time": time_cell,
    "timeit": timeit,
    "capture": capture,
    "writefile": write_file,
    "file": write_file,
    "script": script([]),
    **{name: script([name]) for name in ("bash", "sh", "perl", "ruby", "node")},
    **{name: script([sys.executable or "python3"]) for name in ("python", "python3")},
    "html": shown_as("text/html"),
    "HTML": shown_as("text/html"),
    "markdown": shown_as("text/markdown"),
    "latex": shown_as("text/latex"),
    "svg": shown_as("image/svg+xml"),
    "SVG": shown_as("image/svg+xml"),
    "javascript": shown_as("application/javascript"),
    "js": shown_as("application/javascript"),
}
# In the lines of these nothing is replaced: they are programs.
VERBATIM = {"time", "timeit", "pinfo", "capture", "config", "script", "system", "sx"}
