"""RPM repositories: what the user may say instead of a distribution's own, and what is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mailimg import web, yum
from mailimg.errors import InputError, StepError
from mailimg.sources import UNKNOWN, Wanted

FINGERPRINT = "6341AB2753D78A78A7C27BB124C6A8A7F4A80EB5"
KNOWN: list[dict[str, Any]] = [
    {"id": "base", "urls": ["https://one.example.org/7/os/", "https://two.example.org/7/os/"], "mirror": "os/x86_64",
     "key": "/etc/pki/KEY", "fingerprint": FINGERPRINT},
    {"id": "epel", "urls": ["https://epel.example.org/7/"], "key": "/etc/pki/EPEL", "fingerprint": FINGERPRINT,
     "key_package": "epel-release", "exclude": ["gnustep*", "ytnef*"]},
    {"id": "sogo", "elements": ["sogo"], "key": "/etc/pki/SOGO", "hint": "Mirror it."},
]
KEY = f"{yum.ARMOR}\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n"
REPOMD = b"""\
<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo">
  <revision>1604001756</revision>
  <data type="primary"><checksum type="sha256">aaaa</checksum><timestamp>1604001700</timestamp></data>
  <data type="filelists"><checksum type="sha256">bbbb</checksum></data>
</repomd>
"""


def sources(used: set[str] | None = None, **wanted: Any) -> yum.YumSources:
    return yum.sources(KNOWN, Wanted(**wanted), used or {"postfix"}, "el-7", {"MAILIMG_BASE_SHA256": "00"})


def refused(used: set[str] | None = None, **wanted: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        sources(used, **wanted)
    return caught.value


def test_a_repository_file_names_all_places_in_order_and_checks_signatures() -> None:
    found = sources()
    assert found.repositories[0].section.splitlines() == [
        "[base]",
        "name=base",
        "baseurl=https://one.example.org/7/os/",
        "        https://two.example.org/7/os/",
        "enabled=1",
        "failovermethod=priority",
        "gpgcheck=1",
        "gpgkey=file:///etc/pki/KEY",
    ]
    assert found.repositories[1].section.splitlines()[-1] == "exclude=gnustep* ytnef*"
    assert found.repositories[1].environment()["MAILIMG_YUM_KEY_EPEL"] == (
        f"epel /etc/pki/EPEL {FINGERPRINT} epel-release"
    )


def test_the_users_places_stand_instead_of_the_known_ones() -> None:
    found = sources(
        mirror="https://m.example.org/7.9/", repositories=(("epel", "http://b.example.org/e"), ("epel", "http://c.example.org/"))
    )
    assert [repository.urls for repository in found.repositories] == [
        ("https://m.example.org/7.9/os/x86_64/",),
        ("http://b.example.org/e/", "http://c.example.org/"),
    ]
    own = sources(mirror="https://m.example.org/7.9", repositories=(("base", "https://b.example.org"),))
    assert own.repositories[0].urls == ("https://b.example.org/",)


def test_a_repository_is_only_asked_for_where_its_elements_are_used(tmp_path: Path) -> None:
    assert [repository.id for repository in sources().repositories] == ["base", "epel"]
    error = refused({"sogo"})
    assert error.problems == ("el-7 knows no place of repository sogo: --repository sogo=URL is missing",)
    assert error.hint == "Mirror it."
    error = refused({"sogo"}, repositories=(("sogo", "https://s.example.org/"),))
    assert error.problems == ("repository sogo: the key of its packages is missing: --repository-key sogo=FILE",)
    key = tmp_path / "key"
    key.write_text(KEY)
    found = sources({"sogo"}, repositories=(("sogo", "https://s.example.org/"),), keys=(("sogo", key),))
    state = found.measured(index=False)
    assert set(state.by_element) == {"sogo"}
    assert state.by_element["sogo"].environment == {
        "MAILIMG_YUM_REPOSITORY_SOGO": found.repositories[2].section,
        "MAILIMG_YUM_KEY_SOGO": "sogo /etc/pki/rpm-gpg/RPM-GPG-KEY-mailimg-sogo - -",
        "MAILIMG_YUM_KEYTEXT_SOGO": KEY.strip(),
    }
    assert "MAILIMG_YUM_REPOSITORY_SOGO" not in state.common.environment
    assert state.common.environment["MAILIMG_BASE_SHA256"] == "00"
    assert (state.common.index, state.epoch) == (UNKNOWN, 0)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no key, no certificate")
    error = refused(
        mirror="ftp://m.example.org",
        repositories=(("bsae", "https://m.example.org"), ("epel", "nowhere"), ("base", 'https://a"b.example.org/')),
        keys=(("epel", tmp_path / "file"), ("x", tmp_path / "file")),
        ca=tmp_path / "file",
    )
    assert error.problems == (
        "--repository bsae: el-7 has no such repository (did you mean 'base'?)",
        "--repository-key x: el-7 has no such repository",
        "--mirror: 'ftp://m.example.org' is not an http or https URL",
        "--repository epel: 'nowhere' is not an http or https URL",
        "--repository base: 'https://a\"b.example.org/' is not an http or https URL",
        f"--mirror-ca {tmp_path}/file: is no certificate in PEM",
        f"--repository-key epel={tmp_path}/file: is no OpenPGP public key in ASCII armor",
    )


def test_credentials_are_refused_and_not_repeated() -> None:
    for wanted in ({"mirror": "https://me:hunter2@m.example.org"}, {"repositories": (("base", "https://hunter2@m.org"),)}):
        error = refused(**wanted)
        assert "holds a user name or password, which would stand in every image" in error.problems[0]
        assert "hunter2" not in str(error) + error.hint


class Web:
    """Stands for the network: URL to content, or to why it cannot be read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pages: dict[str, bytes | str]) -> None:
        self.pages = pages
        monkeypatch.setattr(web, "read", self.read)

    def read(self, url: str, *, ca: Path | None) -> bytes:
        assert ca is None
        page = self.pages[url]
        if isinstance(page, str):
            raise web.UnreachableError(page)
        return page


ONE, TWO, EPEL = (f"https://{host}repodata/repomd.xml" for host in
                  ("one.example.org/7/os/", "two.example.org/7/os/", "epel.example.org/7/"))


def test_state_comes_from_the_first_place_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    internet = Web(monkeypatch, {ONE: REPOMD, TWO: "503 away", EPEL: REPOMD.replace(b"aaaa", b"cccc")})
    first = sources().measured(index=True)
    assert first.epoch == 1604001756
    internet.pages |= {ONE: "403 Forbidden", TWO: REPOMD}
    assert sources().measured(index=True) == first
    internet.pages[ONE] = b"<html>"
    assert sources().measured(index=True) == first
    internet.pages[TWO] = REPOMD.replace(b"aaaa", b"dddd")
    assert sources().measured(index=True).common.index != first.common.index


def test_an_archive_that_is_away_is_named_with_every_place_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    Web(monkeypatch, {ONE: "403 Forbidden", TWO: b"<html><p>log in</html>", EPEL: REPOMD})
    with pytest.raises(StepError) as caught:
        sources().measured(index=True)
    lines = caught.value.message.splitlines()
    assert lines[:2] == ["cannot read the package index of repository base:", f"{ONE}: 403 Forbidden"]
    assert lines[2].startswith(f"{TWO} is no package index: ")
    for word in ("--mirror URL", "--repository ID=URL", "--distro debian-12"):
        assert word in caught.value.hint


@pytest.mark.parametrize("text", [
    b"",
    b"<a>",
    b"<repomd/>",
    b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
    REPOMD.replace(b'type="primary"', b'type="other"'),
])
def test_what_is_no_index(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        yum.repository_state(text)


def test_an_index_without_a_revision_has_the_time_of_its_list() -> None:
    assert yum.repository_state(REPOMD.replace(b"1604001756", b"x")) == yum.RepositoryState("aaaa", 1604001700)
