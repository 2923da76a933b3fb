"""What can go wrong with a build for centos-7: each fault has its own words, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builder_site import DRIVER, Site
from el7_site import DISTRO, El7

from mailimg import process
from mailimg.resources import installed

pytestmark = pytest.mark.lab


@pytest.fixture
def failed(el7: El7) -> Callable[..., str]:
    """Run a build of role nfs that must fail; gives its words. `status` is the exit status."""
    place = el7.folder / "faults"

    def run(*words: str, status: int = 1, change: Callable[[dict[str, Any]], None] = lambda _: None) -> str:
        try:
            done = el7.build("--role", "nfs", *words, elements=el7.element("broken", change), place="faults")
        finally:
            el7.server.faults.clear()
        assert done.returncode == status, done.stderr
        assert done.stdout == ""
        if status == 1:
            Site(el7.folder, place / "store").assert_quiet()
        assert not list(place.glob("images/*qcow2*"))
        return done.stderr

    return run


def test_base_image_with_a_wrong_checksum(el7: El7, failed: Callable[..., str], tmp_path: Path) -> None:
    other = tmp_path / "other.qcow2"
    other.write_bytes(b"no image")
    said = failed("--base-image", str(other), status=2)
    assert f"error: --base-image {other}: its SHA-256 is " in said
    assert f", expected {el7.made.sha256}" in said
    el7.server.faults.corrupt("/*/images/*")
    said = failed()
    for mirror in ("one", "two"):
        assert f"{el7.server.image_url(mirror)}: its SHA-256 is " in said
    assert "--base-image FILE" in said


def test_base_image_that_no_place_gives(el7: El7, failed: Callable[..., str]) -> None:
    el7.server.faults.answer("/one/images/*", 404)
    el7.server.faults.answer("/two/images/*", 403)
    said = failed()
    assert f"{el7.server.image_url('one')}: 404 Not Found" in said
    assert f"{el7.server.image_url('two')}: 403 Forbidden" in said
    assert "--distro debian-12 builds the same roles" in said


def small_image(folder: Path, release: str, machine: bytes) -> Path:
    """A cloud image with nothing but a release file and the head of a program."""
    tree, raw, image = folder / "tree", folder / "raw", folder / "small.qcow2"
    (tree / "etc").mkdir(parents=True)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "etc/centos-release").write_text(release + "\n")
    # ELF header: e_machine stands at 18.
    (tree / "usr/bin/bash").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(11) + machine + bytes(44))
    with raw.open("wb") as file:
        file.truncate(32 * 1024**2)
    process.run(["sfdisk", "--quiet", raw], what="partition", stdin=b"start=2048, type=83\n", timeout=60)
    make = ["mke2fs", "-q", "-F", "-t", "ext4", "-E", f"offset={1024**2}", "-d", tree, raw, f"{30 * 1024}k"]
    process.run(make, what="fill", timeout=60)
    process.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image], what="convert", timeout=60)
    return image


@pytest.mark.parametrize(
    ("release", "machine", "words"),
    [
        ("CentOS Linux release 8.5.2111", b"\x3e\x00", "is another release: 'CentOS Linux release 8.5.2111'"),
        ("CentOS Linux release 7.9.2009 (AltArch)", b"\xb7\x00", "is for another architecture (ELF machine 183"),
    ],
)
def test_base_image_of_another_release_or_architecture(
    failed: Callable[..., str], tmp_path: Path, release: str, machine: bytes, words: str
) -> None:
    image = small_image(tmp_path, release, machine)
    digest = process.run(["sha256sum", image], what="sum", timeout=60).stdout.split()[0]
    said = failed("--base-image", str(image), "--base-sha256", digest)
    assert words in said
    assert "element distro-centos-7, hook root.d/10-distro-centos-7-base ended with status 1" in said


def test_base_image_that_is_none(failed: Callable[..., str], tmp_path: Path) -> None:
    image = tmp_path / "text.qcow2"
    image.write_text("no image")
    digest = process.run(["sha256sum", image], what="sum", timeout=60).stdout.split()[0]
    assert f"the base image {image} cannot be unpacked" in failed("--base-image", str(image), "--base-sha256", digest)


def test_package_index_that_no_place_gives(el7: El7, failed: Callable[..., str]) -> None:
    el7.server.faults.answer("/*/updates/*/repomd.xml", 403)
    said = failed()
    assert "error: cannot read the package index of repository updates:" in said
    for mirror in ("one", "two"):
        assert f"{el7.server.url('updates', mirror)}repodata/repomd.xml: 403 Forbidden" in said
    assert "--mirror URL" in said


def test_package_that_no_place_gives(el7: El7, failed: Callable[..., str]) -> None:
    el7.server.faults.answer("/*/Packages/epel-release-*", 403)
    said = failed()
    assert "epel-release" in said
    assert "403" in said


def test_redirect_that_yum_does_not_follow(el7: El7, failed: Callable[..., str]) -> None:
    said = failed("--repository", f"updates={el7.server.plain_url('updates')}")
    goal = f"{el7.server.url('updates')}repodata/repomd.xml"
    assert f"it redirects to {goal}, which yum of CentOS 7 does not follow" in said


def test_server_that_the_authority_did_not_certify(el7: El7) -> None:
    others = "/etc/ssl/certs/ca-certificates.crt"
    done = el7.build("--role", "nfs", "--mirror-ca", others, elements=el7.element("broken"))
    assert done.returncode == 1
    assert "certificate verify failed" in done.stderr


def test_missing_place_of_sogo(el7: El7) -> None:
    done = el7.build("--role", "sogo", elements=el7.element("broken"))
    assert done.returncode == 2
    problem = f"error: {DISTRO} knows no place of repository sogo: --repository sogo=URL is missing"
    assert problem in done.stderr.splitlines()
    assert "--repository-key sogo=FILE" in done.stderr


def repository(facts: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in facts["packages"]["repositories"] if one["id"] == name)
    return found


def test_key_with_another_fingerprint(failed: Callable[..., str]) -> None:
    said = failed(change=lambda facts: repository(facts, "base").update(fingerprint="0" * 40))
    assert "repository base: its key /etc/pki/rpm-gpg/RPM-GPG-KEY-CentOS-7 has the fingerprint " in said
    assert f"expected {'0' * 40}" in said


def test_key_that_is_not_in_the_image(failed: Callable[..., str]) -> None:
    said = failed(change=lambda facts: repository(facts, "base").update(key="/etc/pki/rpm-gpg/NONE"))
    assert "repository base: its key /etc/pki/rpm-gpg/NONE is not in the image" in said


def test_key_that_has_expired(failed: Callable[..., str], tmp_path: Path) -> None:
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
    try:
        old = ["--faked-system-time", "20200101T000000", "--quick-generate-key", "old", "rsa2048", "sign", "1d"]
        process.run([*gpg, *old], what="make an old key", timeout=60)
        text = process.run([*gpg, "--armor", "--export"], what="export it", timeout=60).stdout
    finally:
        process.run(["gpgconf", "--homedir", home, "--kill", "all"], what="end GnuPG's agent", timeout=60)
    (tmp_path / "old.asc").write_text(text)
    said = failed("--repository-key", f"epel={tmp_path / 'old.asc'}")
    assert "repository epel: its key /etc/pki/rpm-gpg/RPM-GPG-KEY-mailimg-epel expired on 2020-01-0" in said


def test_packages_that_another_key_signed(el7: El7, failed: Callable[..., str]) -> None:
    said = failed("--repository-key", f"extras={el7.key('sogo').public}")
    assert "epel-release" in said
    assert "GPG" in said


def test_disk_that_fills_while_the_base_image_is_unpacked(el7: El7, tmp_path: Path) -> None:
    root = installed().elements.parent
    build = [sys.executable, str(DRIVER), str(root), "--any-space", "--", "build", "--role", "nfs", "--distro", DISTRO,
             "--store", str(tmp_path / "small/store"), "--output", str(tmp_path / "out"), "--mirror-ca",
             str(el7.server.ca), *el7.options()]
    (tmp_path / "small").mkdir()
    script = f'mount -t tmpfs -o size=64m tmpfs {tmp_path}/small && exec "$@"'
    argv = ["unshare", "--mount", "bash", "-euc", script, "bash", *build]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert f"The disk that holds {tmp_path}/small" in done.stderr
    assert "is full. Free some space" in done.stderr
    assert not list((tmp_path / "out").glob("*.qcow2"))
