"""The program agb-server, a code interpreter service with live output, and a way to start one for tests.

    with agb_server.start() as server:
        print(server.endpoint, server.api_key)
"""

import os
import secrets
import subprocess
import sys
import sysconfig
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Server", "program", "start"]

_LISTENING = "agb-server listening on "
_NAME = "agb-server"


def program():
    """The path of the program that came with this package.

    Raises FileNotFoundError with what was looked for.
    """
    schemes = [sysconfig.get_path("scripts")]
    user = sysconfig.get_preferred_scheme("user")
    schemes.append(sysconfig.get_path("scripts", scheme=user))
    # `pip install --target`
    schemes.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin"))
    for folder in schemes:
        path = os.path.join(folder, _NAME)
        if os.path.isfile(path):
            return path
    raise FileNotFoundError(
        "the program agb-server is in none of %s: install the package agb-server again" % ", ".join(schemes)
    )


@dataclass
class Server:
    """A server that runs."""

    endpoint: str
    """Its URL, for AGB_ENDPOINT."""
    api_key: str = field(repr=False)
    """The key that it takes, for AGB_API_KEY."""


@contextmanager
def start(*arguments, env=None, timeout=30.0):
    """Starts a server on a free port of this machine, and ends it, with everything in it, at the end of the `with` block.

    `arguments` are more arguments of `agb-server serve`, and `env` more environment variables. Raises RuntimeError with the
    end of its log when the server does not listen within `timeout` seconds.
    """
    key = "local-" + secrets.token_hex(24)
    # The key goes by the environment: every user of the machine can see arguments.
    environment = {**os.environ, **(env or {}), "AGB_API_KEY": key}
    command = [program(), "serve", "--listen", "127.0.0.1:0", "--exit-with-stdin", *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, encoding="utf-8", errors="replace", **pipes) as process:
        log = deque(maxlen=20)
        reader = threading.Thread(target=lambda: log.extend(process.stderr), daemon=True)
        reader.start()
        late = threading.Timer(timeout, process.kill)
        late.start()
        try:
            endpoint = None
            for line in process.stdout:
                if line.startswith(_LISTENING):
                    endpoint = line[len(_LISTENING) :].strip()
                    break
            late.cancel()
            if endpoint is None:
                process.wait()
                reader.join()
                why = "it ended with %s" % process.returncode
                raise RuntimeError("agb-server does not listen: %s. The end of its log:\n%s" % (why, "".join(log)))
            yield Server(endpoint, key)
        finally:
            late.cancel()
            process.stdin.close()
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def main():
    """Becomes the program; without arguments it serves."""
    arguments = sys.argv[1:] or ["serve"]
    os.environ.setdefault("AGB_COMMAND_NAME", "python -m agb_server")
    path = program()
    os.execv(path, [path, *arguments])
