# IPython: the parts that programs import from it when it is not installed, and when it is, the way from it to here.
#
# Only `display` and the shell are different from the real ones: what it calls the front end is this kernel.

import sys

from _agb import results

SPEC = type(sys.__spec__)


def get_ipython():
    from _agb import shell

    return shell.shell


def clear_output(wait=False):
    """Does nothing: output is a log here, and what was shown stays."""


def update_display(value, *, display_id, **options):
    results.display(value, **options)


def publish_display_data(data, metadata=None, **_):
    results.display(data, raw=True)


def loaded(module, _):
    """The real IPython was imported: what it would send to its own kernel goes to this one."""
    if module.__name__.endswith("getipython"):
        module.get_ipython = get_ipython
    else:
        module.display, module.clear_output = results.display, clear_output
        module.update_display, module.publish_display_data = update_display, publish_display_data


# ---------------------------------------------------------------------------------------------- without the real one


def find_spec(name):
    return SPEC(name, Loader, is_package=name in PACKAGES) if name in MODULES else None


class Loader:
    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        MODULES[module.__name__](module)


def root(module):
    module.get_ipython, module.version_info, module.__version__ = get_ipython, (8, 24, 0, ""), "8.24.0"
    module.__doc__ = "The parts of IPython that programs use, offered by this kernel because IPython is not installed."

    def later(name):
        if name == "display":
            from importlib import import_module

            return import_module("IPython.display")
        raise AttributeError("module 'IPython' has no attribute %r: IPython is not installed; %%pip install ipython" % name)

    module.__getattr__ = later


def display(module):
    from _agb import formats

    module.__dict__.update({name: getattr(formats, name) for name in formats.__all__})
    module.display, module.clear_output = results.display, clear_output
    module.update_display, module.publish_display_data = update_display, publish_display_data
    module.DisplayHandle = results.DisplayHandle
    module.set_matplotlib_formats = set_matplotlib_formats
    module.__all__ = [*formats.__all__, "display", "clear_output", "update_display", "DisplayHandle"]


def set_matplotlib_formats(*formats, **_):
    from _agb import magics

    magics.set_formats(formats)


def core(module):
    pass


def getipython(module):
    module.get_ipython = get_ipython


def magic(module):
    def register(kind):
        def decorate(function, name=None):
            get_ipython().register_magic_function(function, kind, name)
            return function

        return decorate

    module.register_line_magic, module.register_cell_magic = register("line"), register("cell")
    module.register_line_cell_magic = register("line_cell")


def interactiveshell(module):
    class InteractiveShell:
        """What programs set to say which values a cell shows: `InteractiveShell.ast_node_interactivity = "all"`."""

        ast_node_interactivity = "last_expr"
        instance = staticmethod(get_ipython)

    module.InteractiveShell = InteractiveShell


def pylabtools(module):
    module.backend2gui = {}


MODULES = {
    "IPython": root,
    "IPython.display": display,
    "IPython.core": core,
    "IPython.core.display": display,
    "IPython.core.display_functions": display,
    "IPython.core.getipython": getipython,
    "IPython.core.interactiveshell": interactiveshell,
    "IPython.core.magic": magic,
    "IPython.core.pylabtools": pylabtools,
}
PACKAGES = {"IPython", "IPython.core"}
