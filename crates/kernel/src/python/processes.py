# `multiprocessing` as notebooks know it.
#
# A forked process has what the cells have defined. One that starts afresh (`spawn`, `forkserver`) has nothing: Python
# would run the program's file again there, and there is none. So what is sent to such a process and names a function
# or class of a cell takes along what is needed to make it: the definitions and imports of all cells, which are run
# where they are not known yet, and the values that the function uses.

import sys
from types import CodeType, FunctionType, ModuleType

import _ast

from _agb.cells import cells

DEFINITIONS = (_ast.Import, _ast.ImportFrom, _ast.FunctionDef, _ast.AsyncFunctionDef, _ast.ClassDef)

known = {}  # the definitions of cells, by name
globals_of = {}  # by code

# What runs in the other process, with the fields of `reduced` as its names; there is nothing of this harness there.
# It does not fail: a pool whose workers cannot read their tasks waits for ever. What is missing says so when called.
ARRIVAL = """
import importlib, linecache, marshal, sys
main = sys.modules["__main__"].__dict__
is_fork = "_agb" in sys.modules
problem = "it is neither defined by `def` or `class` in a cell nor imported"
for cell, text, codes in cells:
    if cell in linecache.cache:
        continue
    linecache.cache[cell] = len(text), None, text.splitlines(True), cell
    for code in codes:
        try:
            exec(marshal.loads(code), main)
        except Exception as error:
            problem = "%s: %s" % (type(error).__name__, error)
for alias, module in modules.items():
    try:
        main.setdefault(alias, importlib.import_module(module))
    except Exception as error:
        problem = "%s: %s" % (type(error).__name__, error)
for key, value in values.items():
    main[key] = main.get(key, value) if is_fork else value
try:
    found = main[path[0]]
    for name in path[1:]:
        found = getattr(found, name)
except (KeyError, AttributeError):
    def found(*_, name=".".join(path), problem=problem, **__):
        raise NameError("%s could not be defined in the new process: %s" % (name, problem))
"""


def loaded(module, _):
    if module.__name__ == "multiprocessing.context":
        # From Python 3.14 on forking is not the default any more.
        fork = module._concrete_contexts.get("fork")
        if fork is not None:
            module._default_context = module.DefaultContext(fork)
    else:
        # The first process that starts afresh.
        module.reduction.ForkingPickler.reducer_override = reduced


def reduced(pickler, value):
    """How a function or class of a cell is sent to another process."""
    if not isinstance(value, (FunctionType, type)) or getattr(value, "__module__", None) != "__main__":
        return NotImplemented
    path = value.__qualname__.split(".")
    found = cells.names.get(path[0])
    for name in path[1:]:
        found = getattr(found, name, None)
    if found is not value:
        return NotImplemented  # a lambda, or what is not there any more: pickle says what is wrong
    names = {"path": path, "cells": (), "modules": {}, "values": {}}
    sent = pickler.__dict__.setdefault("_agb_sent", set())
    if not sent:
        names["cells"] = definitions()
    for key, used in sorted(used_by(value, sent).items()):
        if isinstance(used, ModuleType):
            names["modules"][key] = used.__name__
        else:
            names["values"][key] = used
    sent.add(path[0])
    return eval, ("[exec(arrival, globals()), found][1]", dict(names, arrival=ARRIVAL))


def used_by(value, sent):
    """The globals that a function or class uses, directly or through others of the cells, and that were not sent."""
    used = {}
    waiting = [value]
    while waiting:
        for code in codes_of(waiting.pop()):
            for key in globals_in(code):
                if key in sent or key not in cells.names or key.startswith("__"):
                    continue
                sent.add(key)
                found = cells.names[key]
                if isinstance(found, (FunctionType, type)) and getattr(found, "__module__", None) == "__main__":
                    waiting.append(found)
                    if found.__qualname__ == key:
                        continue  # the definitions have it
                used[key] = found
    return used


def globals_in(code):
    """The names that code looks up; `co_names` has those of attributes, too."""
    if code not in globals_of:
        import dis

        found = {one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
        globals_of[code] = found
    return globals_of[code]


def codes_of(value):
    """The code of a function, or of a class's methods, with all that is in it."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, CodeType):
            yield value
            waiting.extend(value.co_consts)
        elif isinstance(value, FunctionType):
            waiting.append(value.__code__)
            waiting.append(getattr(value, "__wrapped__", None))
        elif isinstance(value, type):
            waiting.extend(value.__dict__.values())
        elif isinstance(value, property):
            waiting.extend((value.fget, value.fset, value.fdel))
        elif isinstance(value, (staticmethod, classmethod)):
            waiting.append(value.__func__)


def definitions():
    """The cells that define or import something: name, text and the statements, compiled."""
    found = []
    for name, entry in list(cells.sources.lines.items()):
        text = "".join(entry[2])
        if name not in known:
            known[name] = compiled(text, name)
        if known[name]:
            found.append((name, text, known[name]))
    return found


def compiled(text, name):
    import marshal

    from _agb import notebook

    try:
        tree = compile(text, name, "exec", _ast.PyCF_ONLY_AST | _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True)
    except SyntaxError:
        text = notebook.translate(text)
        if text is None:
            return []
        try:
            tree = compile(text, name, "exec", _ast.PyCF_ONLY_AST | _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True)
        except SyntaxError:
            return []
    wanted = [statement for statement in tree.body if isinstance(statement, DEFINITIONS)]
    return [marshal.dumps(compile(_ast.Module([one], []), name, "exec", 0, True)) for one in wanted]
