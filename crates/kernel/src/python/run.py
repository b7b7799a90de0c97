# One run, from its message to its end.

import _signal
import _thread
import _warnings
import os
import sys
import time

from _agb.cells import cells
from _agb.control import control, interrupts
from _agb.looks import safely
from _agb.streams import partial, streams

# Runs of a program end with its timers: one that nobody handles would kill the interpreter later.
TIMERS = (
    (_signal.ITIMER_REAL, _signal.SIGALRM),
    (_signal.ITIMER_VIRTUAL, _signal.SIGVTALRM),
    (_signal.ITIMER_PROF, _signal.SIGPROF),
)
MOST_STRAYS = 1000  # errors of signal handlers while a run begins or ends, before it is given up

clock = time.perf_counter
gettrace, settrace, getprofile, setprofile = sys.gettrace, sys.settrace, sys.getprofile, sys.setprofile
forget_warnings = getattr(_warnings, "_filters_mutated", None) or getattr(_warnings, "_filters_mutated_lock_held", None)
SIGNAL_MASK = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())


class Run:
    """One run, in steps. Between any two lines in here, but for `execute`, a signal handler that an earlier program has
    left may raise; so every step can be done again."""

    trace = profile = None  # what programs have set, while none runs

    def __init__(self, message):
        self.nonce, self.may_ask = message["nonce"], message["stdin"]
        # A file's text, as Python reads it.
        code = message["code"].replace("\r\n", "\n").replace("\r", "\n")
        self.code = code[1:] if code[:1] == "\ufeff" else code
        self.name, self.frame_limit = "<cell %d>" % message["count"], message["maxFrame"]
        self.ends, self.ending = message["ends"], None  # whether it is a whole program, after which Python ends
        self.program = message.get("program")  # its file's name, and its arguments
        self.arguments = ["%s" % message["argument%d" % at] for at in range(message.get("arguments", 0))]
        self.status = 0
        self.failure = None
        self.failed = self.is_watched = False
        self.seconds = 0.0
        self.strays = 0
        self.step = self.begin

    def go_on(self):
        """Does what is left; false if that is nothing."""
        try:
            while self.step is not None:
                self.step()
        except BaseException as error:
            if self.step == self.execute:
                self.failure = self.failure or error
                self.step = self.end
            else:
                tell_stray(error)
                self.strays += 1
                if self.strays == MOST_STRAYS:  # no handler's, but the harness's own, or an audit hook's
                    control.open(self.nonce)
                    self.failure, self.step = error, self.end
        return self.step is not None

    def begin(self):
        cells.name, cells.frame_limit, cells.ends = self.name, self.frame_limit, self.ends
        cells.begin()
        cells.sources.add(self.name, self.code)
        streams.begin(self.nonce if self.may_ask else None)
        cells.names.pop("__warningregistry__", None)
        if forget_warnings is not None:
            forget_warnings()  # each is shown once a run
        _signal.pthread_sigmask(_signal.SIG_SETMASK, SIGNAL_MASK)
        interrupts.install()
        interrupts.pending = False
        control.open(self.nonce)
        if self.program is not None:
            sys.argv = [self.program, *self.arguments]
            if self.program != "-":
                cells.names["__file__"] = os.path.join(os.getcwd(), self.program)
        if self.ends and self.ending is None:
            from _agb import ending

            self.ending = ending.Ending(self)
        self.step = self.execute

    def execute(self):
        start = clock()
        try:
            interrupts.in_cell = True
            try:
                self.run_program()
            except BaseException as error:
                self.failure = error
            self.seconds = clock() - start
            if not control.is_ours():
                return self.leave_fork()
            # The program's time limit holds for these, too: they may run code of its classes.
            if self.failure is not None:
                self.report()
            streams.flush()
        finally:
            interrupts.in_cell = False
        self.step = self.end

    def run_program(self):
        try:
            cells.enter()
            self.is_watched = True
            settrace(Run.trace)
            setprofile(Run.profile)
            result = cells.execute(self.code)
            self.pause()
            if result is not None:
                cells.names["_"] = result
                cells.show(result, True)
        finally:
            self.pause()
            for function in cells.after:
                function()

    def pause(self):
        """What the program watches itself with does not watch the harness, and its limits do not bind it."""
        if self.is_watched:
            self.is_watched = False
            Run.trace, Run.profile = gettrace(), getprofile()
            settrace(None)
            setprofile(None)
            cells.leave()

    def report(self):
        from _agb import errors

        self.failed = True
        self.failed = errors.report(self.failure, self.ends)
        self.failure = None

    def end(self):
        if self.failure is not None:
            from _agb import errors

            # It was interrupted while it was described, or in between.
            self.failed = True
            errors.report_briefly(self.failure)
            self.failure = None
        if self.ends:
            # What runs from here on is the program's: its threads, and what it has registered.
            self.step, interrupts.in_cell = None, True
            return
        flush_c()
        streams.put_back()
        for timer, number in TIMERS:
            if _signal.getsignal(number) == _signal.SIG_DFL:
                _signal.setitimer(timer, 0)
        self.step = self.finish

    def finish(self):
        control.close('"failed":%s,"seconds":%.9f' % ("true" if self.failed else "false", self.seconds))
        try:
            streams.prepare()
        except BaseException as error:
            tell_stray(error)  # the next run makes them, or fails by that
        self.step = None

    def leave_fork(self):
        """A forked copy came out of the cell: it ends as a program does."""
        from _agb import errors

        self.status = 1
        try:
            self.status = errors.exit_code(self.failure) if self.failure is not None else 0
            self.failure = None
            streams.flush()
        finally:
            if not self.ends:
                os._exit(self.status)
            self.step = None


def tell_stray(error):
    """Tells what a signal handler has raised between two runs. It goes with the next run, as background."""
    try:
        cells.write_traceback(error)
    except BaseException:
        pass  # another one


def show_uncaught(kind, error, trace):
    """`sys.excepthook`, as long as the program has none of its own."""
    from _agb import errors

    errors.write_error(errors.describe(error if error.__traceback__ is not None else error.with_traceback(trace)))


def show_ignored(unraisable):
    """`sys.unraisablehook`. Python's own finds the lines of a cell in no file, and leaves them out."""
    error = unraisable.exc_value
    if error is None:
        return sys.__unraisablehook__(unraisable)
    place = unraisable.object
    head = unraisable.err_msg or "Exception ignored in"
    if place is not None:
        head += ": " + safely(repr, place, "<%s in __repr__>")
    show_error(head + ("\n" if place is not None else ":\n"), error, unraisable.exc_traceback)


def show_thread_error(args):
    """`threading.excepthook`, likewise."""
    if args.exc_value is None:
        return thread_hook(args)
    if args.exc_type is not SystemExit:
        name = args.thread.name if args.thread is not None else _thread.get_ident()
        show_error("Exception in thread %s:\n" % name, args.exc_value, args.exc_traceback)


def show_error(head, error, trace):
    from _agb import errors

    if error.__traceback__ is None:
        error = error.with_traceback(trace)
    errors.write_error(head + errors.describe(error))


thread_hook = None


def threading_loaded(module, _):
    global thread_hook
    thread_hook = module.excepthook
    module.excepthook = module.__excepthook__ = show_thread_error


def flush_c():
    """What C code printed through stdio lies in its buffer: out with it, it belongs to this cell."""
    if c_library is not None:
        c_library.fflush(None)


c_library = None


def ctypes_loaded(module, _):
    global c_library
    try:
        c_library = module.CDLL(None)
        c_library.fflush
    except (OSError, AttributeError):
        c_library = None


class Runs:
    """Serves runs until nobody sends any more, or one was a whole program: gives the exit status of this process then."""

    def __init__(self):
        self.current = None
        self.last = None  # the nonce of the one before

    def serve(self):
        while True:
            if self.current is None:
                with control.asking:  # a thread that asked has left
                    pass
                message = control.receive()
                if message["type"] == "run" and message["nonce"] != self.last:
                    self.current = Run(message)
                control.take()
            elif not self.current.go_on():
                if self.current.ends:
                    return self.current.status
                self.last, self.current = self.current.nonce, None

    def guard(self, levels):
        """Goes on whatever a signal handler raises, be it while the last one's error is told."""
        while True:
            try:
                return self.guard(levels - 1) if levels else self.serve()
            except BaseException as error:
                if levels == 0:
                    tell_stray(error)
