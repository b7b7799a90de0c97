# Values as JSON that every reader takes.
#
# Readers refuse what is nested deeply, numbers beyond a double's range, and halves of characters. What is not of JSON at
# all is what `str` makes of it, and NaN is null.

import _json

from _agb.control import quote
from _agb.looks import safely

DEPTH = 100  # of lists and objects: readers take 128, and put this into four more
LARGEST = 1 << 1023
NUMBERS = {int, float, bool}


class TooDeep(Exception):
    pass


def encode(value):
    value = plain(value) if is_container(value) else scalar(value)
    text = "".join(make_encoder(_json.encode_basestring)(value, 0))
    try:
        text.encode()
    except UnicodeEncodeError:
        text = "".join(make_encoder(quote)(value, 0))
    return text


def make_encoder(quoted):
    # No check for cycles: what has one is too deep.
    return _json.make_encoder(None, refuse, quoted, None, ":", ",", False, False, True)


def is_container(value):
    return isinstance(value, (dict, list, tuple))


def plain(value):
    """A copy, in the types of JSON."""
    top = []
    waiting = [(value, top, None, 0)]
    while waiting:
        value, parent, key, depth = waiting.pop()
        if depth == DEPTH:
            raise TooDeep
        if isinstance(value, dict):
            copy = {}
            for name, item in dict.items(value):
                name = key_of(name)
                if is_container(item):
                    copy[name] = None  # keeps its place
                    waiting.append((item, copy, name, depth + 1))
                else:
                    copy[name] = scalar(item)
        else:
            copy = list(tuple.__iter__(value) if isinstance(value, tuple) else list.__iter__(value))
            if not are_plain(copy):
                for at, item in enumerate(copy):
                    if is_container(item):
                        waiting.append((item, copy, at, depth + 1))
                    else:
                        copy[at] = scalar(item)
        if key is None:
            parent.append(copy)
        else:
            parent[key] = copy
    return top[0]


def are_plain(items):
    """Whether a list is JSON already, as far as can be said of all its items at once."""
    kinds = set(map(type, items))
    if kinds <= {str}:
        return True
    if not kinds <= NUMBERS or not -LARGEST < min(items) <= max(items) < LARGEST:
        return False
    total = sum(items)
    return total - total == 0  # neither infinite nor NaN


def key_of(name):
    if isinstance(name, str):
        return str.__str__(name)
    if name is None or isinstance(name, bool):
        return {None: "null", True: "true", False: "false"}[name]
    return safely(str, name, "<no text: %s>")


def scalar(item):
    kind = type(item)
    if kind is str or item is None or kind is bool:
        return item
    if isinstance(item, str):
        return str.__str__(item)
    if isinstance(item, float):
        return float.__float__(item) if float("-inf") < float.__float__(item) < float("inf") else None
    if isinstance(item, int):
        item = int.__int__(item)
        return item if -LARGEST < item < LARGEST else safely(str, item, "<a large number: %s>")
    return safely(str, item, "<no text: %s>")


def refuse(item):
    raise TypeError(item)  # `plain` leaves nothing

