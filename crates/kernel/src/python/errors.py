# What is said of errors: tracebacks of the user's lines only.

from _agb.control import control, library, quote
from _agb.streams import stderr

HARNESS = "<agb"  # what the names of the harness's own files begin with
TEXT_LIMIT = 256 * 1024  # of an error's message or traceback: nobody reads more, and frames stay small


class UsageError(Exception):
    """A magic command that is unknown, or used in a way it does not understand."""

    __module__ = "builtins"  # tracebacks say the bare name


def cut(text):
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"


def report(error, nonce):
    """Tells of an error; false if it is none."""
    if isinstance(error, SystemExit):
        code = error.code
        if code is None or (isinstance(code, int) and code == 0):
            return False
        if not isinstance(code, int):
            stderr.write(str(code) + "\n")
        name, value, trace = "SystemExit", str(code), "SystemExit: %s\n" % (code,)
    else:
        name, trace = type(error).__name__, describe(error)
        try:
            value = str(error)
        except Exception as broken:
            value = "<no message: %s in __str__>" % type(broken).__name__
    control.send(
        '{"type":"error","nonce":%s,"name":%s,"value":%s,"traceback":%s}'
        % (quote(nonce), quote(name), quote(cut(value)), quote(cut(trace)))
    )
    return True


def describe(error):
    """The traceback as Python prints it, without the harness's own lines."""
    if isinstance(error, UsageError):
        return "UsageError: %s\n" % error  # where it was raised is nobody's business
    try:
        traceback = library("traceback")
        report = traceback.TracebackException.from_exception(error)
        pending, seen = [report], set()
        while pending:
            part = pending.pop()
            if part is None or id(part) in seen:
                continue
            seen.add(id(part))
            if part.stack is not None:
                part.stack[:] = [frame for frame in part.stack if not frame.filename.startswith(HARNESS)]
            pending += [part.__cause__, part.__context__]
            pending += getattr(part, "exceptions", None) or []
        text = "".join(report.format())
        if not report.stack:
            text = text.replace("Traceback (most recent call last):\n", "", 1)
        return text
    except Exception as broken:  # an exception class that cannot be printed
        return "%s (its traceback could not be made: %s)\n" % (type(error).__name__, type(broken).__name__)
