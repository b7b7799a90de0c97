# The streams that a program has put in place of its own.

MOST = 100  # one inside the other: nobody has ten


def flush(streams):
    """Delivers what was written into them, through any depth of buffers."""
    seen, waiting = [], streams
    while waiting and len(seen) < MOST:
        stream = waiting.pop(0)
        if stream is None or any(stream is one for one in seen):
            continue
        seen.append(stream)
        try:
            stream.flush()
        except KeyboardInterrupt:
            raise
        except BaseException:
            pass  # it was closed, or has nothing to flush
        try:
            # Python's own kinds of streams flush the next one only.
            waiting += [getattr(stream, name, None) for name in ("buffer", "raw")]
            # A program's own class may have streams that its `flush` does not know of.
            waiting += [one for one in vars(stream).values() if hasattr(one, "write")]
        except KeyboardInterrupt:
            raise
        except BaseException:
            pass
