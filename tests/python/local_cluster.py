"""Three servers that act as one, on an etcd, behind a balancer that knows nothing of sessions."""

import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

from local_server import ROOT, LocalServer


class LocalCluster:
    """Reached at its balancer. `first` are arguments of the first server only."""

    def __init__(self, *first: str) -> None:
        self.api_key = secrets.token_hex(16)
        self._folder = tempfile.TemporaryDirectory()
        self._processes: list[subprocess.Popen] = []
        self.servers: list[LocalServer] = []
        try:
            self._start(first)
        except BaseException:
            self.stop()
            raise

    def _start(self, first: tuple[str, ...]) -> None:
        registry = self._start_etcd()
        for name in ["one", "two", "three"]:
            member = ["--cluster", registry, "--node-name", name, "--data-dir", self._folder.name]
            arguments = [*member, *(first if name == "one" else ())]
            self.servers.append(LocalServer(*arguments, api_key=self.api_key))
        for server in self.servers:
            self._wait_until_it_knows(server, len(self.servers))
        program = pathlib.Path(os.environ.get("AGB_SERVER", ROOT / "target" / "debug" / "agb-server"))
        addresses = [server.endpoint.removeprefix("http://") for server in self.servers]
        balancer = subprocess.Popen(
            [program.with_name("agb-balancer"), *addresses], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._processes.append(balancer)
        self.endpoint = balancer.stdout.readline().split()[-1]

    def _start_etcd(self) -> str:
        unpacked = ROOT / "target" / "tools" / "etcd-server" / "usr" / "bin" / "etcd"
        found = os.environ.get("AGB_ETCD") or (unpacked if unpacked.exists() else shutil.which("etcd"))
        if found is None:
            raise AssertionError("etcd is missing: `cargo xtask test` unpacks it")
        client, peer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
        options = {
            "data-dir": str(pathlib.Path(self._folder.name) / "etcd"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._processes.append(subprocess.Popen([found, *arguments], **quiet))
        self._wait(f"{client}/health", lambda _: True)
        return client.replace("http://", "etcd://") + "/agb"

    def _wait_until_it_knows(self, server: LocalServer, count: int) -> None:
        self._wait(f"{server.endpoint}/metrics", lambda text: f'\nagb_cluster_nodes{{state="up"}} {count}\n' in text)

    def _wait(self, url: str, is_good) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            request = urllib.request.Request(url, headers={"authorization": f"Bearer {self.api_key}"})
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    if is_good(answer.read().decode()):
                        return
            except OSError:
                pass  # it does not listen yet
            time.sleep(0.1)
        raise AssertionError(f"{url} does not say what it should")

    def environment(self) -> None:
        """Points this process's client at the balancer, as a user does."""
        os.environ["AGB_ENDPOINT"] = self.endpoint
        os.environ["AGB_API_KEY"] = self.api_key

    def stop(self) -> None:
        for server in self.servers:
            server.stop()
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()
        self._folder.cleanup()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
