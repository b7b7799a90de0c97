"""Starts the local server for a test module, and ends it."""

import os
import pathlib
import secrets
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


class LocalServer:
    """`agb-server` on a free port with a key of its own."""

    def __init__(self, *arguments: str) -> None:
        program = os.environ.get("AGB_SERVER", str(ROOT / "target" / "debug" / "agb-server"))
        self.api_key = secrets.token_hex(16)
        self._process = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", *arguments],
            env={
                "PATH": os.environ.get("PATH", ""),
                "AGB_API_KEY": self.api_key,
                "AGB_CACHE": str(ROOT / "target" / "tmp" / "cache"),
                "RUST_LOG": "warn",
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self._process.stdout.readline()
        prefix = "agb-server listening on "
        if not line.startswith(prefix):
            self.stop()
            sys.exit(f"{program} did not start: it said {line!r}")
        self.endpoint = line[len(prefix) :].strip()

    def environment(self) -> None:
        """Points this process's client at the server, as a user does."""
        os.environ["AGB_ENDPOINT"] = self.endpoint
        os.environ["AGB_API_KEY"] = self.api_key

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError("agb-server did not end within 20 s of SIGTERM") from None
        finally:
            self._process.stdout.close()
