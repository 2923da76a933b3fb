"""A real nginx, that of the sogo image, serves what `renew` fetched from a real HTTPS server, and only then reloads."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from https_files import HttpsFiles

from mailimg import manifest
from mailimg.commands.verify import stored_tree
from mailimg.peers.authority import Authority, Certificate
from mailimg_firstboot import engine, preparing, renewal, stepping
from mailimg_firstboot.errors import FirstbootError
from mailimg_firstboot.host import Host
from mailimg_firstboot.report import Report, read_status
from mailimg_firstboot.systemd import Systemd, UnitState
from mailimg_firstboot.waiting import Clock

pytestmark = pytest.mark.boot

NAME = "webmail.example.org"
UNIT = "nginx.service"
CONF = """\
pid {root}/nginx.pid;
error_log {root}/error.log notice;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
    uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
    ssl_certificate {root}/etc/nginx/certificate.pem;
    ssl_certificate_key {root}/etc/nginx/key.pem;
    server {{ listen 127.0.0.1:{port} ssl; return 204; }}
}}
"""
ROLE = {
    "schema": 1, "role": "sogo", "distro": "debian-12", "identity": "0" * 64, "version": "0.1.0", "site": [],
    "parameters": {}, "facts": {}, "services": [{"name": "nginx", "unit": UNIT, "with": "tls"}], "health": [],
    "ports": [], "files": [
        {"template": "tls-certificate.pem.j2", "path": "/etc/nginx/certificate.pem", "owner": "root", "group": "root",
         "mode": "0644", "service": "nginx"},
        {"template": "tls-key.pem.j2", "path": "/etc/nginx/key.pem", "owner": "root", "group": "root", "mode": "0600",
         "service": "nginx", "secret": True}]}
STEPS = stepping.only(engine.STEPS, "certificate", "render", "services")
TEMPLATES = Path(__file__).parents[2] / "roles" / "sogo" / "templates"


@pytest.fixture(scope="module")
def sogo(images: Path, store: Path) -> Path:
    """The tree of the sogo image."""
    return stored_tree(manifest.read(images / "sogo-debian-12.qcow2"), store)


class Nginx(Systemd):
    """The image's nginx in the place of its unit; it runs with the image's own libraries."""

    def __init__(self, tree: Path, root: Path) -> None:
        super().__init__(lambda *_: None)
        self.root = root
        self.port = free_port()
        self.reloads = 0
        self.process: subprocess.Popen[bytes] | None = None
        (root / "nginx.conf").write_text(CONF.format(root=root, port=self.port))
        library = tree / "usr/lib/x86_64-linux-gnu"
        self.command = [library / "ld-linux-x86-64.so.2", "--library-path", library, tree / "usr/sbin/nginx",
                        "-p", root, "-c", root / "nginx.conf", "-g", "daemon off;"]

    def state(self, unit: str) -> UnitState:
        assert unit == UNIT
        active = self.process is not None and self.process.poll() is None
        return UnitState(True, active, "active (running)" if active else "inactive (dead)")

    def start(self, unit: str) -> None:
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 10.0
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
                return
            except OSError:
                assert self.process.poll() is None, (self.root / "error.log").read_text()
                assert time.monotonic() < deadline, "nginx does not listen"
                time.sleep(0.05)

    def reload(self, unit: str) -> None:
        assert self.process is not None
        old = self.worker()
        self.reloads += 1
        os.kill(self.process.pid, signal.SIGHUP)
        deadline = time.monotonic() + 10.0
        while not set(self.worker()) - set(old) or set(self.worker()) & set(old):
            assert time.monotonic() < deadline, (self.root / "error.log").read_text()
            time.sleep(0.05)

    def stop(self, unit: str) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)

    def worker(self) -> list[str]:
        """The processes that serve: others after a reload."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()

    def shows(self, ca: str) -> int:
        """The serial number of the certificate that a client sees, which checks it."""
        context = ssl.create_default_context(cadata=ca)
        with socket.create_connection(("127.0.0.1", self.port), 5.0) as plain, \
                context.wrap_socket(plain, server_hostname=NAME) as channel:
            seen = channel.getpeercert()
        assert seen is not None
        return int(str(seen["serialNumber"]), 16)


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Node:
    """A node that serves webmail over TLS."""

    def __init__(self, tree: Path, folder: Path, files: HttpsFiles) -> None:
        root = folder / "node"
        seed = "var/lib/cloud/seed/config_drive/openstack/latest"
        document = {"mailimg": 1, "tls": {"url": files.url, "ca": files.ca, "names": [NAME]}}
        for name, text in {
            "etc/mailimg/role.json": json.dumps(ROLE), "etc/passwd": "root:x:0:0::/:/bin/sh\n",
            "etc/group": "root:x:0:\n", "proc/uptime": "1.0 1.0\n", f"{seed}/user_data": json.dumps(document),
            f"{seed}/meta_data.json": json.dumps({"uuid": "0" * 8, "hostname": "webmail-1"}),
        }.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        self.nginx = Nginx(tree, root)
        self.host = Host(str(root), self.nginx)
        self.options = preparing.Options(templates=str(TEMPLATES), patience=1.0)
        self.host.path(str(TEMPLATES)).parent.mkdir(parents=True)
        self.host.path(str(TEMPLATES)).symlink_to(TEMPLATES)

    def boot(self) -> None:
        engine.apply(self.host, Clock(), Report(self.host, Clock()), self.options, STEPS)

    def renew(self) -> str:
        said: list[str] = []
        renewal.renew(self.host, Clock(), self.options, said.append)
        return said[-1]


@pytest.fixture
def files(tmp_path: Path) -> HttpsFiles:
    return HttpsFiles(tmp_path / "server")


@pytest.fixture
def node(sogo: Path, tmp_path: Path, files: HttpsFiles) -> Iterator[Node]:
    made = Node(sogo, tmp_path, files)
    yield made
    made.nginx.stop(UNIT)


def offer(files: HttpsFiles, made: Certificate) -> int:
    """Put a certificate where the node fetches it; returns its serial number."""
    from cryptography import x509

    files.content = made.chain.encode() + made.key.read_bytes()
    return x509.load_pem_x509_certificate(made.chain.encode()).serial_number


def test_a_renewal_is_served_and_nothing_else_reloads(node: Node, files: HttpsFiles, tmp_path: Path) -> None:
    (tmp_path / "company").mkdir()
    root = Authority(tmp_path / "company", name="company")
    company = Authority(tmp_path / "company", root, "company servers")
    with files.up():
        first = offer(files, company.issue(NAME))
        node.boot()
        assert node.nginx.shows(root.pem) == first
        worker = node.nginx.worker()
        assert node.renew().endswith("unchanged")
        assert (node.nginx.reloads, node.nginx.worker()) == (0, worker)

        second = offer(files, company.issue(NAME))
        assert node.renew().endswith("reloaded nginx")
        assert (node.nginx.shows(root.pem), node.nginx.reloads) == (second, 1)
        assert second != first
        worker = node.nginx.worker()
        assert node.renew().endswith("unchanged")
        assert (node.nginx.reloads, node.nginx.worker()) == (1, worker)

        # A key that is not the certificate's: nginx would refuse it, and a restart would end the service.
        broken = company.issue(NAME)
        files.content = broken.chain.encode() + company.issue("other.example.org").key.read_bytes()
        with pytest.raises(FirstbootError, match="the key is not that of the certificate"):
            node.renew()
        assert (node.nginx.shows(root.pem), node.nginx.reloads) == (second, 1)
    with pytest.raises(FirstbootError, match="Connection refused"):
        node.renew()
    assert (node.nginx.shows(root.pem), node.nginx.worker()) == (second, worker)
    status = read_status(node.host)
    assert status is not None
    assert (status["state"], status["certificate"]["kept"]) == ("ready", True)
    assert "Connection refused" in status["certificate"]["warning"]

    node.nginx.stop(UNIT)
    node.boot()
    assert node.nginx.shows(root.pem) == second, "a reboot while the source is away"
