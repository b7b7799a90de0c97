# Looks at objects of the program's, which may run its code, which may raise anything: what could not be had is replaced
# by words. Only a Ctrl-C ends it.

name_of = type.__dict__["__name__"].__get__  # whatever a metaclass says


def safely(function, value, otherwise):
    """What a function of the program's makes of a value, as a text."""
    try:
        text = function(value)
        return str.__str__(text) if isinstance(text, str) else otherwise % "a result that is no text"
    except KeyboardInterrupt:
        raise
    except BaseException as broken:
        return otherwise % name_of(type(broken))


def message_of(error):
    return safely(str, error, "<no message: %s in __str__>")
