"""What Python 3.6 says of HTTPS servers and of certificates: its ssl has other errors, its cryptography is 2.3."""

from __future__ import annotations

import datetime
from pathlib import Path

import oldest_python
import pytest
from https_files import HttpsFiles

from mailimg.peers.authority import Authority

pytestmark = pytest.mark.lab

FIRSTBOOT = Path(__file__).resolve().parents[2] / "firstboot"
# argv: package folder, URL, file with the authority, name that must be covered.
FETCH = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from mailimg_firstboot.errors import FirstbootError
from mailimg_firstboot.secret import Secret
from mailimg_firstboot.tls import bundle, checks, download
try:
    content = download.get(sys.argv[2], Path(sys.argv[3]).read_text(), None)
    made = bundle.Bundle(bundle.chain(content), bundle.key(content))
    seen = checks.look(made, [sys.argv[4]], str)
    print("checked", seen.names, seen.problems, seen.ends > seen.begins > 0)
except FirstbootError as error:
    print(type(error).__name__, error.message, getattr(error, "time", ""))
"""


@pytest.fixture(scope="session")
def python36(store_root: Path) -> Path:
    """The interpreter of a virtual environment like an image's; the reason for a skip stands in pytest's summary."""
    found = oldest_python.interpreter()
    if found is None:
        pytest.skip(oldest_python.ABSENT)
    return oldest_python.environment(found, store_root / "cache")


def fetch(python: Path, files: HttpsFiles, ca: Path, name: str = "mail.example.org") -> str:
    done = oldest_python.run([python, "-I", "-W", "error", "-c", FETCH, FIRSTBOOT, files.url, ca, name])
    assert done.stderr == ""
    return done.stdout.strip()


def test_on_python_36(python36: Path, tmp_path: Path) -> None:
    files = HttpsFiles(tmp_path / "server")
    ca = files.authority.file
    (tmp_path / "company").mkdir()
    company = Authority(tmp_path / "company", name="company")
    made = Authority(tmp_path / "company", company, "company servers").issue("mail.example.org", rsa_bits=2048)
    files.content = made.chain.encode() + made.key.read_bytes()
    assert fetch(python36, files, ca).startswith(f"TransientError get {files.url}: ")
    with files.up():
        assert fetch(python36, files, ca) == "checked ['mail.example.org'] [] True"
        assert "it does not cover x.example.org" in fetch(python36, files, ca, "x.example.org")
        words = f"get {files.url}: the server's certificate does not chain to tls.ca, or is of another name"
        assert fetch(python36, files, company.file) == f"UntrustedError {words}, or is not valid now True"
        files.status = 404
        assert fetch(python36, files, ca) == f"StepError get {files.url}: 404 Not Found"
    files.status = 200
    files.present(files.authority.issue("elsewhere.example.org").certificate)
    with files.up():
        assert fetch(python36, files, ca) == f"UntrustedError {words} False"
    files.present(files.authority.issue("localhost", ends=-datetime.timedelta(hours=1)).certificate)
    with files.up():
        assert fetch(python36, files, ca) == f"UntrustedError {words}, or is not valid now True"
