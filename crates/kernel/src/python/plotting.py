# matplotlib: which backend it takes, and figures as pictures.

import os
import sys

from _agb import imports

BACKEND = "module://_agb.figures"


def prepare():
    """Before matplotlib is loaded: it reads its backend from the environment, which child processes must not inherit,
    because only this process has it."""
    if "MPLBACKEND" in os.environ:
        return False
    os.environ["MPLBACKEND"] = BACKEND
    seed_font_cache()
    return True


def loaded(module, prepared):
    if prepared:
        os.environ.pop("MPLBACKEND", None)


def seed_font_cache():
    """Looking at every font of the machine takes seconds; an image has the list of them ready."""
    source = os.path.join(sys.prefix, "share", "agb", "matplotlib")
    target = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "matplotlib")
    try:
        names = [name for name in os.listdir(source) if name.startswith("fontlist-")]
        if not names or os.path.exists(os.path.join(target, names[0])):
            return
        os.makedirs(target, exist_ok=True)
        for name in names:
            with open(os.path.join(source, name), "rb") as original, open(os.path.join(target, name), "xb") as copy:
                copy.write(original.read())
    except OSError:
        pass  # without it everything works, only later


formats = ["png"]  # what `%config InlineBackend.figure_formats` sets
KINDS = {
    "png": ("image/png", "png", 1),
    "png2x": ("image/png", "png", 2),
    "retina": ("image/png", "png", 2),
    "svg": ("image/svg+xml", "svg", 1),
    "jpg": ("image/jpeg", "jpeg", 1),
    "jpeg": ("image/jpeg", "jpeg", 1),
    "pdf": ("application/pdf", "pdf", 1),
}


def represent(figure):
    """A figure's representations by MIME type."""
    import io

    # As a figure prints itself, but for those whose backend has no window to name.
    width, height = (figure.get_size_inches() * figure.dpi).astype(int)
    count = len(figure.axes)
    data = {"text/plain": "<Figure size %dx%d with %d Axes>" % (width, height, count)}
    if count or figure.lines or figure.patches or figure.texts or figure.images or getattr(figure, "subfigs", None):
        for name in formats:
            mime, kind, scale = KINDS[name]
            target = io.BytesIO()
            options = dict(facecolor=figure.get_facecolor(), edgecolor=figure.get_edgecolor(), bbox_inches="tight")
            figure.savefig(target, format=kind, dpi=figure.dpi * scale, **options)
            data[mime] = target.getvalue().decode() if kind == "svg" else target.getvalue()
    figures = imports.modules.get("_agb.figures")
    if figures is not None:
        figures.shown(figure)
    return data
