# The first thing a Python kernel runs: the harness's own imports.
#
# The harness shares nothing with the program that the program can change. It runs with builtins of its own; its modules
# are in a table of its own and not in `sys.modules`; and of the modules that it uses it has copies, made before the
# program's first line, so that a function that is replaced, mocked or deleted there is still here.
#
# All parts come in one frame, as sources or compiled by an interpreter of this version. A source is compiled when
# something imports it: compiling is most of what a kernel does before it is ready. What is imported before the first
# cell imports nothing else than modules in C.

import builtins
import sys

PACKAGE = "_agb"
# What the program, or a library of its, may import: matplotlib finds its backend by name, and a copy of a zygote can be
# told by the presence of its module.
PUBLIC = {PACKAGE, "_agb.figures", "_agb.zygote"}
# What the core of the harness calls. Everything in it has to be taken now.
TAKEN = ("_ast", "_frozen_importlib_external", "_io", "_json", "_signal", "_thread", "_warnings", "io", "os", "time")
# These as well where they need no file; else when they are first used.
TAKEN_IF_BUILT_IN = ("binascii", "select")

own_builtins = __builtins__  # noqa: F821 - the boot code has made it
real_import = builtins.__import__
ModuleSpec, Module = type(sys.__spec__), type(sys)


def copied(module):
    copy = Module(module.__name__)
    copy.__dict__.update(module.__dict__)
    return copy


class Imports:
    """The harness's own modules, and calls when certain others were loaded.

    Every import of the user's program passes here, so it costs two look-ups in dictionaries.
    """

    def __init__(self, parts, loads):
        names = ("%s.%s" % (PACKAGE, name) for name in parts[::2])
        self.parts, self.loads = dict(zip(names, parts[1::2])), loads
        self.package = Module(PACKAGE)
        self.package.__path__ = []
        self.package.imports = self
        self.modules = {PACKAGE: self.package}
        names = TAKEN + tuple(name for name in TAKEN_IF_BUILT_IN if name in sys.builtin_module_names)
        self.taken = {name: copied(real_import(name)) for name in names}
        self.hooks = {}
        self.boot = sys._getframe(2).f_code  # the code of the command line, which the interpreter runs first
        own_builtins["__import__"] = self.own_import
        sys.meta_path.insert(0, self)

    # What the harness imports.

    def own_import(self, name, names=None, scope=None, fromlist=(), level=0):
        """`import` as the harness's own files know it."""
        if name == PACKAGE or name.startswith(PACKAGE + "."):
            module = self.load(name)
            for part in fromlist or ():
                if part not in module.__dict__:
                    self.load("%s.%s" % (PACKAGE, part))
            return module if fromlist else self.package
        return self.taken.get(name) or real_import(name, names, scope, fromlist, level)

    def load(self, name):
        module = self.modules.get(name)
        if module is None:
            module = self.make(name)
            self.run(module)
        return module

    def make(self, name):
        module = Module(name)
        module.__package__, module.__builtins__ = PACKAGE, own_builtins
        return module

    def run(self, module):
        name = module.__name__
        file = name[len(PACKAGE) + 1:]
        part, loads = self.parts[name], self.loads
        code = loads(part) if loads is not None else compile(part, "<agb:%s>" % file, "exec", 0, True)
        self.modules[name] = module
        try:
            exec(code, module.__dict__)
        except BaseException:
            del self.modules[name]  # a program was interrupted that needed it: the next one tries anew
            raise
        setattr(self.package, file, module)

    # What the program imports.

    def when_loaded(self, name, prepare, finish):
        """Around the loading of module `name`, calls `finish(module, prepare())`; at once if it is loaded already."""
        if name in sys.modules:
            finish(sys.modules[name], None)
        else:
            self.hooks[name] = (prepare, finish)

    def find_spec(self, name, path=None, target=None):
        if name in PUBLIC:
            return ModuleSpec(name, self, is_package=name == PACKAGE)
        hook = self.hooks.pop(name, None)
        if hook is not None:
            for finder in sys.meta_path:
                spec = finder.find_spec(name, path, target) if finder is not self else None
                if spec is not None and spec.loader is not None:
                    spec.loader = Hooked(spec.loader, *hook)
                    return spec
            self.hooks[name] = hook  # not there yet: it may be installed later
        return None

    def create_module(self, spec):
        return self.modules.get(spec.name) or self.make(spec.name)

    def exec_module(self, module):
        if module.__name__ not in self.modules:
            self.run(module)


class Hooked:
    """The loader of a module that somebody waits for."""

    def __init__(self, loader, prepare, finish):
        self.loader, self.prepare, self.finish = loader, prepare, finish

    def __getattr__(self, name):
        return getattr(self.loader, name)  # resources and sources, for whoever asks

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self.loader
        prepared = self.prepare() if self.prepare is not None else None
        try:
            self.loader.exec_module(module)
        finally:
            self.finish(module, prepared)


imports = Imports(parts, loads)  # noqa: F821 - globals that the boot code has set
sys.modules[PACKAGE] = imports.package

import _agb.main  # noqa: E402 - does not return
