# Values in all their representations, as a notebook shows them.
#
# Every look at a value may run code of the program's, which may raise anything. A representation that cannot be had is
# left out; only a Ctrl-C ends it.

import binascii
import sys

from _agb.cells import cells
from _agb.control import control, quote
from _agb.looks import message_of, name_of
from _agb.streams import write_all

PLOTLY = "application/vnd.plotly.v1+json"
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


def show(value, is_main):
    send(name_of(type(value)), represent(value), is_main)


def send(kind, data, is_main=False):
    """Sends representations by MIME type."""
    parts, left_out = [], []
    for mime, item in data.items():
        mime = str.__str__(mime) if isinstance(mime, str) else str(mime)
        if isinstance(item, (bytes, bytearray, memoryview)):
            item = binascii.b2a_base64(item, newline=False).decode()
        if isinstance(item, str):
            parts.append(quote(mime) + ":" + quote(item))
            continue
        from _agb import documents

        try:
            text = documents.encode(item)
        except documents.TooDeep:
            left_out.append(mime)
            continue
        if text != "null":
            parts.append(quote(mime) + ":" + text)
    if left_out:
        note = "[left out, since it is nested too deeply: %s]" % ", ".join(left_out)
        if "text/plain" not in data or "text/plain" in left_out:
            parts.append('"text/plain":' + quote(note))
    if not cells.send_result("%s (%s)" % (kind, ", ".join(map(str, data))), ",".join(parts), is_main):
        # Of a forked copy, or of a thread while no cell runs.
        text = data.get("text/plain", "")
        write_all(1, (str(text) + "\n").encode("utf-8", "backslashreplace"))


def represent(value):
    """The value's representations by MIME type."""
    data = {}
    if not isinstance(value, type):  # a class has the methods, but not for itself
        data.update(special(value))
        if PLOTLY in data:
            return data  # the others are pages that load the rest of themselves from elsewhere
        bundle = call(value, "_repr_mimebundle_", include=None, exclude=None)
        if isinstance(bundle, dict):
            data.update((str(key), item) for key, item in dict.items(bundle) if item is not None)
        for method, mime in REPRESENTATIONS:
            if mime not in data and not (mime == "image/jpeg" and "image/png" in data):  # one of the same picture
                item = call(value, method)
                if item is not None:
                    data[mime] = item
    if "text/plain" not in data:
        data["text/plain"] = text_of(value)
    return data


def text_of(value):
    """Its `repr`. An error in there is the program's; what would end the program is none."""
    try:
        return repr(value)
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as broken:
        kind = name_of(type(value))
        return "<%s object: %s in __repr__>" % (kind, name_of(type(broken)))


def special(value):
    """Representations that notebooks know of although the values do not offer them."""
    # Nothing is imported for it: who has such a value has imported its library.
    figure = getattr(sys.modules.get("matplotlib.figure"), "Figure", ())
    if isinstance(value, figure):
        from _agb import plotting

        return plotting.represent(value)
    kind = type(value)
    figure = getattr(sys.modules.get("plotly.basedatatypes"), "BaseFigure", ())
    if isinstance(value, figure):
        from _agb import libraries

        return libraries.plotly_bundle(value)
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
    try:
        if getattr(type(value), method, None) is None or getattr(value, "_ipython_canary_method_should_not_exist_", None):
            return None
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None
    item = attempt(value, method, arguments)
    return item[0] if isinstance(item, tuple) and item else item


def attempt(value, method, arguments):
    try:
        return getattr(value, method)(**arguments)
    except (KeyboardInterrupt, NotImplementedError) as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return None
    except BaseException as error:
        from _agb import errors

        said = name_of(type(value)), method, name_of(type(error)), message_of(error)
        errors.write_error("%s.%s failed: %s: %s\n" % said)
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
        send(name_of(type(value)), data)
    if display_id is None:
        return None
    if display_id is True:
        handles += 1
        display_id = "display-%d" % handles
    return DisplayHandle(display_id)
