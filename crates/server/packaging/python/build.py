"""Makes the wheel of agb-server, which carries the program: build.py PROGRAM VERSION PLATFORM-TAG LICENCE... FOLDER

A wheel is a zip file with a list of its files and their hashes; see the Python packaging user guide, "Binary distribution
format".
"""

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

SOURCES = Path(__file__).parent / "agb_server"
METADATA = """\
Metadata-Version: 2.1
Name: agb-server
Version: {version}
Summary: A code interpreter service with live output, for your own machines
License: MIT OR Apache-2.0
Keywords: code-interpreter,sandbox,streaming
Classifier: Framework :: Pytest
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: Python :: 3
Requires-Python: >=3.8
Description-Content-Type: text/markdown

{readme}"""
WHEEL = "Wheel-Version: 1.0\nGenerator: agb xtask\nRoot-Is-Purelib: false\nTag: {tag}\n"
ENTRY_POINTS = "[pytest11]\nagb_server = agb_server.pytest_plugin\n"


def main():
    program, version, platform, *licences, folder = sys.argv[1:]
    tag = "py3-none-" + platform
    info = "agb_server-%s.dist-info" % version
    readme = (Path(__file__).parent / "README.md").read_text("utf-8")
    files = {"agb_server/" + path.name: path.read_bytes() for path in sorted(SOURCES.iterdir()) if path.is_file()}
    files["agb_server-%s.data/scripts/agb-server" % version] = Path(program).read_bytes()
    files.update({"%s/licenses/%s" % (info, Path(licence).name): Path(licence).read_bytes() for licence in licences})
    files[info + "/METADATA"] = METADATA.format(version=version, readme=readme).encode()
    files[info + "/WHEEL"] = WHEEL.format(tag=tag).encode()
    files[info + "/entry_points.txt"] = ENTRY_POINTS.encode()
    record = info + "/RECORD"
    lines = ["%s,sha256=%s,%d" % (name, digest(content), len(content)) for name, content in files.items()]
    files[record] = ("\n".join([*lines, record + ",,"]) + "\n").encode()

    wheel = Path(folder) / ("agb_server-%s-%s.whl" % (version, tag))
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)  # of 1980: the same sources are the same wheel
            entry.external_attr = (0o100755 if "/scripts/" in name else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    print(wheel)


def digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


main()
