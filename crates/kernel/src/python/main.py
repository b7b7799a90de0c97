# Serves cells until nobody sends any more.

import builtins
import os
import sys

from _agb import imports, run
from _agb.control import control, interrupts
from _agb.streams import streams


def display(*values, **options):
    """Shows values in their richest form, as a notebook does."""
    from _agb import results

    return results.display(*values, **options)


def get_ipython():
    """The notebook around this program: a small one that knows the usual magics."""
    from _agb import shell

    return shell.shell


def prepare_packages():
    """What this session has installed is importable; see `packages`."""
    from _agb import packages

    packages.use()


def hook(name, part, prepare=False):
    """After module `name` was loaded, calls `loaded` of a part of the harness."""

    def get_ready():
        return imports.load("_agb." + part).prepare() if prepare else None

    def finish(module, prepared):
        imports.load("_agb." + part).loaded(module, prepared)

    imports.when_loaded(name, get_ready, finish)


class LastResort:
    """Offers a small `IPython` to programs on a machine that has none."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "IPython" or name.startswith("IPython."):
            from _agb import shim

            return shim.find_spec(name)
        return None


GUARDS = 4  # one in the other: each is left only when a handler raises while the one inside tells of an error

for function in (display, get_ipython):
    function.__module__ = "builtins"
    setattr(builtins, function.__name__, function)
sys.excepthook, sys.unraisablehook = run.show_uncaught, run.show_ignored
sys.__excepthook__ = run.show_uncaught  # Python's own finds the lines of a cell in no file
is_zygote, sys.argv = sys.argv[1:] == ["zygote"], ["cell.py"]
sys.path.insert(0, "")
sys.meta_path.append(LastResort)
imports.when_loaded("ctypes", None, run.ctypes_loaded)
imports.when_loaded("threading", None, run.threading_loaded)
hook("asyncio.base_events", "asyncio_input")
hook("asyncio.selector_events", "asyncio_input")
hook("getpass", "libraries")
hook("inspect", "libraries")
hook("pandas.core.config_init", "libraries")
hook("plotly.io._renderers", "libraries")
hook("tqdm.notebook", "libraries")
hook("traceback", "libraries")
hook("matplotlib", "plotting", prepare=True)
hook("IPython.core.display_functions", "shim")
hook("IPython.core.getipython", "shim")
if sys.version_info >= (3, 14):
    hook("multiprocessing.context", "processes")
for name in ("popen_spawn_posix", "popen_forkserver"):
    hook("multiprocessing." + name, "processes")
interrupts.install()
if is_zygote:
    from _agb import zygote

    zygote.serve()  # what comes now is a copy's
streams.keep()
if os.path.isdir(os.environ.get("HOME", "") + "/.local/share/agb"):
    prepare_packages()
control.send('{"type":"ready"}')
status = run.Runs().guard(GUARDS)
if status:
    raise SystemExit(status)  # of a forked copy: the kernel's own is told otherwise
