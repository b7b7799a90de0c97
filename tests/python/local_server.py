"""Starts the local server for a test module, and ends it."""

import os
import pathlib
import secrets
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


class LocalServer:
    """`agb-server` on a free port with a key of its own, or as a gateway to another one, whose keys it passes on."""

    def __init__(self, *arguments: str, upstream: "LocalServer | None" = None, api_key: str | None = None) -> None:
        program = os.environ.get("AGB_SERVER", str(ROOT / "target" / "debug" / "agb-server"))
        self.api_key = upstream.api_key if upstream else api_key or secrets.token_hex(16)
        own_key = {} if upstream else {"AGB_API_KEY": self.api_key}
        passed_on = ["--upstream", upstream.endpoint] if upstream else []
        self.log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", *passed_on, *arguments],
            env={
                "PATH": os.environ.get("PATH", ""),
                "AGB_CACHE": str(ROOT / "target" / "tmp" / "cache"),
                "RUST_LOG": os.environ.get("RUST_LOG", "warn"),
                **own_key,
            },
            stdout=subprocess.PIPE,
            stderr=self.log if upstream else None,
            text=True,
        )
        line = self._process.stdout.readline()
        if upstream:
            line = self._process.stdout.readline()  # the first one says where it leads
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
            self.log.close()

    def logged(self) -> str:
        """What a gateway has logged so far."""
        self.log.seek(0)
        return self.log.read()
