"""The published Python client, unmodified, through a gateway to a service with part 1 of the wire alone: everything that it
does with code and with files."""

import os
import pathlib
import tempfile
import unittest

import published_cases
import test_published_files
from local_server import LocalServer

upstream: LocalServer
gateway: LocalServer
folder: tempfile.TemporaryDirectory


def setUpModule() -> None:
    global upstream, gateway, folder
    folder = test_published_files.folder = tempfile.TemporaryDirectory()
    upstream = LocalServer("--plain-wire", "--contexts-dir", str(pathlib.Path(folder.name) / "contexts"))
    os.environ["RUST_LOG"] = "debug"  # what would show a key if anything did
    gateway = LocalServer(upstream=upstream)
    del os.environ["RUST_LOG"]
    gateway.environment()


def tearDownModule() -> None:
    gateway.stop()
    upstream.stop()
    folder.cleanup()


globals().update(published_cases.of(__name__))


class Secrets(unittest.TestCase):
    def test_neither_a_key_nor_a_token_is_logged(self) -> None:
        from agb import AGB
        from agb.session_params import CreateSessionParams

        agb = AGB()
        created = agb.create(CreateSessionParams(image_id="agb-code-space-1"))
        self.assertTrue(created.success, created.error_message)
        session = created.session
        self.assertTrue(session.code.run("print(1)", "python").success)
        log = gateway.logged()
        self.assertIn("session", log, "it logs something at this level")
        for secret in (gateway.api_key, session.token):
            self.assertTrue(secret)
            self.assertNotIn(secret, log)
        self.assertTrue(agb.delete(session).success)
