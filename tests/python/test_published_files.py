"""The published Python client, unmodified: commands, files and contexts against our server."""

import pathlib
import tempfile
import time
import unittest
import urllib.request

from local_server import LocalServer

server: LocalServer
folder: tempfile.TemporaryDirectory


def setUpModule() -> None:
    global server, folder
    folder = tempfile.TemporaryDirectory()
    server = LocalServer("--contexts-dir", str(pathlib.Path(folder.name) / "contexts"))
    server.environment()


def tearDownModule() -> None:
    server.stop()
    folder.cleanup()


class InSession(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        from agb import AGB

        cls.agb = AGB()
        cls.session = cls.create()

    @classmethod
    def create(cls, **parameters):
        from agb.session_params import CreateSessionParams

        created = cls.agb.create(CreateSessionParams(image_id="agb-code-space-1", **parameters))
        assert created.success, created.error_message
        return created.session

    @classmethod
    def tearDownClass(cls) -> None:
        assert cls.agb.delete(cls.session).success


class Commands(InSession):
    def test_a_command_answers_its_output_and_exit_code(self) -> None:
        done = self.session.command.execute("pwd; python -c 'print(6 * 7)'", timeout_ms=20_000, cwd="/tmp")
        self.assertEqual((done.success, done.output, done.exit_code), (True, "/tmp\n42\n", 0))
        failed = self.session.command.execute("echo no >&2; exit 3", timeout_ms=20_000)
        self.assertEqual((failed.success, failed.exit_code, failed.stderr), (False, 3, "no\n"))

    def test_a_server_in_the_background_is_reached_later(self) -> None:
        command = "nohup python3 -u -m http.server 8080 > log 2>&1 &"
        begin = time.monotonic()
        self.assertTrue(self.session.command.execute(command, timeout_ms=20_000).success)
        self.assertLess(time.monotonic() - begin, 10)
        fetch = "until grep -q Serving log; do sleep 0.05; done; python3 -c \"import urllib.request as u; print(u.urlopen('http://localhost:8080/log').status)\""
        self.assertEqual(self.session.command.execute(fetch, timeout_ms=20_000).output, "200\n")


class Files(InSession):
    def test_files_are_written_read_listed_and_described(self) -> None:
        file = self.session.file
        self.assertTrue(file.mkdir("/tmp/d").success)
        self.assertTrue(file.write("/tmp/d/a.txt", "hello").success)
        self.assertTrue(file.write("/tmp/d/a.txt", " again", mode="append").success)
        self.assertEqual(file.read("/tmp/d/a.txt").content, "hello again")
        info = file.info("/tmp/d/a.txt").file_info
        self.assertEqual((info["name"], info["path"], info["size"]), ("a.txt", "/tmp/d/a.txt", 11))
        self.assertEqual([entry["name"] for entry in file.list("/tmp/d").entries], ["a.txt"])
        missing = file.read("/tmp/d/none")
        self.assertIn("not found", missing.error_message)
        self.assertFalse(file.remove("/tmp/d").success)
        self.assertTrue(file.move("/tmp/d/a.txt", "/tmp/d/b.txt").success)
        self.assertTrue(file.remove("/tmp/d/b.txt").success)

    def test_local_files_go_in_and_out(self) -> None:
        local = pathlib.Path(folder.name) / "local.bin"
        local.write_bytes(bytes(range(256)) * 1000)
        remote = self.session.file.transfer_path() + "/there.bin"
        uploaded = self.session.file.upload(local_path=str(local), remote_path=remote)
        self.assertTrue(uploaded.success, uploaded.error_message)
        back = pathlib.Path(folder.name) / "back.bin"
        downloaded = self.session.file.download(remote_path=remote, local_path=str(back))
        self.assertTrue(downloaded.success, downloaded.error_message)
        self.assertEqual(back.read_bytes(), local.read_bytes())


class Contexts(InSession):
    def test_files_of_a_context_outlive_their_session(self) -> None:
        from agb.context_sync import ContextSync, SyncPolicy

        found = self.agb.context.get("from python", create=True)
        self.assertTrue(found.success, found.error_message)
        context = found.context
        url = self.agb.context.get_file_upload_url(context.id, "/home/project/in.txt").url
        request = urllib.request.Request(url, data=b"payload", method="PUT")
        self.assertEqual(urllib.request.urlopen(request).status, 200)
        session = self.create(context_syncs=[ContextSync.new(context.id, "/home/project", SyncPolicy())])
        self.assertEqual(session.file.read("/home/project/in.txt").content, "payload")
        self.assertTrue(session.file.write("/home/project/out.txt", "kept").success)
        self.assertTrue(self.agb.delete(session, sync_context=True).success)
        listed = self.agb.context.list_files(context.id, "/home/project")
        self.assertEqual(sorted(entry.file_path for entry in listed.entries), ["/home/project/in.txt", "/home/project/out.txt"])
        url = self.agb.context.get_file_download_url(context.id, "/home/project/out.txt").url
        self.assertEqual(urllib.request.urlopen(url).read(), b"kept")
        self.assertEqual(self.agb.context.clear(context.id).status, "available")
        self.assertEqual(self.agb.context.list_files(context.id, "/home/project").entries, [])
        self.assertTrue(self.agb.context.delete(context).success)
        self.assertFalse(self.agb.context.get(context_id=context.id).success)

    def test_links_and_metrics_are_answered(self) -> None:
        self.assertIn("/l/", self.session.get_link(port=30100).data)
        self.assertFalse(self.session.get_link(port=80).success)
        self.assertGreater(self.session.get_metrics().metrics.cpu_count, 0)


del InSession

if __name__ == "__main__":
    unittest.main()
