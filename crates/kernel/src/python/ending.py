# The end of a whole program: its interpreter ends as Python ends. It waits for threads, calls what `atexit` knows, and
# lets go of what is left, whose `__del__` may print. What became of the program is told when nothing can ask any more.

import atexit
import sys

from _agb.cells import cells
from _agb.control import control, interrupts
from _agb.run import flush_c
from _agb.streams import streams


class Ending:
    def __init__(self, run):
        self.run = run
        atexit.register(self.tell)  # before the program's first line: what is registered first is called last

    def tell(self):
        interrupts.in_cell = False
        try:
            streams.flush()
            flush_c()
        finally:  # a signal handler of the program's may raise
            if control.is_ours():
                fields = '"failed":%s,"seconds":%.9f,"exits":true'
                control.close(fields % ("true" if self.run.failed else "false", self.run.seconds))
            # Nobody but the interpreter has the program's names now: it lets go of them as of a script's.
            cells.module, cells.names = type(sys)("__main__"), {}
