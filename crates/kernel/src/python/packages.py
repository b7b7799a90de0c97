# Packages that a program installs: they go into an environment of this session, whatever Python runs it.
#
# The environment is made when it is first needed. It sees what the kernel's own Python has, and is searched before it;
# so an installation never changes the Python that other sessions run.

import os
import re
import sys

from _agb.control import library
from _agb.errors import UsageError
from _agb.streams import streams

VERSION = "%d.%d" % sys.version_info[:2]
# A command that installs; the shell must find the environment's `pip` then.
PIP = re.compile(r"(?:^|[\s;&|(/])(?:pip3?|uv)\s|-m\s+pip\b")
# What pip says when it cannot reach the package index.
UNREACHABLE = re.compile(
    "NewConnectionError|NameResolutionError|name resolution|ProxyError|ConnectTimeoutError|Network is unreachable"
    "|Connection refused|ConnectionError|ReadTimeoutError"
)


def root():
    return os.path.join(os.environ.get("HOME") or os.getcwd(), ".local/share/agb", "python" + VERSION)


def site():
    return os.path.join(root(), "lib", "python" + VERSION, "site-packages")


def use():
    """Makes the environment's packages importable, if there is one."""
    folder = site()
    if folder in sys.path or not os.path.isdir(folder):
        return
    before = list(sys.path)
    library("site").addsitedir(folder)  # for its .pth files
    added = [entry for entry in sys.path if entry not in before]
    at = next((n for n, entry in enumerate(before) if entry.endswith(("-packages", "-packages/"))), len(before))
    sys.path[:] = before[:at] + added + before[at:]
    bin_folder = os.path.join(root(), "bin")
    os.environ["PATH"] = bin_folder + os.pathsep + os.environ.get("PATH", os.defpath)


def ensure():
    """Makes the environment if it is not there; answers its interpreter."""
    interpreter = os.path.join(root(), "bin", "python")
    if not os.path.exists(interpreter):
        base = getattr(sys, "_base_executable", sys.executable) or sys.executable
        is_derived = sys.prefix != sys.base_prefix
        os.makedirs(site(), exist_ok=True)
        os.makedirs(os.path.dirname(interpreter), exist_ok=True)
        with open(os.path.join(root(), "pyvenv.cfg"), "w") as config:
            config.write("home = %s\ninclude-system-site-packages = %s\nversion = %d.%d.%d\n" % (
                os.path.dirname(base), "false" if is_derived else "true", *sys.version_info[:3]))
        if is_derived:
            with open(os.path.join(site(), "agb-image.pth"), "w") as pth:
                pth.writelines(entry + "\n" for entry in sys.path if entry.startswith(sys.prefix) and "-packages" in entry)
        for name in ("python3", "python" + VERSION, "python"):
            link = os.path.join(os.path.dirname(interpreter), name)
            if not os.path.lexists(link):
                os.symlink(base, link)
        for name in ("pip", "pip3"):
            with open(os.path.join(os.path.dirname(interpreter), name), "w", opener=executable) as script:
                script.write('#!/bin/sh\nexec "${0%/*}/python" -m pip "$@"\n')
    use()
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    return interpreter


def executable(path, flags):
    """Makes a file with its rights: not every sandbox lets them be changed later."""
    return os.open(path, flags, 0o755)


# Once more, not five times: a session without network would wait half a minute for its error.
SETTINGS = {"PIP_RETRIES": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def has_pip():
    return library("importlib.util").find_spec("pip") is not None


def pip(line):
    """`%pip …`"""
    words = library("shlex").split(line)
    subprocess = library("subprocess")
    if words[:1] == ["uninstall"] and not {"-y", "--yes"} & set(words):
        words.insert(1, "--yes")  # nobody is there to ask
    interpreter = ensure()
    if not has_pip():
        # Python brings one to install, where the system has not taken it out.
        bring = [interpreter, "-m", "ensurepip", "--default-pip"]
        subprocess.run(bring, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    command = [interpreter, "-m", "pip", *words]
    said = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8", errors="backslashreplace") as process:
        for text in process.stderr:
            streams.stderr.write(text)
            said.append(text)
    library("importlib").invalidate_caches()
    use()
    if process.returncode == 0:
        return
    said = "".join(said[-100:])
    if "No module named pip" in said:
        raise UsageError(
            "pip is not installed for this Python. Install it (on Debian: apt-get install python3-pip), or give the "
            "session an image that has it."
        )
    if UNREACHABLE.search(said):
        raise UsageError(
            "pip could not reach the package index, so nothing was installed: this session seems to have no network. "
            "Use what the image has (`%pip list`), or upload a wheel file and install that."
        )
    raise UsageError("`pip %s` failed with exit code %d; what it said is above." % (line, process.returncode))
