# The first thing a Python kernel runs: makes the other files of the harness importable as `_agb.NAME`, and starts.
#
# All sources come in one frame, but each is compiled only when something imports it: compiling is most of what a
# kernel does before it is ready. What is imported before the first cell imports nothing else than built-in modules
# (C, no file to read); the rest is imported when it is first needed.

import sys

PACKAGE = "_agb"


class Imports:
    """Finds the harness's own modules before any file does, and calls back after certain others were loaded.

    Every import of the user's program passes here, so it costs two look-ups in dictionaries.
    """

    def __init__(self, parts):
        names = ("%s.%s" % (PACKAGE, name) for name in parts[::2])
        self.sources = dict(zip(names, parts[1::2]))
        self.hooks = {}
        sys.meta_path.insert(0, self)

    def when_loaded(self, name, prepare, finish):
        """Around the loading of module `name`, calls `finish(module, prepare())`; at once if it is loaded already."""
        if name in sys.modules:
            finish(sys.modules[name], None)
        else:
            self.hooks[name] = (prepare, finish)

    def find_spec(self, name, path=None, target=None):
        if name in self.sources:
            return type(sys.__spec__)(name, self)
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
        return None

    def exec_module(self, module):
        name = module.__name__
        code = compile(self.sources[name], "<agb:%s>" % name[len(PACKAGE) + 1:], "exec", 0, True)
        exec(code, module.__dict__)


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


package = type(sys)(PACKAGE)
package.__path__ = []
package.imports = Imports(parts)  # noqa: F821 - a global that the boot code has set
sys.modules[PACKAGE] = package

import _agb.main  # noqa: E402 - does not return
