# `open(0)`, `open("/dev/stdin")`, `open(sys.stdout.fileno(), "w")` and their like, as programs write them.
#
# Nothing is to be read from descriptor 0: input comes over the control channel, and a file object that is made of
# descriptor 1 or 2 would close it when it goes. So these calls are made by `opened`, where they stand in a cell.
#
# So are `os.close(1)` and its like: the next file that is opened would be the descriptor, and get what is printed.

import _ast
import _io
import os

from _agb.control import control
from _agb.streams import RawIn, TextIn, streams

INPUTS = {0, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"}
OUTPUTS = {1, 2}
STREAMS = {"stdin": 0, "stdout": 1, "stderr": 2, "__stdin__": 0, "__stdout__": 1, "__stderr__": 2}
CLOSING = {"close", "closerange"}


def rewrite(tree):
    """Has the functions below called instead, at the same places."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        for name in node._fields:
            value = getattr(node, name, None)
            waiting += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, _ast.AST)]
        if not isinstance(node, _ast.Call):
            continue
        if opens(node.func) and node.args and is_standard(node.args[0]):
            replace(node, "open_standard")
        elif closes(node.func):
            node.args.insert(0, node.func)
            replace(node, "close_standard")


def replace(call, name):
    place = {name: getattr(call.func, name) for name in call.func._attributes}
    shell = _ast.Call(_ast.Name("get_ipython", _ast.Load(), **place), [], [], **place)
    call.func = _ast.Attribute(shell, name, _ast.Load(), **place)


def closes(function):
    return (
        isinstance(function, _ast.Attribute)
        and isinstance(function.value, _ast.Name)
        and function.value.id == "os"
        and function.attr in CLOSING
    )


def opens(function):
    if isinstance(function, _ast.Name):
        return function.id in ("open", "fdopen")
    return (
        isinstance(function, _ast.Attribute)
        and isinstance(function.value, _ast.Name)
        and (function.value.id, function.attr) in (("io", "open"), ("os", "fdopen"))
    )


def is_standard(argument):
    if isinstance(argument, _ast.Constant):
        # `False == 0`, but nobody means it.
        return type(argument.value) in (int, str) and argument.value in INPUTS | OUTPUTS
    # `sys.stdout.fileno()`
    return (
        isinstance(argument, _ast.Call)
        and isinstance(argument.func, _ast.Attribute)
        and argument.func.attr == "fileno"
        and isinstance(argument.func.value, _ast.Attribute)
        and argument.func.value.attr in STREAMS
    )


def opened(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
    if type(file) not in (int, str) or file not in INPUTS:
        return _io.open(file, mode, buffering, encoding, errors, newline, closefd=not type(file) is int and closefd)
    if not isinstance(mode, str) or "b" not in mode and set(mode) - set("rt"):
        return _io.open(file, mode, buffering, encoding, errors, newline)  # raises what it raises
    nonce = streams.stdin.raw.nonce if control.is_ours() else None
    if "b" in mode:
        raw = RawIn(nonce)
        return raw if buffering == 0 else _io.BufferedReader(raw)
    return TextIn(nonce)


def closed(function, *args, **options):
    """What `os.close` or `os.closerange` does, but that descriptors 0, 1 and 2 lead to nowhere and stay taken."""
    if not control.is_ours():
        return function(*args, **options)
    if function is os.close and len(args) == 1 and isinstance(args[0], int) and 0 <= args[0] <= 2:
        return lead_nowhere(args[0])
    if function is os.closerange and len(args) == 2 and all(isinstance(one, int) for one in args):
        for fd in range(max(args[0], 0), min(args[1], 3)):
            lead_nowhere(fd)
        args = max(args[0], 3), args[1]
    return function(*args, **options)


def lead_nowhere(fd):
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, fd)
    os.close(null)
