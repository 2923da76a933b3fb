"""Uploads that go wrong against a real Glance and Keystone: what is said, and that nothing unfinished stays."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import threading
import time
import uuid
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cloud import Rig
from glance_site import PASSED, Operator, configured, describe, frozen, make_image, sending

from mailimg import manifest
from mailimg.cloud import images, uploader
from mailimg.cloud.ready import jobs
from mailimg.cloud.upload import NAMESPACE, Upload
from mailimg.progress import Task

pytestmark = pytest.mark.lab

BIG = 80
# Seconds that a token lasts of which the command must begin to send: time enough on a busy machine.
LIFE = 25.0


def nothing_left(operator: Operator) -> None:
    """Neither an image nor its data."""
    assert (operator.raw(), operator.stored()) == ({}, [])


@pytest.mark.parametrize(("line", "words"), [
    ("user_storage_quota = 10MB", "413 Image exceeds the storage quota: The size of the data"),
    ("image_size_cap = 10000000", "413 The incoming image is too large"),
])
def test_quota(operator: Operator, tmp_path: Path, line: str, words: str) -> None:
    small, large = make_image(tmp_path / "out", "nfs"), make_image(tmp_path / "out", "sogo", mib=20)
    with configured(operator.rig, "glance", "DEFAULT", line):
        done = operator.run("upload", small, large)
    assert done.returncode == 1
    # One that fits is not punished for one that does not.
    assert re.fullmatch(r"nfs-debian-12-\w{12}  [0-9a-f-]{36}  uploaded in \d+ s\n", done.stdout)
    assert f"error: {large.name}: send the data of sogo-debian-12-" in done.stderr
    assert words in done.stderr
    assert "or its store is exhausted: make room (`mailimg retire`), or ask the cloud's operator." in done.stderr
    assert [one["mailimg_role"] for one in operator.raw().values()] == ["nfs"]


def test_junk_declared_qcow2(operator: Operator, tmp_path: Path) -> None:
    """Past our own look at the file, Glance takes one of its own."""
    junk = tmp_path / "sogo-debian-12.qcow2"
    junk.write_bytes(b"QFI\xfb" + os.urandom(3_000_000))
    describe(junk, "sogo", "debian-12", PASSED)
    done = operator.run("upload", junk)
    assert done.returncode == 1
    assert "image: 415 " in done.stderr
    assert "another format than was declared: is the image intact? Build it again." in done.stderr
    nothing_left(operator)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(operator: Operator, tmp_path: Path, number: signal.Signals) -> None:
    one, other = (make_image(tmp_path / "out", role, mib=BIG) for role in ("nfs", "sogo"))
    command = operator.start("upload", one, other)
    sending(command)
    assert operator.raw()
    command.send_signal(number)
    said = command.communicate(timeout=60)[1]
    assert command.returncode == 130
    assert "interrupted; nothing half-done is left behind" in said
    nothing_left(operator)


def test_glance_fails_half_way_through_creating(operator: Operator, tmp_path: Path) -> None:
    """It answers 500 and keeps an image without its tag, which no list of ours would show: another one is made."""
    image = make_image(tmp_path / "out")
    half = str(uuid.uuid5(NAMESPACE, f"{operator.glance().cloud.project} {manifest.read(image)['identity']} 0"))
    with closing(sqlite3.connect(operator.rig.database("glance"), timeout=30)) as database:
        database.execute(f"CREATE TRIGGER half BEFORE INSERT ON image_tags WHEN NEW.image_id = '{half}'"
                         " BEGIN SELECT RAISE(ABORT, ''); END")
        try:
            one = operator.upload(image)
        finally:
            database.execute("DROP TRIGGER half")
    assert half not in operator.raw()
    assert operator.states() == {one["id"]: "ready"}


def test_an_image_that_glance_deleted_half(operator: Operator, tmp_path: Path) -> None:
    """It calls it deleted, and lists it all the same; it refuses to delete it again."""
    half = operator.upload(image := make_image(tmp_path))["id"]
    with closing(sqlite3.connect(operator.rig.database("glance"), timeout=30)) as database, database:
        database.execute("UPDATE images SET status = 'deleted' WHERE id = ?", (half,))
    assert (operator.states(), operator.upload(image)["result"]) == ({}, "uploaded")
    assert list(operator.states().values()) == ["ready"]


def test_interrupted_while_glance_does_not_move(operator: Operator, tmp_path: Path) -> None:
    """It says what it could not clean up, within seconds; the next run does it."""
    image = make_image(tmp_path / "out", mib=BIG)
    command = operator.start("upload", image)
    sending(command)
    begun = time.monotonic()
    with frozen(operator.rig, "glance"):
        command.send_signal(signal.SIGINT)
        said = command.communicate(timeout=60)[1]
    # Three seconds for the threads, three for Glance; the rest is a machine with other things to do.
    assert time.monotonic() - begun < 40
    assert command.returncode == 130
    assert re.search(r"interrupted; smtp-in-debian-12-\w{12} \([0-9a-f-]{36}\) could not be removed;", said)
    assert said.endswith("; the next `mailimg upload` removes it\n")
    assert list(operator.states().values()) == ["unfinished"]
    assert operator.upload(image)["result"] == "uploaded"
    assert list(operator.states().values()) == ["ready"]


def test_killed(operator: Operator, tmp_path: Path) -> None:
    """SIGKILL leaves an image; the next run knows it for what it is, whatever it is about to upload itself."""
    first, second = make_image(tmp_path / "out", mib=BIG), make_image(tmp_path / "out", "nfs")
    command = operator.start("upload", first)
    sending(command)
    # So that it does not end meanwhile; it is there, and so it counts as at work.
    command.send_signal(signal.SIGSTOP)
    assert list(operator.states().values()) == ["uploading"]
    busy = operator.run("upload", first)
    assert busy.returncode == 1
    assert f"process {command.pid} on " in busy.stderr
    command.kill()
    command.communicate()
    ((left, state),) = operator.states().items()
    assert state == "unfinished"
    assert operator.raw()[left]["os_hidden"] is True
    done = operator.run("upload", second)
    assert done.returncode == 0
    assert f"removed what an interrupted upload left: {name_of(first)} ({left})\n" in done.stderr
    assert set(operator.states().values()) == {"ready"}
    assert operator.upload(first)["result"] == "uploaded"
    assert len(operator.stored()) == 2


def name_of(image: Path) -> str:
    """What an image file is called in the cloud."""
    document = manifest.read(image)
    return f"{document['role']}-{document['distro']}-{document['identity'][:12]}"


def test_only_what_mailimg_left_is_removed(operator: Operator, tmp_path: Path) -> None:
    image = make_image(tmp_path / "out")
    me = operator.project.me

    def create(name: str, **more: object) -> str:
        body = {"name": name, "disk_format": "qcow2", "container_format": "bare", "visibility": "private", **more}
        return str(me.post("image", "/v2/images", body)["id"])

    marks = {images.IDENTITY: "0" * 64, images.STATE: images.UPLOADING}
    somebodys = create("queued by hand")
    tagged = create("of our tag only", tags=["mailimg"])
    elsewhere = create("uploaded from elsewhere", tags=["mailimg"], **marks, mailimg_uploader=f"{'f' * 16} 1 1 other")
    old = create("of a process that is gone", tags=["mailimg"], **marks,
                 mailimg_uploader=str(replace(uploader.mine(), pid=2**22 + 1)))
    done = operator.run("upload", image)
    assert done.returncode == 0
    assert f"of a process that is gone ({old})" in done.stderr
    assert {somebodys, tagged, elsewhere} <= set(operator.raw())
    assert old not in operator.raw()
    assert operator.states()[elsewhere] == "uploading"
    done = operator.run("upload", image, "--abandoned")
    assert f"uploaded from elsewhere ({elsewhere})" in done.stderr
    assert {somebodys, tagged} <= set(operator.raw())
    assert len(operator.raw()) == 3


def test_connection_lost_on_the_way(operator: Operator, tmp_path: Path) -> None:
    """Glance dies with a part of the data; it comes back, and the image is sent again, whole."""
    image = make_image(tmp_path / "out", mib=BIG)
    command = operator.start("upload", image)
    sending(command)
    crash(operator.rig)
    operator.rig.services.start("glance")
    out, said = command.communicate(timeout=120)
    assert command.returncode == 0, said
    assert "again, send the data of" in said
    assert len(operator.raw()) == 1
    assert list(operator.states().values()) == ["ready"]
    assert "uploaded in" in out


def test_glance_stays_away(operator: Operator, tmp_path: Path) -> None:
    image = make_image(tmp_path / "out", mib=BIG)
    command = operator.start("upload", image)
    sending(command)
    crash(operator.rig)
    try:
        said = command.communicate(timeout=240)[1]
    finally:
        operator.rig.services.start("glance")
    assert command.returncode == 1
    assert "Connection refused" in said
    assert "could not be removed" in said
    assert "the next `mailimg upload` removes it" in said
    assert list(operator.states().values()) == ["unfinished"]
    assert operator.upload(image)["result"] == "uploaded"


def crash(rig: Rig) -> None:
    """Glance ends without a word."""
    process = rig.services.running.pop("glance")
    process.kill()
    process.wait()


def test_token_expires_in_the_middle(operator: Operator, tmp_path: Path) -> None:
    """Who has a password goes on with a new token."""
    with configured(operator.rig, "keystone", "token", "expiration = 8"):
        command = operator.start("upload", make_image(tmp_path / "out", mib=BIG))
        sending(command)
        with frozen(operator.rig, "glance"):
            time.sleep(9)
        said = command.communicate(timeout=120)[1]
    assert command.returncode == 0, said
    assert list(operator.states().values()) == ["ready"]


def test_token_expires_and_there_is_no_other(operator: Operator, tmp_path: Path) -> None:
    """Who brought nothing but a token cannot even clean up; the next run, with a better one, does."""
    image = make_image(tmp_path / "out", mib=BIG)
    with configured(operator.rig, "keystone", "token", f"expiration = {LIFE:.0f}"):
        begun = time.monotonic()
        token = operator.project.me.auth.get_token(operator.project.me.session)
        bearer = Operator(tmp_path, operator.rig, operator.project, {"auth_type": "v3token"}, {
            "auth_url": operator.rig.auth_url, "token": token, "project_name": "site",
            "project_domain_name": "Default"})
        command = bearer.start("upload", image)
        sending(command)
        with frozen(operator.rig, "glance"):
            time.sleep(max(0.0, begun + LIFE + 1.0 - time.monotonic()))
        said = command.communicate(timeout=120)[1]
    assert command.returncode == 1
    assert ": log in again: " in said
    assert "could not be removed" in said
    assert "`openstack token issue` says whether the credentials are right." in said
    assert list(operator.states().values()) == ["unfinished"]
    assert operator.upload(image)["result"] == "uploaded"
    assert list(operator.states().values()) == ["ready"]


def test_token_is_revoked_before_the_data(operator: Operator, tmp_path: Path) -> None:
    """A stream cannot be sent again with another token by itself: the whole upload begins again."""
    glance = operator.glance()
    said: list[str] = []

    class Revoking(Task):
        """Ends the token when its last use before the data is over."""

        def update(self, text: str) -> None:
            if text == "sending" and not said.count("sending"):
                # Glance remembers for a while the tokens that it has seen.
                glance.cloud.renew()
                operator.project.revoke(glance.cloud.token)
            said.append(text)

        def amount(self, done: int, total: int) -> None:
            """Nobody looks."""

    (job,) = jobs([make_image(tmp_path / "out")], untested=False)
    work = Upload(glance, uploader.mine(), threading.Event(), wait=lambda _: None)
    done = work.put(job, [], Revoking())
    assert (done.what, said.count("sending")) == ("uploaded", 2)
    assert any(text.startswith("again, send the data of smtp-in") and " 401 " in text for text in said)
    assert list(operator.raw()) == [done.image.id]


@pytest.mark.parametrize(("auth", "entry", "code", "words"), [
    ({"username": "site"}, {}, 2, ["auth.password (OS_PASSWORD) is missing"]),
    ({}, {}, 2, ["auth.password (OS_PASSWORD) is missing", "auth.username (OS_USERNAME) is missing"]),
    ({"auth_url": ""}, {}, 2, ["cloud rig: Auth plugin requires parameters which were not given: auth_url"]),
    ({"username": "site", "password": "wrong"}, {}, 1, ["log in at https://127.0.0.1:", "401 The request you have"]),
    ({"username": "site", "password": "x", "auth_url": "https://127.0.0.1:9/v3"}, {}, 1,
     ["log in at https://127.0.0.1:9/v3", "Connection refused"]),
    (None, {"region_name": "Nowhere"}, 1, ["list the images: the cloud has no image service", "`openstack catalog"]),
    (None, {"cacert": "/etc/ssl/certs/ca-certificates.crt"}, 1, ["log in at ", "certificate verify failed"]),
])
def test_no_way_in(operator: Operator, tmp_path: Path, auth: dict[str, str] | None, entry: dict[str, str], code: int,
                   words: list[str]) -> None:
    usual = {"auth_url": operator.rig.auth_url, "project_name": "site", "user_domain_name": "Default",
             "project_domain_name": "Default"}
    operator.auth = None if auth is None else {**usual, **auth}
    operator.entry = entry
    done = operator.run("upload", make_image(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    for one in words:
        assert one in done.stderr
    assert "Traceback" not in done.stderr
    nothing_left(operator)
