# What tells whether somebody has touched a stream, or knows it, since it was made.

import _io
import sys

getrefcount, base_buffer = sys.getrefcount, _io.TextIOWrapper.buffer.__get__
is_closed = _io.TextIOWrapper.closed.__get__


def state(outputs, source):
    """Of each of the streams and of its layers: how many know it, how much it consists of, and whether it is open."""
    numbers = []
    try:
        for stream in (*outputs, source):
            buffer = base_buffer(stream)
            layers = stream, buffer, buffer.raw, *((stream.bytes,) if stream is not source else ())
            numbers += map(getrefcount, layers)
            numbers += map(len, map(vars, layers))
            numbers.append(is_closed(stream))
            if stream is not source:
                numbers.append(stream.held == [])
    except Exception:
        return None  # one was detached, or the program has put something else in its place
    return numbers
