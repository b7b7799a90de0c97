# What is said of errors: tracebacks of the user's lines only.
#
# Whatever is asked of an exception may run code of the program's, which may raise anything. What could not be had is
# replaced by words; only a Ctrl-C ends it.

import _frozen_importlib_external as files
import os
import sys

from _agb.cells import cells
from _agb.control import control, quote
from _agb.looks import message_of, name_of, safely
from _agb.run import show_uncaught
from _agb.streams import write_all

HARNESS = "<agb"  # what the names of the harness's own files begin with
TEXT_LIMIT = 256 * 1024  # of an error's message or traceback: nobody reads more, and frames stay small
FRAMES = 500  # frames at each end of a trace that are shown; between them, a number
REPEATED = 500  # equal frames in a row are one line that counts them; of more, so many stand for all
CHAIN = 50  # causes of causes
GROUP = 1000  # exceptions of a group: of more, none is described


class UsageError(Exception):
    """A magic command that is unknown, or used in a way it does not understand."""

    __module__ = "builtins"  # tracebacks say the bare name


Module = type(sys)
links = BaseException.__dict__
cause_of, context_of = links["__cause__"].__get__, links["__context__"].__get__
trace_of, code_of = links["__traceback__"].__get__, SystemExit.__dict__["code"].__get__
Group = __builtins__.get("BaseExceptionGroup")  # older ones have none


def cut(text):
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"


TOLD = "\n"  # stands for the traceback where the program itself has told of the error


def report(error, ends):
    """Tells of an error; false if it is none. With a whole program (`ends`) it is left to the program's own hook, if that
    has one."""
    without_harness(error)
    was_told = not issubclass(type(error), SystemExit) and call_hook(error, ends)
    if issubclass(type(was_told), SystemExit):
        error = was_told
    kind = type(error)
    if issubclass(kind, SystemExit):
        code = code_of(error)
        if code is None or (isinstance(code, int) and int.__eq__(code, 0)):
            return False
        value = safely(str, code, "<no message: %s in __str__>")
        if not isinstance(code, int):
            write_error(value + "\n")
        name, trace = "SystemExit", "SystemExit: %s\n" % value
    else:
        name, value, trace = name_of(kind), message_of(error), TOLD if was_told and ends else describe(error)
    tell(name, value, trace)
    return True


def report_briefly(error):
    """Tells of an error without asking it anything."""
    name = name_of(type(error))
    tell(name, "", name + "\n")


def tell(name, value, trace):
    fields = '"name":%s,"value":%s,"traceback":%s'
    control.tell("error", fields % (quote(name), quote(cut(value)), quote(cut(trace))))


def exit_code(error):
    """With what a program ends that has ended so; tells why."""
    if not issubclass(type(error), SystemExit):
        write_error(describe(error))
        return 1
    code = code_of(error)
    if code is None or isinstance(code, int):
        return int(code or 0) & 0xFF
    write_error(message_of(error) + "\n")
    return 1


def write_error(text):
    """Writes to what the program takes for standard error, or to the real one."""
    try:
        sys.stderr.write(text)
    except KeyboardInterrupt:
        raise
    except BaseException:
        write_all(2, text.encode("utf-8", "backslashreplace"))


def without_harness(error):
    """Takes away the frames below the program's."""
    trace = trace_of(error)
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(HARNESS):
        trace = trace.tb_next
    BaseException.with_traceback(error, trace)


def call_hook(error, ends):
    """A program that has a hook for its errors is told of them as a script is. Gives whether there was one that has done
    its work, or how it ended the program."""
    hook = getattr(sys, "excepthook", None)
    if hook is None or hook is show_uncaught:
        return False
    try:
        hook(type(error), error, trace_of(error))
        return True
    except KeyboardInterrupt:
        raise
    except SystemExit as exit:
        return exit
    except BaseException as broken:
        without_harness(broken)
        text = "Error in sys.excepthook:\n%s" % describe(broken)
        write_error(text + "\nOriginal exception was:\n" if ends else text)
        return False


def describe(error):
    """The traceback as Python prints it, without the harness's own lines."""
    if type(error) is UsageError:
        return "UsageError: %s\n" % error  # where it was raised is nobody's business
    try:
        return Description(error).text
    except KeyboardInterrupt:
        raise
    except BaseException as broken:
        note = "[made without the traceback module: %s]" % name_of(type(broken))
        return "%s%s: %s\n%s\n" % (plainly(trace_of(error)), name_of(type(error)), message_of(error), note)


def plainly(trace):
    """The last frames of a trace, without any library's help."""
    lines = []
    while trace is not None:
        code, number = trace.tb_frame.f_code, trace.tb_lineno
        if not code.co_filename.startswith(HARNESS):
            text = '  File "%s", line %d, in %s\n' % (code.co_filename, number, code.co_name)
            source = cells.sources.lines.get(code.co_filename)
            if source is not None and 0 < number <= len(source[2]):
                text += "    %s\n" % source[2][number - 1].strip()
            lines.append(text)
        trace = trace.tb_next
        del lines[:-FRAMES]
    return "".join(["Traceback (most recent call last):\n"] + lines if lines else [])


class Description:
    """A traceback. Its cost is bounded: it may take less than a second for what a program has made in two."""

    def __init__(self, error):
        module = self.module = private_traceback()
        self.notes = []  # what stands for frames that were left out, and by what it is replaced
        ends = chain_ends(error)
        module._agb_frames = self.frames
        # The module asks for ids to find what it knows already.
        module.id = lambda one: id(error) if id(one) in ends else id(one)
        # A group that is large is described as an exception like others.
        module.BaseExceptionGroup = Group if Group is not None and is_small(error) else ()
        if issubclass(type(error), SyntaxError):
            add_line(error)
        try:
            report = module.TracebackException(type(error), error, trace_of(error), compact=True)
        finally:
            del module.id, module._agb_frames  # they know the error, and so the names of whoever raised it
        lines, size = ["[earlier exceptions are left out]\n\n"] if ends else [], 0
        for line in report.format():
            lines.append(line)
            size += len(line)
            if size > 2 * TEXT_LIMIT:
                break
        self.text = "".join(lines)
        for before, after in self.notes:
            self.text = self.text.replace(before, after)
        if not report.stack:
            self.text = self.text.replace("Traceback (most recent call last):\n", "", 1)

    def frames(self, trace):
        """A trace without the harness's frames: of equal ones in a row there are few, of many the first and the last."""
        first, last, left_out = [], [], 0
        code, line, repeated = None, 0, 0
        while trace is not None:
            one, trace = trace, trace.tb_next
            if one.tb_frame.f_code.co_filename.startswith(HARNESS):
                continue
            if one.tb_frame.f_code is not code or one.tb_lineno != line:
                self.fold(repeated)
                code, line, repeated = one.tb_frame.f_code, one.tb_lineno, 0
            repeated += 1
            if repeated > REPEATED + len(self.notes):
                continue
            if len(first) < FRAMES + REPEATED:
                first.append(one)
                continue
            last.append(one)
            if len(last) > 2 * FRAMES:
                del last[:FRAMES]
                left_out += FRAMES
        self.fold(repeated)
        if left_out:
            gap = Gap("<frames %d>" % len(self.notes))
            self.notes.append(('  File "%s", line 0, in \n' % gap.co_filename, "  [%d frames are left out]\n" % left_out))
            first.append(gap)
        return first + last

    def fold(self, repeated):
        shown = REPEATED + len(self.notes)
        if repeated > shown:
            line = "  [Previous line repeated %d more times]\n"
            self.notes.append((line % (shown - 3), line % (repeated - 3)))


def add_line(error):
    """The compiler, as opposed to the parser, looks for the line of a syntax error in a file."""
    lines = cells.sources.lines.get(error.filename)
    if error.text is None and lines is not None and isinstance(error.lineno, int) and 0 < error.lineno <= len(lines[2]):
        error.text = lines[2][error.lineno - 1]


class Gap:
    """Stands in a trace for frames that were left out."""

    tb_lasti, tb_lineno, co_name, f_globals, f_locals = -1, 0, "", {}, {}

    def __init__(self, name):
        self.co_filename = name
        self.tb_frame = self.f_code = self


def chain_ends(error):
    """The exceptions that are not described any more: there are enough between them and the last one."""
    waiting, seen, ends = [(error, 0)], set(), set()
    while waiting:
        one, depth = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if depth == CHAIN:
            ends.add(id(one))
        else:
            waiting += [(cause_of(one), depth + 1), (context_of(one), depth + 1)]
    return ends


def is_small(error):
    """Whether there are few enough exceptions in a group, and in those that caused it."""
    waiting, seen = [error], set()
    while waiting and len(seen) < GROUP:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [cause_of(one), context_of(one)]
        if issubclass(type(one), Group):
            waiting += Group.__dict__["exceptions"].__get__(one)[:GROUP]
    return not waiting


private = {}


def private_copy(name, replaced):
    """A module of the standard library's, loaded once more for the harness alone. It imports as the harness does, and
    of `replaced` it gets these modules."""
    path = os.__file__.rpartition("/")[0] + "/" + name + ".py"
    module = Module(name)
    module.__file__ = path
    module.__builtins__ = dict(__builtins__)
    module.__builtins__["__import__"] = lambda name, *rest: replaced.get(name) or __import__(name, *rest)
    exec(files.SourceFileLoader(name, path).get_code(name), module.__dict__)
    return module


def private_traceback():
    """The `traceback` module and the `linecache` it reads, loaded for the harness alone."""
    module = private.get("traceback")
    if module is None:
        linecache = private_copy("linecache", {})
        cells.sources.fill(linecache)
        module = private["traceback"] = private_copy("traceback", {"linecache": linecache})
        if hasattr(module, "_walk_tb_with_full_positions"):
            position = module._get_code_position

            def positions(trace):
                for one in module._agb_frames(trace):
                    found = position(one.tb_frame.f_code, one.tb_lasti)
                    yield one.tb_frame, found if found[0] is not None else (one.tb_lineno, None, None, None)

            module._walk_tb_with_full_positions = positions
        else:
            module.walk_tb = lambda trace: [(one.tb_frame, one.tb_lineno) for one in module._agb_frames(trace)]
    return module
