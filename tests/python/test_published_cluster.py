"""The published Python client, unmodified, through a balancer to three servers that act as one: everything that it does with
code, files and contexts."""

import pathlib
import tempfile
import unittest

import published_cases
import test_published_files
from local_cluster import LocalCluster

cluster: LocalCluster
folder: tempfile.TemporaryDirectory


def setUpModule() -> None:
    global cluster, folder
    folder = test_published_files.folder = tempfile.TemporaryDirectory()
    cluster = LocalCluster("--contexts-dir", str(pathlib.Path(folder.name) / "contexts"))
    cluster.environment()


def tearDownModule() -> None:
    cluster.stop()
    folder.cleanup()


globals().update(published_cases.of(__name__))


class Cluster(unittest.TestCase):
    def test_sessions_are_at_several_servers_and_each_is_reached_by_any(self) -> None:
        from agb import AGB
        from agb.session_params import CreateSessionParams

        agb = AGB()
        sessions = []
        for _ in range(6):
            created = agb.create(CreateSessionParams(image_id="agb-code-space-1"))
            self.assertTrue(created.success, created.error_message)
            sessions.append(created.session)
        owners = {session.session_id[: len("session-") + 12] for session in sessions}
        self.assertGreater(len(owners), 1, "all are at one server")
        for number, session in enumerate(sessions):
            for _ in range(3):  # a connection each: by each of the servers
                out = []
                result = session.code.run(f"print({number})", "python", stream_beta=True, on_stdout=out.append)
                self.assertTrue(result.success, result.error_message)
                self.assertEqual("".join(out), f"{number}\n")
            deleted = agb.delete(session)
            self.assertTrue(deleted.success, deleted.error_message)


if __name__ == "__main__":
    unittest.main()
