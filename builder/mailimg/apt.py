"""Where Debian packages come from: the build host's own apt configuration, or a mirror the user names."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mailimg import process, web
from mailimg.errors import InputError, StepError
from mailimg.identity import digest
from mailimg.sources import Measured, Share, Wanted

# Settings of the build host without which its mirror may be out of reach of a chroot.
BUILD_SETTINGS = re.compile(
    r'^Acquire::((https?|ftp)::Proxy(::[^ ]+)?|Check-Valid-Until|Check-Date|Retries|https?::Timeout) ".*";$',
    re.IGNORECASE,
)
MIRROR_HINT = "Check the network and this host's apt sources, or name another mirror with --mirror URL."


@dataclass(frozen=True)
class Archive:
    """One repository: URL of its root (with `dists/` below), suite, component."""

    url: str
    suite: str
    component: str

    @property
    def line(self) -> str:
        """As it stands in sources.list."""
        return f"deb {self.url} {self.suite} {self.component}"


@dataclass(frozen=True)
class AptSources:
    """What a build gets.

    Attributes:
        archives: in the order of the suites.
        conf: apt.conf lines that hold for the build only.
    """

    archives: tuple[Archive, ...]
    conf: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """As the Debian elements read it."""
        return {
            "MAILIMG_APT_SOURCES": "\n".join(archive.line for archive in self.archives),
            "MAILIMG_APT_CONF": "\n".join(self.conf),
        }

    def measured(self, *, index: bool) -> Measured:
        """The state of all archives; asks them only with `index`."""
        if not index:
            return Measured(Share(self.environment()))
        state = index_state(self.archives)
        return Measured(Share(self.environment(), state.digest), epoch=state.epoch)


def from_mirror(mirror: str, suites: Sequence[str], component: str) -> tuple[Archive, ...]:
    """Archives below a mirror's root: security updates are expected beside it, at `<mirror>-security`."""
    root = mirror.rstrip("/")
    return tuple(
        Archive(f"{root}-security" if suite.endswith("-security") else root, suite, component) for suite in suites
    )


def parse_targets(text: str, suites: Sequence[str], component: str) -> tuple[Archive, ...]:
    """What `apt-get indextargets` printed, one `url suite component` a line, cut down to what a build needs.

    The first archive that serves a suite wins.
    """
    found: dict[str, Archive] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in suites and words[2] == component:
            found.setdefault(words[1], Archive(words[0].rstrip("/"), words[1], words[2]))
    return tuple(found[suite] for suite in suites if suite in found)


def host_archives(suites: Sequence[str], component: str, cache: Path | None = None) -> tuple[Archive, ...]:
    """The archives that the build host itself uses for these suites.

    Args:
        cache: file for apt's package cache; without one apt makes it anew for half a second where the host keeps none,
            as container images do. apt itself sees to it that it is right.
    """
    options = ["-o", f"Dir::Cache::pkgcache={cache.absolute()}"] if cache else []
    targets = process.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages",
         *options],
        what="ask apt for this host's package sources",
        timeout=60,
    )
    return parse_targets(targets.stdout, suites, component)


def host_settings() -> tuple[str, ...]:
    """Proxies and time checks of the build host's apt."""
    dump = process.run(["apt-config", "dump", "Acquire"], what="ask apt for this host's settings", timeout=60)
    return tuple(line for line in dump.stdout.splitlines() if BUILD_SETTINGS.match(line) and not line.endswith('"";'))


def check_wanted(wanted: Wanted, distro: str) -> None:
    """Refuse what means nothing to a distribution that is bootstrapped by apt.

    Raises:
        InputError: names the options.
    """
    problems = []
    if wanted.base_image is not None or wanted.base_sha256 is not None:
        problems.append(f"--base-image: {distro} is bootstrapped from packages, not from an image")
    for option, value in (("--repository", wanted.repositories), ("--repository-key", wanted.keys),
                          ("--mirror-ca", wanted.ca)):
        if value:
            problems.append(f"{option}: {distro} takes its packages from this host's apt sources, or from --mirror")
    if problems:
        raise InputError(problems)


def sources(suites: Sequence[str], component: str, mirror: str | None, cache: Path | None = None) -> AptSources:
    """Package sources of a build; `cache` as for `host_archives`.

    Raises:
        InputError: the mirror is no URL, carries a password, or the host has no sources for a suite.
    """
    if mirror is not None and not web.is_web_url(mirror):
        raise InputError([f"--mirror {mirror!r} is not an http or https URL"])
    archives = from_mirror(mirror, suites, component) if mirror else host_archives(suites, component, cache)
    missing = [suite for suite in suites if suite not in {archive.suite for archive in archives}]
    if missing:
        raise InputError(
            [f"this host's apt has no source for {', '.join(missing)} ({component})"],
            "Name one with --mirror URL (the archive's root, which has dists/ below it).",
        )
    for archive in archives:
        if web.has_credentials(archive.url):
            raise InputError(
                ["the package mirror's URL holds a user name or password, which would stand in every image"],
                "Use a mirror without one, or a proxy that adds it.",
            )
    return AptSources(archives, host_settings() if process.which("apt-config") else ())


@dataclass(frozen=True)
class IndexState:
    """State of a package index.

    Attributes:
        digest: of the lists of packages; changes when any package of the archives does.
        epoch: date of the release itself, seconds since 1970.
    """

    digest: str
    epoch: int


def index_state(archives: Sequence[Archive]) -> IndexState:
    """State of the archives' signed indexes.

    Archives sign their indexes anew several times a day, with a new date and the same packages: what counts are the
    checksums of the lists of packages. The date is that of the first archive: a release changes it with each point
    release only, while the archives of updates change theirs all the time.

    Raises:
        StepError: an archive is out of reach; names its URL.
    """
    with ThreadPoolExecutor(max_workers=4) as pool:
        texts = list(pool.map(fetch_index, archives))
    lists = [package_lists(text, archive.component) for text, archive in zip(texts, archives, strict=True)]
    return IndexState(digest("\n".join(lists)), index_date(texts[0]))


def package_lists(text: bytes, component: str) -> str:
    """Checksums of the lists of packages that an amd64 build reads, from an InRelease file.

    An index that names none is taken as a whole.
    """
    wanted = {f"{component}/binary-{architecture}/Packages" for architecture in ("amd64", "all")}
    found = []
    sha256 = False
    for line in text.decode(errors="replace").splitlines():
        if not line.startswith(" "):
            sha256 = line.strip() == "SHA256:"
        elif sha256 and line.split()[-1] in wanted:
            found.append(" ".join(line.split()))
    return "\n".join(sorted(found)) or digest(text)


def fetch_index(archive: Archive) -> bytes:
    """The signed index of one archive."""
    url = f"{archive.url}/dists/{archive.suite}/InRelease"
    try:
        text = web.read(url)
    except web.UnreachableError as error:
        raise StepError(f"cannot read the package index {url}: {error}", MIRROR_HINT) from error
    if not index_date(text):
        # A portal or a proxy that answers everything with a page of its own.
        raise StepError(f"{url} is no package index", MIRROR_HINT)
    return text


def index_date(text: bytes) -> int:
    """The `Date:` field of an InRelease file, seconds since 1970; 0 when it has none."""
    for line in text.decode(errors="replace").splitlines():
        if line.startswith("Date:"):
            try:
                return int(email.utils.parsedate_to_datetime(line[5:].strip()).timestamp())
            except ValueError:
                return 0
    return 0
