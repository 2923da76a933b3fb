"""The one module that knows diskimage-builder: its arguments, its environment, what it prints.

diskimage-builder is driven as a program (`disk-image-create`), with an explicit environment, in namespaces of its own:
whatever ends a run, its mounts and processes end with it.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import version as package_version
from pathlib import Path

from diskimage_builder import element_dependencies, paths

from mailimg import process
from mailimg.errors import FULL_HINT, InputError, StepError
from mailimg.identity import digest_folder

# It says of each own element, at each look, that it stands before a shipped one: that is what the user asked for.
logging.getLogger("diskimage_builder.element_dependencies").setLevel(logging.ERROR)

# Read by people, not by diskimage-builder: a change of them decides nothing.
UNDECISIVE = ("README.rst", "distro.yaml")

# How a build reaches the network, not what it makes: handed on, but no part of an identity.
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
           "PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT")

TAIL_LINES = 20
# strerror(ENOSPC) in the C locale that hooks run in.
DISK_FULL = "No space left on device"
# A disk with less than that is full when nothing goes on any more. apt does not always say so: with a full disk its
# download methods may wait for ever.
FULL_BYTES = 16 * 1024**2
HOOK_STARTS = re.compile(r"dib-run-parts Running (?P<folder>\S+)/(?P<phase>[a-z-]+)\.d/(?P<hook>\S+)$")
# What diskimage-builder says while it cleans up after a failure; it would push the reason out of the last lines.
NOISE = re.compile(r"^(Unmount |(INFO|DEBUG) diskimage_builder)")
# What apt and yum say of a name they do not know.
UNKNOWN_PACKAGE = re.compile(r"Unable to locate package (?P<apt>\S+)|No package (?P<yum>\S+) available")
HOOK_ENDS = re.compile(r"dib-run-parts (?P<hook>\S+) completed$")


@dataclass(frozen=True)
class HookTime:
    """How long one hook took; `start` counts from the start of the run; both in seconds."""

    phase: str
    hook: str
    start: float
    seconds: float


@dataclass
class DibLog:
    """Reads diskimage-builder's output line by line.

    Attributes:
        on_phase: told `phase` and `hook` when a hook starts.
        clock: seconds; only differences count.
        hooks: the finished hooks.
        running: phase and hook that run now, or None.
        full: some program said that its disk is full; the reason may have left `tail` when the run ends.
        tail: last lines of the running hook, or of what came after the last one.
    """

    on_phase: Callable[[str, str], None]
    clock: Callable[[], float] = time.monotonic
    hooks: list[HookTime] = field(default_factory=list)
    running: tuple[str, str] | None = None
    full: bool = False
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    def __post_init__(self) -> None:
        self.begun = self.started = self.clock()

    def feed(self, line: str) -> None:
        """Take one line without its end."""
        start = HOOK_STARTS.search(line)
        if start:
            self.running = (start["phase"], start["hook"])
            self.started = self.clock()
            self.tail.clear()
            self.on_phase(*self.running)
            return
        end = HOOK_ENDS.search(line)
        if end and self.running and end["hook"] == self.running[1]:
            now = self.clock()
            self.hooks.append(HookTime(*self.running, self.started - self.begun, now - self.started))
            self.running = None
            self.tail.clear()
            return
        self.full = self.full or DISK_FULL in line
        if line.strip() and not NOISE.match(line):
            self.tail.append(line)


def version() -> str:
    """Version of diskimage-builder."""
    return package_version("diskimage-builder")


class Elements:
    """All elements in some folders and diskimage-builder's own, read once: reading them takes 15 ms.

    Args:
        folders: the first that has an element wins, before diskimage-builder's own.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        search = ":".join([*map(str, folders), paths.get_path("elements")])
        # The two halves of `get_elements`, which would read all folders for each list.
        self._every = element_dependencies._find_all_elements(search)
        self._digests: dict[Path, str] = {}

    def expand(self, elements: Sequence[str]) -> dict[str, Path]:
        """All elements that a list of elements brings in: name -> folder.

        Raises:
            InputError: an element is missing, or two provide the same thing.
        """
        try:
            found = element_dependencies._expand_element_dependencies(elements, self._every)
        except element_dependencies.MissingElementException as error:
            problem = f"elements {', '.join(elements)}: {error}"
            raise InputError([problem], "`mailimg list` shows the elements.") from error
        except (element_dependencies.AlreadyProvidedException, element_dependencies.MissingOSException) as error:
            raise InputError([f"elements {', '.join(elements)}: {error}"]) from error
        # diskimage-builder takes a cycle without a word; which element comes first is then nobody's decision.
        names = {element.name for element in found}
        try:
            TopologicalSorter({element.name: element.depends & names for element in found}).prepare()
        except CycleError as error:
            circle = " -> ".join(reversed(error.args[1]))
            raise InputError([f"elements depend on each other in a cycle: {circle}"]) from error
        return dict(sorted((element.name, Path(element.path)) for element in found))

    def digests(self, elements: Sequence[str]) -> dict[str, str]:
        """Digest of each element that a list brings in."""
        found = self.expand(elements)
        for place in found.values():
            if place not in self._digests:
                self._digests[place] = digest_folder(place, without=UNDECISIVE)
        return {name: self._digests[place] for name, place in found.items()}


def build_tree(
    elements: Sequence[str],
    *,
    tree: Path,
    parent: Path | None,
    elements_path: Sequence[Path],
    work: Path,
    cache: Path,
    environment: Mapping[str, str],
    log: Path,
    on_phase: Callable[[str, str], None],
) -> list[HookTime]:
    """Build one layer's tree.

    Args:
        elements: the layer's elements, the distribution's among them.
        tree: where the finished tree goes; on the file system of `work`, must not exist.
        parent: tree of the layer below; None bootstraps the distribution.
        work: empty folder for the run.
        cache: kept between runs: downloaded packages.
        environment: what the elements read.
        log: file for the whole output.
        on_phase: told phase and hook when a hook starts.

    Returns:
        How long each hook took.

    Raises:
        StepError: the run failed; names element, phase and hook, and carries the last lines.
    """
    bin_folder = Path(sys.executable).parent
    run_environment = {
        **{name: os.environ[name] for name in PROXIES if name in os.environ},
        **environment,
        "PATH": f"{bin_folder}:{process.BASE_ENV['PATH']}",
        "ELEMENTS_PATH": ":".join(map(str, elements_path)),
        "TMP_DIR": str(work),
        "DIB_IMAGE_CACHE": str(cache),
        "DIB_LOCKFILES": str(cache / "locks"),
        "DIB_NO_TIMESTAMP": "1",
        "MAILIMG_PARENT_TREE": str(parent) if parent else "",
        "MAILIMG_TREE": str(tree),
    }
    command = [
        str(bin_folder / "disk-image-create"),
        "-n",  # no `base` element: what it brings is ours to choose
        "--no-tmpfs",  # the finished tree is renamed into the store, which a tmpfs would forbid
        "-t",
        "raw",
        "-o",
        str(work / "no-image"),
        "no-final-image",
        *elements,
    ]
    reader = DibLog(on_phase)
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"# elements: {' '.join(elements)}\n")

        def take(line: str) -> None:
            stream.write(f"{time.monotonic() - reader.begun:8.2f} {line}\n")
            stream.flush()
            reader.feed(line)

        def look() -> None:
            if shutil.disk_usage(work).free < FULL_BYTES:
                reader.full = True
                raise failure(reader, None, Elements(elements_path).expand(elements), log, work)

        unsynced = [sys.executable, "-I", "-S", str(Path(__file__).with_name("unsynced.py"))]
        argv = process.confine([*unsynced, *command])
        status = process.stream(argv, what="run diskimage-builder", line=take, env=run_environment, quiet=look)
    if status != 0 or not tree.is_dir():
        raise failure(reader, status, Elements(elements_path).expand(elements), log, work)
    return reader.hooks


def failure(reader: DibLog, status: int | None, elements: Mapping[str, Path], log: Path, work: Path) -> StepError:
    """The error that names the failing element and hook, or the disk that is full.

    Args:
        status: of the run; None: it stood still and was ended.
    """
    end = "stood still" if status is None else f"ended with {process.exit_words(status)}"
    hint = f"The whole output is in {log}"
    if reader.full:
        hint = f"The disk that holds {work} is full. {FULL_HINT}\n{hint}"
    if reader.running is None:
        words = f"diskimage-builder {end} outside of any hook"
        return StepError(words, hint, tail=list(reader.tail))
    phase, hook = reader.running
    owner = next((name for name, place in elements.items() if (place / f"{phase}.d" / hook).exists()), "unknown")
    message = f"element {owner}, hook {phase}.d/{hook} {end}"
    unknown = [found["apt"] or found["yum"] for found in map(UNKNOWN_PACKAGE.search, reader.tail) if found]
    if unknown:
        askers = [f"{package} (element {asker(package, elements)})" for package in dict.fromkeys(unknown)]
        message = f"there is no package {', '.join(askers)}"
    return StepError(message, hint, tail=list(reader.tail))


def asker(package: str, elements: Mapping[str, Path]) -> str:
    """The element whose `package-installs.yaml` or `pkg-map` names a package."""
    word = re.compile(rf"(?<![\w.+-]){re.escape(package)}(?![\w.+-])")
    for name, place in elements.items():
        for file in ("package-installs.yaml", "package-installs.json", "pkg-map"):
            if (place / file).is_file() and word.search((place / file).read_text(encoding="utf-8")):
                return name
    return "unknown"
