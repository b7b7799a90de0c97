# The classes of `IPython.display`, for machines without IPython: a value that is shown in one format.

from _agb.control import library

__all__ = [
    "DisplayObject", "TextDisplayObject", "HTML", "Markdown", "Math", "Latex", "SVG", "JSON", "GeoJSON", "Javascript",
    "Pretty", "Image", "Audio", "Video", "IFrame", "YouTubeVideo", "FileLink", "FileLinks", "ProgressBar", "Code",
    "display_html", "display_markdown", "display_png", "display_svg", "display_latex", "display_json",
    "display_javascript",
]


class DisplayObject:
    """Something to show: given itself, by the name of its file, or by its address."""

    mode = "r"

    def __init__(self, data=None, url=None, filename=None, metadata=None):
        is_text = isinstance(data, str)
        if is_text and url is None and filename is None and data.startswith(("http://", "https://")) and self.fetches():
            data, url = None, data
        elif is_text and filename is None and self.is_file_name(data):
            data, filename = None, data
        elif type(data).__module__.startswith("pathlib"):
            data, filename = None, str(data)
        self.data, self.url, self.filename, self.metadata = data, url, filename, metadata or {}
        self.reload()

    @staticmethod
    def fetches():
        return False

    @staticmethod
    def is_file_name(data):
        return False

    def reload(self):
        if self.filename is not None:
            with open(self.filename, self.mode, **({} if "b" in self.mode else {"encoding": "utf-8"})) as file:
                self.data = file.read()
        elif self.url is not None and self.data is None:
            with library("urllib.request").urlopen(self.url) as answer:
                self.data = answer.read() if "b" in self.mode else answer.read().decode()

    def __repr__(self):
        return "<IPython.core.display.%s object>" % type(self).__name__


class TextDisplayObject(DisplayObject):
    pass


class HTML(TextDisplayObject):
    def _repr_html_(self):
        return self.data

    __html__ = _repr_html_


class Markdown(TextDisplayObject):
    def _repr_markdown_(self):
        return self.data


class Latex(TextDisplayObject):
    def _repr_latex_(self):
        return self.data


class Math(TextDisplayObject):
    def _repr_latex_(self):
        return "$\\displaystyle %s$" % self.data.strip("$")


class Pretty(TextDisplayObject):
    def __repr__(self):
        return self.data


class SVG(DisplayObject):
    @staticmethod
    def fetches():
        return True

    @staticmethod
    def is_file_name(data):
        return not data.lstrip().startswith("<")

    def _repr_svg_(self):
        data = self.data.decode() if isinstance(self.data, bytes) else self.data
        start = data.find("<svg")
        return data[max(start, 0):]  # without a declaration, which would not do inside a page


class JSON(DisplayObject):
    def __init__(self, data=None, url=None, filename=None, expanded=False, metadata=None, root="root", **_):
        super().__init__(data, url, filename, metadata)
        if isinstance(self.data, (str, bytes)):
            self.data = library("json").loads(self.data)

    def _repr_json_(self):
        return self.data


class GeoJSON(JSON):
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"application/geo+json": self.data, "text/plain": repr(self)}

    _repr_json_ = None


class Javascript(TextDisplayObject):
    def __init__(self, data=None, url=None, filename=None, lib=None, css=None):
        super().__init__(data, url, filename)

    def _repr_javascript_(self):
        return self.data


class Image(DisplayObject):
    mode = "rb"
    KINDS = {
        b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp",
        b"BM": "image/bmp",
    }

    def __init__(self, data=None, url=None, filename=None, format=None, embed=None, width=None, height=None,
                 retina=False, metadata=None, alt=None, **_):
        self.width, self.height, self.alt = width, height, alt
        # An address alone is shown as one: the viewer fetches it.
        self.address = None
        if not embed:
            if isinstance(data, str) and data.startswith(("http://", "https://")):
                data, url = None, data
            if url is not None and data is None and filename is None:
                self.address, url = url, None
        super().__init__(data, url, filename, metadata)
        self.mime = format and "image/" + {"jpg": "jpeg", "svg": "svg+xml"}.get(format.lower(), format.lower())
        if isinstance(self.data, (bytes, bytearray)) and not self.mime:
            head = bytes(self.data[:4])
            self.mime = next((mime for start, mime in self.KINDS.items() if head.startswith(start)), "image/png")
        elif isinstance(self.data, str):
            self.data = library("binascii").a2b_base64(self.data)
            self.mime = self.mime or "image/png"

    @staticmethod
    def fetches():
        return True

    @staticmethod
    def is_file_name(data):
        return len(data) < 4096 and library("os.path").isfile(data)

    def reload(self):
        super().reload()
        if self.data is None and self.address is None:
            raise ValueError("an Image needs data, the name of a file, or an address")

    def _repr_mimebundle_(self, include=None, exclude=None):
        if self.address is None:
            return {self.mime: self.data, "text/plain": repr(self)}
        size = "".join(' %s="%d"' % (name, value) for name, value in (("width", self.width), ("height", self.height)) if value)
        return {"text/html": '<img src="%s"%s/>' % (escape(self.address), size), "text/plain": repr(self)}


class Media(DisplayObject):
    """Sound and films: a page element that holds them or points to them."""

    mode, tag, kind = "rb", "", ""

    def __init__(self, data=None, filename=None, url=None, embed=None, rate=None, autoplay=False, mimetype=None,
                 width=None, height=None, **_):
        self.rate, self.autoplay, self.mime, self.address = rate, autoplay, mimetype or self.kind, None
        if isinstance(data, str) and data.startswith(("http://", "https://")):
            data, url = None, data
        elif isinstance(data, str):
            data, filename = None, data
        if url is not None and not embed:
            self.address, url = url, None
        if data is not None and not isinstance(data, (bytes, bytearray)):
            data = wave(data, rate)
        super().__init__(data, url, filename)

    def _repr_html_(self):
        source = self.address
        if source is None:
            source = "data:%s;base64,%s" % (self.mime, library("binascii").b2a_base64(self.data, newline=False).decode())
        play = " autoplay" if self.autoplay else ""
        return "<%s controls%s src=\"%s\"></%s>" % (self.tag, play, escape(source), self.tag)


class Audio(Media):
    tag, kind = "audio", "audio/wav"


class Video(Media):
    tag, kind = "video", "video/mp4"


def wave(samples, rate):
    """Samples between -1 and 1, or of any size and then made to fit, as a WAV file."""
    if not rate:
        raise ValueError("Audio of samples needs their rate: Audio(samples, rate=44100)")
    channels = [list(map(float, channel)) for channel in samples] if hasattr(samples[0], "__len__") else [list(map(float, samples))]
    peak = max((abs(sample) for channel in channels for sample in channel), default=1.0) or 1.0
    struct, io = library("struct"), library("io")
    frames = b"".join(struct.pack("<h", int(sample / peak * 32767)) for frame in zip(*channels) for sample in frame)
    target = io.BytesIO()
    with library("wave").open(target, "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(int(rate))
        file.writeframes(frames)
    return target.getvalue()


class IFrame:
    def __init__(self, src, width, height, extras=None, **params):
        self.src, self.width, self.height = src, width, height
        if params:
            self.src += "?" + library("urllib.parse").urlencode(params)

    def _repr_html_(self):
        return '<iframe width="%s" height="%s" src="%s" frameborder="0" allowfullscreen></iframe>' % (
            self.width, self.height, escape(self.src))


class YouTubeVideo(IFrame):
    def __init__(self, id, width=400, height=300, **params):
        super().__init__("https://www.youtube.com/embed/" + id, width, height, **params)


class FileLink:
    def __init__(self, path, **_):
        self.path = str(path)

    def _repr_html_(self):
        return '<a href="%s" target="_blank">%s</a>' % (escape(self.path), escape(self.path))

    def __repr__(self):
        return self.path


class FileLinks(FileLink):
    def _repr_html_(self):
        names = sorted(library("os").listdir(self.path))
        return "<br>\n".join(FileLink(self.path.rstrip("/") + "/" + name)._repr_html_() for name in names)


class Code(TextDisplayObject):
    def __init__(self, data=None, url=None, filename=None, language=None):
        self.language = language or "python"
        super().__init__(data, url, filename)

    def _repr_markdown_(self):
        return "```%s\n%s\n```" % (self.language, self.data)

    def __repr__(self):
        return self.data


class ProgressBar:
    def __init__(self, total):
        self.total, self.progress = total, 0

    def __repr__(self):
        filled = int(60 * self.progress / self.total) if self.total else 60
        return "[%s%s] %d/%d" % ("=" * filled, " " * (60 - filled), self.progress, self.total)

    def display(self):
        show(self)

    def __iter__(self):
        for self.progress in range(self.total):
            yield self.progress
        self.progress = self.total
        show(self)


def escape(text):
    return library("html").escape(text, quote=True)


def show(value, **options):
    from _agb import results

    results.display(value, **options)


def shows(kind):
    def display_kind(*values, raw=False, **_):
        for value in values:
            show(kind(value) if raw else value)

    return display_kind


display_html, display_markdown, display_svg = shows(HTML), shows(Markdown), shows(SVG)
display_png, display_latex, display_json, display_javascript = shows(Image), shows(Latex), shows(JSON), shows(Javascript)
