# Libraries that ask about what is around a program, and get the answers of this kernel.

import _ast
import sys

from _agb import imports
from _agb.cells import cells
from _agb.control import library
from _agb.streams import base_readline, python_frame, questions, streams


def loaded(module, _):
    parts = {
        "getpass": getpass, "inspect": inspect, "pandas.core.config_init": pandas, "plotly.io._renderers": plotly,
        "tqdm.notebook": tqdm, "traceback": traceback,
    }
    parts[module.__name__](module)


def getpass(module):
    """A secret is asked for like any other input, without a terminal's noise."""
    original = module.getpass

    def getpass(prompt="Password: ", stream=None):
        if sys.stdin is not streams.stdin:
            return original(prompt, stream)
        questions.ask_password(str(prompt))
        try:
            line = base_readline(streams.stdin)
        finally:
            questions.end()  # nobody had to be asked where a line was left
        if not line:
            raise EOFError("EOF when reading a line")
        return line[:-1] if line.endswith("\n") else line

    getpass.__module__, getpass.__qualname__, getpass.__doc__ = "getpass", "getpass", original.__doc__
    module.getpass = module.unix_getpass = module.fallback_getpass = getpass


def is_harness(frame):
    return frame.f_code.co_filename.startswith("<agb:") or frame.f_code is imports.boot


def traceback(module):
    """The stack of a program ends with the program."""

    def walk_stack(f):
        if f is None:
            f = python_frame(1)
            while f is not None and f.f_code.co_filename == module.__file__:
                f = f.f_back
        while f is not None:
            if not is_harness(f):
                yield f, f.f_lineno
            f = f.f_back

    walk_stack.__module__, walk_stack.__qualname__, walk_stack.__doc__ = "traceback", "walk_stack", module.walk_stack.__doc__
    module.walk_stack = walk_stack


def inspect(module):
    """Finds the source of a cell's classes, which have no file that could be asked for by their module. And the stack of a
    program ends with the program."""
    getfile, findsource, getouterframes = module.getfile, module.findsource, module.getouterframes

    def getouterframes_of(frame, context=1):
        return [one for one in getouterframes(frame, context) if not is_harness(one.frame)]

    def cell_of(value):
        if isinstance(value, type) and value.__module__ == "__main__":
            return class_place(value)
        return None

    def getfile_of(object):
        place = cell_of(object)
        return getfile(object) if place is None else place[0]

    def findsource_of(object):
        place = cell_of(object)
        if place is None:
            return findsource(object)
        return list(cells.sources.lines[place[0]][2]), place[1] - 1

    replaced = (
        ("getfile", getfile_of, getfile), ("findsource", findsource_of, findsource),
        ("getouterframes", getouterframes_of, getouterframes),
    )
    for name, function, original in replaced:
        function.__module__, function.__name__, function.__qualname__ = "inspect", name, name
        function.__doc__ = original.__doc__
        setattr(module, name, function)


def class_place(kind):
    """The last cell that defines a class of this name, and the line where that begins."""
    wanted = tuple(kind.__qualname__.replace(".<locals>", "").split("."))
    for name in reversed(cells.sources.lines):
        if wanted[-1] in "".join(cells.sources.lines[name][2]):
            line = classes_of(name).get(wanted)
            if line is not None:
                return name, line
    return None


known = {}  # the classes of the cells that were searched: their lines, by their names and those around them


def classes_of(cell):
    if cell not in known:
        try:
            flags = _ast.PyCF_ONLY_AST | _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            known[cell] = dict(classes_in(compile("".join(cells.sources.lines[cell][2]), cell, "exec", flags, True)))
        except (SyntaxError, ValueError):
            known[cell] = {}
    return known[cell]


def classes_in(tree):
    waiting = [(tree, ())]
    while waiting:
        node, names = waiting.pop()
        if isinstance(node, (_ast.ClassDef, _ast.FunctionDef, _ast.AsyncFunctionDef)):
            names += (node.name,)
            if isinstance(node, _ast.ClassDef):
                yield names, min([node.lineno] + [one.lineno for one in node.decorator_list])
        inner = []
        for field in node._fields:
            value = getattr(node, field, None)
            inner += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, _ast.AST)]
        waiting += [(one, names) for one in reversed(inner)]


MOST_COLUMNS = 40  # as many as pandas fits into the 80 characters of a script's output: a space and a digit each
NOTEBOOK_COLUMNS = 20  # pandas' own number where there is no terminal


def pandas(module):
    """No column is left out that a script would show. What does not fit into a line goes on below."""
    config = sys.modules["pandas._config.config"]
    if config.get_option("display.max_columns") == NOTEBOOK_COLUMNS:
        config.set_option("display.max_columns", MOST_COLUMNS)


def tqdm(module):
    """There are no widgets here: the bar is text."""
    std = sys.modules["tqdm.std"]
    module.tqdm = module.tqdm_notebook = std.tqdm
    module.trange = module.tnrange = std.trange


def plotly(module):
    """A figure is shown as its description, once; viewers draw it."""

    class Renderer(module.ExternalRenderer):
        def render(self, figure):
            from _agb import results

            results.display(plotly_bundle(figure), raw=True)

    module.renderers["agb"] = Renderer()
    if not module.os.environ.get("PLOTLY_RENDERER"):
        module.renderers.default = "agb"


def plotly_bundle(figure):
    to_json = sys.modules["plotly.io"].to_json  # it knows what is not of JSON in a figure
    document = library("json").loads(to_json(figure, validate=False))
    count = len(document.get("data", ()))
    text = "<plotly figure with %d trace%s>" % (count, "s" * (count != 1))
    return {"application/vnd.plotly.v1+json": document, "text/plain": text}
