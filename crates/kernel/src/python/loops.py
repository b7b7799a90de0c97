# Code that needs an event loop: `await` outside of functions, and calls that take for granted that a loop runs, as one
# does in a notebook. In a whole program none does.
#
# The loop runs while a cell runs: between two cells its tasks stand still, and go on with the next one that needs it.

import sys

from _agb.cells import COROUTINE, LOOP_NAMES, cells
from _agb.control import library

# Who calls one of these has a loop of its own, which another that runs would forbid.
RUN_NAMES = {"run", "run_until_complete", "run_forever"}
MOST_CALLED = 100  # functions that are looked into for these names: what a cell calls, not what a library does
IS_ASYNC = 0x80 | 0x200  # of `co_flags`: a coroutine, or a generator of one
Function, Code = type(lambda: 0), type((lambda: 0).__code__)

loop = None


def evaluate(code):
    global loop
    is_coroutine = code.co_flags & COROUTINE
    if not is_coroutine and (cells.ends or not needs_loop(code)):
        return eval(code, cells.names)
    asyncio = library("asyncio")
    if loop is None or loop.is_closed():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)

    async def inside():
        return eval(code, cells.names)

    task = loop.create_task(eval(code, cells.names) if is_coroutine else inside())
    try:
        return loop.run_until_complete(task)
    except BaseException:
        # Interrupted: the task must not go on in the next cell.
        if not task.done():
            task.cancel()
            try:
                loop.run_until_complete(task)
            except BaseException:
                pass
        raise


def needs_loop(code):
    """Whether the code, or a function of the cells that it calls, takes for granted that a loop runs."""
    names, waiting, seen = set(code.co_names), list(code.co_names), set()
    # What it defines itself is not among the names of the program yet.
    inner = {one.co_name: one for one in code.co_consts if type(one) is Code}
    while waiting and "asyncio" in sys.modules and len(seen) < MOST_CALLED:
        name = waiting.pop()
        function = cells.names.get(name)
        found = inner.get(name)
        if found is None and type(function) is Function and function.__globals__ is cells.names:
            found = function.__code__
        if found is None or name in seen or found.co_flags & IS_ASYNC:
            continue
        seen.add(name)
        names.update(found.co_names)
        waiting += found.co_names
    return not LOOP_NAMES.isdisjoint(names) and RUN_NAMES.isdisjoint(names)
