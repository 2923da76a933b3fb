"""A real Python 3.6 with the libraries that CentOS 7 has for it, where this machine has such an interpreter."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

# What an image of CentOS 7 has, from EPEL 7 (python36-jinja2, -markupsafe, -jsonschema, -PyYAML, -cryptography), and
# what these import. That cryptography is 2.3 there is from memory; the wheel brings an OpenSSL of its own (1.1.0), not
# the image's 1.0.2.
LIBRARIES = (
    "Jinja2==2.11.1", "MarkupSafe==0.23", "jsonschema==2.5.1", "PyYAML==3.13", "cryptography==2.3",
    "asn1crypto==0.24.0", "cffi==1.11.5", "idna==2.7", "pycparser==2.18", "six==1.16.0",
)
# The last pytest for 3.6, and all that it needs, by number: a pip of that age takes what is too new for it.
PYTEST = (
    "pytest==7.0.1", "attrs==22.2.0", "importlib-metadata==4.8.3", "iniconfig==1.1.1", "packaging==21.3",
    "pluggy==1.0.0", "py==1.11.0", "pyparsing==3.0.9", "tomli==1.2.3", "typing-extensions==4.1.1", "zipp==3.6.0",
)
# keystoneauth1 for 3.6 and all that it needs beside these; requests is EPEL 7's (python36-requests), of 2017.
KEYSTONEAUTH = (
    "keystoneauth1==5.1.3", "os-service-types==1.7.0", "stevedore==3.5.2", "pbr==5.11.1", "iso8601==1.1.0",
    "requests==2.14.2",
)
ABSENT = (
    "this machine has no Python 3.6 (looked for python3.6 on the PATH and below pyenv's versions): "
    "the agent was NOT run on the interpreter of CentOS 7"
)
# What services on CentOS 7 run with where nobody says otherwise; Python before 3.7 takes it at its word.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1"}


def interpreter() -> Path | None:
    """A Python 3.6 that runs, or None; pyenv's shim on the PATH runs only where that version is chosen."""
    places = [Path(found) for found in [shutil.which("python3.6")] if found]
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    places += sorted(root.glob("versions/3.6*/bin/python3.6"), reverse=True)
    for place in places:
        asked = run([place, "-I", "-c", "import sys; print(sys.version_info[:2] == (3, 6))"])
        if asked.returncode == 0 and asked.stdout.strip() == "True":
            return place
    return None


def environment(python: Path, cache: Path, more: Sequence[str] = ()) -> Path:
    """The interpreter of a virtual environment with `LIBRARIES`, pytest and `more`; made once, kept below `cache`."""
    version = run([python, "-VV"]).stdout
    key = hashlib.sha256("\0".join([str(python), version, *LIBRARIES, *PYTEST, *more]).encode()).hexdigest()[:16]
    folder = cache / f"python36-{key}"
    made = folder / "bin" / "python"
    with locked(cache / f"python36-{key}.lock"):
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            # pip needs the settings of this machine: where packages come from.
            for command in ([python, "-m", "venv", folder],
                            [made, "-m", "pip", "install", "--disable-pip-version-check", *LIBRARIES, *PYTEST, *more]):
                done = run(command, {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
                assert done.returncode == 0, f"{done.args}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
            (folder / "whole").touch()
    return made


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone, among test runs that share a store."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def run(
    command: list[str | Path], env: dict[str, str] | None = None, **more: Path
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its output is UTF-8, whatever its locale says."""
    return subprocess.run(
        [str(word) for word in command], env=ENVIRONMENT if env is None else env, stdin=subprocess.DEVNULL,
        capture_output=True, encoding="utf-8", errors="surrogateescape", check=False, **more)
