"""What goes wrong in a build says so, ends soon, and leaves nothing that a later build would trust."""

from __future__ import annotations

import fcntl
import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builder_site import DISTRO, HOOK, Site, run

pytestmark = pytest.mark.lab

IMAGE = f"tiny-{DISTRO}.qcow2"
SOON_SECONDS = 20.0


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def visible(folder: Path) -> set[str]:
    """What a user sees in an output folder."""
    return {path.name for path in folder.iterdir() if path.name != ".lock"} if folder.is_dir() else set()


def wait_for(what: str, holds: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds; fail when it does not in time."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


class Running:
    """A build in the background, read while it runs, ended with the test."""

    def __init__(self, started: subprocess.Popen[str]) -> None:
        self.process = started
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(iter(self.process.stderr.readline, ""))

    def wait_to_say(self, words: str, seconds: float = 120) -> None:
        def said() -> bool:
            assert self.process.poll() is None, "".join(self.lines)
            return any(words in line for line in list(self.lines))

        wait_for(f"the build says {words!r}", said, seconds)

    def end(self, number: signal.Signals) -> tuple[int, float, str]:
        """Send a signal; exit status, seconds until the end, and what was said."""
        begun = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(60)
        seconds = time.monotonic() - begun
        self.reader.join(10)
        return code, seconds, "".join(self.lines)


@pytest.fixture
def start(site: Site) -> Iterator[Callable[[Path], Running]]:
    begun: list[Running] = []

    def begin(output: Path) -> Running:
        begun.append(Running(site.start(output)))
        return begun[-1]

    yield begin
    for one in begun:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        one.reader.join(10)
        for stream in (one.process.stdout, one.process.stderr):
            assert stream is not None
            stream.close()


def test_failing_hook_is_named_and_leaves_nothing(site: Site, output: Path) -> None:
    site.hooks({"install.d/50-tiny-fails": HOOK + "echo what it tried; echo why it failed >&2\nexit 3\n"})
    failed = site.build(output)
    assert failed.returncode == 1
    assert ": element tiny, hook install.d/50-tiny-fails ended with status" in failed.stderr
    assert "what it tried\n" in failed.stderr
    assert "why it failed\n" in failed.stderr
    log = Path(failed.stderr.rsplit("The whole output is in ", 1)[1].strip())
    assert "why it failed" in log.read_text()
    site.assert_quiet()
    plan = site.plan()
    assert plan["layers"][0]["identity"] in site.layers(), "the distribution's layer was finished: it stays"
    assert plan["layers"][1]["identity"] not in site.layers()
    assert visible(output) == set()

    site.hooks({"install.d/50-tiny-works": HOOK + "echo good > /etc/tiny\n"})
    worked = site.build(output)
    assert worked.returncode == 0, worked.stderr
    assert json.loads(worked.stdout)[0]["layers_built"] == ["tiny", "role"]
    assert visible(output) == {IMAGE, f"{IMAGE}.manifest.json", f"{IMAGE}.cdx.json"}
    site.assert_quiet()

    again = site.build(output)
    assert json.loads(again.stdout)[0]["unchanged"] is True


def test_ctrl_c_ends_a_hook(site: Site, output: Path, start: Callable[[Path], Running]) -> None:
    site.hooks({"install.d/50-tiny-sleeps": HOOK + "setsid sleep 601 &\nsleep 600\n"})
    before = site.layers()
    build = start(output)
    build.wait_to_say("install: ")
    wait_for("the hook sleeps", lambda: any("sleep 600" in one for one in site_sleepers(site)), 30)
    code, seconds, said = build.end(signal.SIGINT)
    assert code == 130, said
    assert seconds < SOON_SECONDS
    assert "interrupted; nothing half-done is left behind" in said
    assert "error:" not in said
    site.assert_quiet()
    assert site_sleepers(site) == []
    assert site.layers() - before <= {site.plan()["layers"][0]["identity"]}
    assert visible(output) == set()


def test_ctrl_c_twice_ends_even_a_stubborn_hook(
    site: Site, output: Path, start: Callable[[Path], Running]
) -> None:
    site.hooks({"install.d/50-tiny-stubborn": HOOK + "trap '' INT TERM\nsleep 600\n"})
    build = start(output)
    build.wait_to_say("install: ")
    wait_for("the hook sleeps", lambda: bool(site_sleepers(site)), 30)
    build.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    code, seconds, said = build.end(signal.SIGINT)
    assert code == 130, said
    assert seconds < SOON_SECONDS
    assert "Traceback" not in said
    site.assert_quiet()


def site_sleepers(site: Site) -> list[str]:
    """Programs of the sleeping hook: they live below the store's tree, in a mount namespace of their own."""
    return [one for one in site.processes() if " sleep 60" in one]


def test_ctrl_c_while_another_build_makes_the_layer(
    site: Site, output: Path, start: Callable[[Path], Running]
) -> None:
    site.hooks({"install.d/50-tiny-contended": HOOK + "echo contended > /etc/tiny\n"})
    wanted = site.plan()["layers"][1]["identity"]
    with (site.store / "locks" / wanted).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build = start(output)
        build.wait_to_say("another build makes it")
        code, seconds, said = build.end(signal.SIGINT)
    assert code == 130, said
    assert seconds < SOON_SECONDS
    site.assert_quiet()


def test_killed_build_is_cleaned_up_by_the_next(
    site: Site, output: Path, start: Callable[[Path], Running]
) -> None:
    site.hooks({"install.d/50-tiny-killed": HOOK + "sleep 602\n"})
    build = start(output)
    build.wait_to_say("install: ")
    wait_for("the hook sleeps", lambda: bool(site_sleepers(site)), 30)
    code, _, _ = build.end(signal.SIGKILL)
    assert code == -signal.SIGKILL
    wait_for("the kernel ends the rest", lambda: site.processes() == [], 10)
    assert site.mounts() == []
    assert site.loops() == []
    assert site.plan()["layers"][1]["identity"] not in site.layers()
    assert len(site.work()) == 1, "else there is nothing to clean up, and this test proves nothing"
    half_image = output / ".mailimg-work-killed"
    half_image.mkdir()
    (half_image / ".lock").touch()
    (half_image / "disk.raw").touch()

    site.hooks({"install.d/50-tiny-works": HOOK + "echo good > /etc/tiny\n"})
    worked = site.build(output)
    assert worked.returncode == 0, worked.stderr
    assert visible(output) == {IMAGE, f"{IMAGE}.manifest.json", f"{IMAGE}.cdx.json"}
    site.assert_quiet()


def test_two_builds_make_a_layer_once(site: Site, tmp_path: Path, start: Callable[[Path], Running]) -> None:
    site.hooks({"install.d/50-tiny-twice": HOOK + "echo twice > /etc/tiny\n"})
    both = [start(tmp_path / "one"), start(tmp_path / "two")]
    made: list[str] = []
    for build in both:
        assert build.process.wait(200) == 0, "".join(build.lines)
        assert build.process.stdout is not None
        made += json.load(build.process.stdout)[0]["layers_built"]
    assert sorted(set(made) & {"tiny", "role"}) == ["role", "tiny"]
    assert len(made) == len(set(made)), f"built twice: {made}"
    images = [(tmp_path / name / IMAGE).read_bytes() for name in ("one", "two")]
    assert images[0] == images[1], "same inputs, same bytes"
    site.assert_quiet()


def test_unreachable_mirror_is_named(site: Site, output: Path) -> None:
    site.hooks({})
    begun = time.monotonic()
    failed = site.build(output, "--mirror", "http://127.0.0.1:1/debian")
    assert time.monotonic() - begun < SOON_SECONDS
    assert failed.returncode == 1
    assert "error: cannot read the package index http://127.0.0.1:1/debian/dists/bookworm/InRelease: " in failed.stderr
    assert "--mirror URL" in failed.stderr
    site.assert_quiet()


def on_small_disk(site: Site, place: Path, size: str, host: list[str]) -> tuple[subprocess.CompletedProcess[str], str]:
    """Build with a store on a file system of that size, in a mount namespace of its own; also what is left there."""
    place.mkdir()
    small = Site(site.folder, place / "store")
    script = (
        'mount -t tmpfs -o size="$1" tmpfs "$2" && cd "$2" && shift 2 && { "$@"; code=$?; }'
        " && find store/layers store/work -mindepth 1 -not -name .lock && exit $code"
    )
    command = small.command(*small.build_arguments(place.parent / "out"), host=host)
    answer = run(["unshare", "--mount", "bash", "-c", script, "small-disk", size, str(place), *command])
    return answer, answer.stdout


def test_disk_too_small_is_said_before_the_work(site: Site, tmp_path: Path) -> None:
    site.hooks({})
    failed, left = on_small_disk(site, tmp_path / "small", "512m", [])
    assert failed.returncode == 1
    # apt's own cache may lie there already.
    said = re.escape(f"error: {tmp_path}/small/store: 0.")
    assert re.search(said + r"[345] GiB free, a build needs 4 GiB\n", failed.stderr)
    assert "mailimg clean" in failed.stderr
    assert left == ""


@pytest.mark.parametrize("size", ["48m", "200m"])
def test_disk_that_fills_up(site: Site, tmp_path: Path, size: str) -> None:
    """48 MiB hold not even the downloaded packages, 200 MiB not what is in them."""
    site.hooks({})
    failed, left = on_small_disk(site, tmp_path / "small", size, ["--any-space"])
    assert failed.returncode == 1
    # Whoever meets the end of the disk first says so: a program of the hook, or the builder, which writes the log; apt
    # may also wait for ever (one time in ten), which the builder notices.
    by_hook = (
        ": element distro-debian-12, hook root.d/10-distro-debian-12-bootstrap ",
        f"The disk that holds {tmp_path}/small/store/work/",
        "is full. Free some space",
    )
    by_builder = (
        "error: build layer distribution: No space left on device: ",
        f"{tmp_path}/small/store",
        "Free some space",
    )
    assert any(all(words in failed.stderr for words in said) for said in (by_hook, by_builder)), failed.stderr
    assert left == "", "a layer or a work folder is left"
