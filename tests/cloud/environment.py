"""The virtual environment of the services: made once for each list of versions, kept between runs."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
LISTS = ("requirements.txt", "constraints.txt")

# What decides the databases that a fresh start makes.
SEEDS = ("settings.py", "seeding.py", "services.py", "octavia_schema.py")

# Seconds for pip: half a minute from a near index with four cores, many minutes from a far one.
INSTALL_TIMEOUT = 1500.0


@dataclass(frozen=True)
class Environment:
    """A virtual environment with every service.

    Args:
        folder: of the environment.
        seconds: that making it took; 0.0 when it was there.
    """

    folder: Path
    seconds: float

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def seeds(self) -> Path:
        """Where the databases of a fresh start are kept; not there before the first start."""
        return self.folder / f"seeds-{digest(SEEDS)}"


def digest(names: tuple[str, ...]) -> str:
    """12 hex digits of the content of files of this folder and of the interpreter's version."""
    total = hashlib.sha256(sys.version.encode())
    for name in names:
        total.update((HERE / name).read_bytes())
    return total.hexdigest()[:12]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file: two test runs at once must not make the same thing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def prepare(cache: Path) -> Environment:
    """The environment below `cache`; makes it if it is not there, with pip as this machine has it configured.

    Raises:
        RuntimeError: pip failed; with its last words.
    """
    folder = cache / f"openstack-{digest(LISTS)}"
    with locked(folder.with_suffix(".lock")):
        ready = folder / "ready"
        if ready.exists():
            return Environment(folder, 0.0)
        begun = time.monotonic()
        # A run that was cut off left half an environment.
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
              "--constraint", str(HERE / "constraints.txt"), "--requirement", str(HERE / "requirements.txt")])
        ready.touch()
        return Environment(folder, time.monotonic() - begun)


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          timeout=INSTALL_TIMEOUT)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv[:4])}: status {done.returncode}\n{done.stdout[-500:]}{done.stderr[-1500:]}")
