# Values in all their representations, as a notebook shows them.

import sys

from _agb.cells import cells
from _agb.control import control, library, quote, whole
from _agb.streams import stderr, stdout

REPRESENTATIONS = (
    ("_repr_html_", "text/html"),
    ("_repr_markdown_", "text/markdown"),
    ("_repr_latex_", "text/latex"),
    ("_repr_svg_", "image/svg+xml"),
    ("_repr_png_", "image/png"),
    ("_repr_jpeg_", "image/jpeg"),
    ("_repr_pdf_", "application/pdf"),
    ("_repr_json_", "application/json"),
    ("_repr_javascript_", "application/javascript"),
)


def encode(value):
    """JSON. NaN is none, and what a library thinks is JSON may hold what `str` has to do for."""
    if isinstance(value, str):
        return quote(value)
    return whole(library("json").dumps(value, allow_nan=False, default=str))


def show(value, is_main):
    send(type(value).__name__, represent(value), is_main)


def send(kind, data, is_main=False):
    """Sends representations by MIME type."""
    if not control.is_ours():
        stdout.write(str(data.get("text/plain", "")) + "\n")  # a forked copy
        return
    parts = []
    for mime, item in data.items():
        try:
            if isinstance(item, (bytes, bytearray, memoryview)):
                item = library("binascii").b2a_base64(item, newline=False).decode()
            parts.append(quote(mime) + ":" + encode(item))
        except (TypeError, ValueError, RecursionError) as error:
            stderr.write(f"the {mime} of {kind} is not JSON: {error}\n")
    cells.send_result("%s (%s)" % (kind, ", ".join(data)), ",".join(parts), is_main)


def represent(value):
    """The value's representations by MIME type."""
    data = {}
    if not isinstance(value, type):  # a class has the methods, but not for itself
        data.update(special(value))
        bundle = call(value, "_repr_mimebundle_", include=None, exclude=None)
        if isinstance(bundle, dict):
            data.update((str(key), item) for key, item in bundle.items() if item is not None)
        for method, mime in REPRESENTATIONS:
            if mime not in data and not (mime == "image/jpeg" and "image/png" in data):  # one of the same picture
                item = call(value, method)
                if item is not None:
                    data[mime] = item
    if "text/plain" not in data:
        data["text/plain"] = repr(value)
    return data


def special(value):
    """Representations that notebooks know of although the values do not offer them."""
    # Nothing is imported for it: who has such a value has imported its library.
    figure = getattr(sys.modules.get("matplotlib.figure"), "Figure", ())
    if isinstance(value, figure):
        from _agb import plotting

        return plotting.represent(value)
    kind = type(value)
    if (kind.__module__ or "").startswith("altair.") and hasattr(kind, "to_dict") and hasattr(kind, "_repr_mimebundle_"):
        # Its own is a web page that loads the rest of itself from elsewhere; the specification is what viewers draw.
        chart = attempt(value, "to_dict", {})
        if isinstance(chart, dict):
            # Viewers know version 5; what later ones write differs in the name only.
            version = "4" if "/v4" in str(chart.get("$schema")) else "5"
            return {"application/vnd.vegalite.v%s+json" % version: chart, "text/plain": "alt.%s(...)" % kind.__name__}
    return {}


def call(value, method, **arguments):
    # Objects such as mocks and proxies have every attribute one asks for.
    if getattr(type(value), method, None) is None or getattr(value, "_ipython_canary_method_should_not_exist_", None):
        return None
    item = attempt(value, method, arguments)
    return item[0] if isinstance(item, tuple) and item else item


def attempt(value, method, arguments):
    try:
        return getattr(value, method)(**arguments)
    except NotImplementedError:
        return None
    except Exception as error:
        stderr.write(f"{type(value).__name__}.{method} failed: {type(error).__name__}: {error}\n")
        return None


class DisplayHandle:
    """What `display(…, display_id=True)` answers. Output is a log here: an update is shown below, not in place."""

    def __init__(self, display_id):
        self.display_id = display_id

    def display(self, value, **options):
        display(value, **options)

    def update(self, value, **options):
        display(value, **options)

    def __repr__(self):
        return "<DisplayHandle display_id=%s>" % self.display_id


handles = 0


def display(*values, include=None, exclude=None, metadata=None, transient=None, display_id=None, raw=False, clear=False, **_):
    """Shows values in their richest form, as a notebook does."""
    global handles
    for value in values:
        if raw:
            data = dict(value)
        else:
            show_itself = getattr(type(value), "_ipython_display_", None)
            if show_itself is not None and not isinstance(value, type):
                try:
                    value._ipython_display_()
                    continue
                except NotImplementedError:
                    pass
            data = represent(value)
        data = {
            mime: item
            for mime, item in data.items()
            if (include is None or mime in include or mime == "text/plain") and (exclude is None or mime not in exclude)
        }
        send(type(value).__name__, data)
    if display_id is None:
        return None
    if display_id is True:
        handles += 1
        display_id = "display-%d" % handles
    return DisplayHandle(display_id)
