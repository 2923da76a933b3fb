"""The services as processes: their databases, their start, their end, what they cost."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from cloud import infrastructure, settings
from cloud.environment import HERE, Environment
from cloud.settings import PASSWORD, REGION, url

# Seconds for one service to answer: 5 to 8 on four idle cores.
START_TIMEOUT = 180.0
COMMAND_TIMEOUT = 180.0
END_TIMEOUT = 10.0


class Services:
    """Services of one folder; `reserve` first, then `configure`, databases, `start`."""

    def __init__(self, folder: Path, environment: Environment, names: Iterable[str]) -> None:
        self.folder = folder
        self.environment = environment
        self.names = tuple(names)
        self.ports: dict[str, int] = {}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._reserved: list[socket.socket] = []
        self.ca = str(folder / "etc" / "ca.pem")

    @property
    def env(self) -> dict[str, str]:
        """What the processes get; nothing of the caller's environment, which may name another cloud."""
        return {
            "PATH": f"{self.environment.folder}/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8",
            "HOME": f"{self.folder}/home", "REQUESTS_CA_BUNDLE": self.ca, "PYTHONWARNINGS": "ignore",
            "OS_KEYSTONE_CONFIG_FILES": f"{self.folder}/etc/keystone/keystone.conf",
        }

    def reserve(self) -> None:
        """Take a free port for each service of OpenStack that is known here, and keep it for the life of this object.

        A socket that is bound and does not listen keeps others off; whoever binds with SO_REUSEADDR may still listen,
        and while nobody does, connections are refused.
        """
        for name in ("keystone", *settings.TYPES, infrastructure.NAME):
            keeper = socket.socket()
            keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            keeper.bind(("127.0.0.1", 0))
            self._reserved.append(keeper)
            self.ports[name] = keeper.getsockname()[1]

    def configure(self) -> None:
        """Write every configuration file."""
        for name in ("data/images", "data/staging", "data/tasks", "data/locks", "log", "home", "pid",
                     "etc/keystone/fernet-keys", "etc/keystone/credential-keys"):
            (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in settings.files(self.folder, self.environment.folder, self.ports).items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name in ("heat", "barbican"):
            # They look nowhere else when their modules are imported.
            place = self.folder / "home" / f".{name}"
            place.mkdir(exist_ok=True)
            (place / f"{name}.conf").symlink_to(self.folder / "etc" / name / f"{name}.conf")

    def make_databases(self) -> None:
        """Every database from nothing: 10 s."""
        makers: dict[str, Callable[[], None]] = {
            "keystone": self._make_keystone,
            "glance": lambda: self._command("glance", "glance-manage", "--config-file",
                                            f"{self.folder}/etc/glance/glance-api.conf", "db_sync"),
            "barbican": lambda: self._command("barbican", "barbican-manage", "db", "upgrade"),
            "octavia": lambda: self._command("octavia", "python", str(HERE / "octavia_schema.py"),
                                             f"{self.folder}/etc/octavia/octavia.conf"),
            "heat": lambda: self._command("heat", "heat-manage", "db_sync"),
        }
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(makers[name]) for name in self.names]:
                done.result()
        for name in self.names:
            # Kept in the file: readers do not block the writer.
            connection = sqlite3.connect(self.folder / "data" / f"{name}.db")
            connection.execute("PRAGMA journal_mode=WAL")
            if name == "heat":
                number_once(connection, "resource_properties_data")
            connection.close()

    def _make_keystone(self) -> None:
        me = ("--keystone-user", pwd.getpwuid(os.getuid()).pw_name,
              "--keystone-group", grp.getgrgid(os.getgid()).gr_name)
        manage = ("keystone-manage", "--config-file", f"{self.folder}/etc/keystone/keystone.conf")
        self._command("keystone", *manage, "db_sync")
        self._command("keystone", *manage, "fernet_setup", *me)
        self._command("keystone", *manage, "credential_setup", *me)
        place = url(self.ports["keystone"]) + "/v3"
        self._command("keystone", *manage, "bootstrap", "--bootstrap-password", PASSWORD,
                      "--bootstrap-public-url", place, "--bootstrap-internal-url", place,
                      "--bootstrap-admin-url", place, "--bootstrap-region-id", REGION)

    def _command(self, name: str, *argv: str) -> None:
        with self._log(name).open("ab") as log:
            done = subprocess.run(argv, env=self.env, cwd=self.folder / "home", stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=log, check=False, timeout=COMMAND_TIMEOUT)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv[:3])}: status {done.returncode}\n{self.tail(name)}")

    def _log(self, name: str) -> Path:
        return self.folder / "log" / f"{name}.log"

    def tail(self, name: str) -> str:
        """The last words of a service."""
        return self._log(name).read_text(errors="replace")[-2000:]

    def log(self, name: str) -> str:
        """All that a service has said; werkzeug adds a line for each request."""
        return self._log(name).read_text(errors="replace")

    def start(self, *names: str) -> None:
        """Start services (all of them when none is named) and wait until each answers.

        Raises:
            RuntimeError: one does not.
        """
        wanted = names or self.names
        for name in wanted:
            with self._log(name).open("ab") as log:
                argv = [str(self.environment.python), str(HERE / "serve.py"), name, str(self.ports[name]),
                        str(self.folder)]
                self.running[name] = subprocess.Popen(
                    argv, env=self.env, cwd=self.folder / "home", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True)
            (self.folder / "pid" / name).write_text(str(self.running[name].pid))
        for name in wanted:
            self._wait(name)

    def _wait(self, name: str) -> None:
        context = ssl.create_default_context(cafile=self.ca)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=context))
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self.running[name].poll() is not None:
                raise RuntimeError(f"{name} ended with status {self.running[name].returncode}\n{self.tail(name)}")
            try:
                opener.open(url(self.ports[name]) + "/", timeout=10).close()
            except urllib.error.HTTPError as answer:
                # 300 Multiple Choices, 401: it answers.
                answer.close()
                return
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"{name} does not answer after {START_TIMEOUT:g} s\n{self.tail(name)}")

    def stop(self, *names: str) -> None:
        """End services (all that run when none is named) and reap them."""
        wanted = [name for name in (names or tuple(self.running)) if name in self.running]
        for name in wanted:
            self.running[name].terminate()
        for name in wanted:
            process = self.running.pop(name)
            try:
                process.wait(END_TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            (self.folder / "pid" / name).unlink()

    def close(self) -> None:
        """End everything and give the ports back."""
        self.stop()
        for keeper in self._reserved:
            keeper.close()
        self._reserved.clear()

    def memory(self) -> dict[str, int]:
        """MiB of each service that runs (proportional set size)."""
        found = {}
        for name, process in self.running.items():
            with suppress(OSError):
                rows = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
                found[name] = next(int(row.split()[1]) for row in rows if row.startswith("Pss:")) // 1024
        return found

    def keep(self, place: Path) -> None:
        """Copy the databases and Keystone's keys of services that were just seeded, for later starts."""
        unfinished = place.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        (unfinished / "data").mkdir(parents=True)
        for name in self.names:
            connection = sqlite3.connect(self.folder / "data" / f"{name}.db")
            connection.execute("VACUUM INTO ?", (str(unfinished / "data" / f"{name}.db"),))
            connection.close()
        for name in ("fernet-keys", "credential-keys"):
            shutil.copytree(self.folder / "etc/keystone" / name, unfinished / "etc/keystone" / name)
        unfinished.rename(place)

    def take(self, place: Path) -> None:
        """Begin with what `keep` copied."""
        shutil.copytree(place, self.folder, dirs_exist_ok=True)


def number_once(connection: sqlite3.Connection, table: str) -> None:
    """Let no row of an empty table get the id of a row that was deleted, as in every other database.

    Heat's threads may delete a resource's cached attributes twice. By then SQLite has given the id to the properties of
    another resource, and its stack is broken for good: `ResourcePropertiesData with id 89 not found`.
    """
    (made,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    numbered = made.replace("id INTEGER NOT NULL", "id INTEGER PRIMARY KEY AUTOINCREMENT", 1)
    numbered = re.sub(r",\s*PRIMARY KEY \(id\)", "", numbered)
    connection.execute(f"DROP TABLE {table}")
    connection.execute(numbered)
    connection.commit()
