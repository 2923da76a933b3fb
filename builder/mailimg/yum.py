"""Where RPM packages come from: a distribution's archives, several URLs each, or those that the user names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from mailimg import documents, web
from mailimg.errors import InputError, StepError
from mailimg.identity import digest
from mailimg.sources import Measured, Share, Wanted

# Namespace of repomd.xml, as createrepo writes it.
REPO = "{http://linux.duke.edu/metadata/repo}"
ARMOR = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
CA_IN_IMAGE = "/etc/pki/tls/certs/mailimg-mirror.pem"


@dataclass(frozen=True)
class Repository:
    """One repository of a distribution.

    Attributes:
        urls: folders that hold `repodata/`, tried in order.
        key: path in the image of the key that signs its packages; `fingerprint` is that key's, or empty.
        key_text: the key itself where the user brings it; `key_package`: the package that brings it; or both empty.
        exclude: names of packages that are not taken from here.
        elements: it is there only for layers that hold one of them; for all layers if empty.
        ca: path in the image of the authority of its servers, or empty.
    """

    id: str
    urls: tuple[str, ...]
    key: str
    fingerprint: str = ""
    key_text: str = ""
    key_package: str = ""
    exclude: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    ca: str = ""

    @property
    def section(self) -> str:
        """As it stands below /etc/yum.repos.d."""
        lines = [
            f"[{self.id}]",
            f"name={self.id}",
            "baseurl=" + "\n        ".join(self.urls),
            "enabled=1",
            "failovermethod=priority",
            "gpgcheck=1",
            f"gpgkey=file://{self.key}",
        ]
        lines += [f"exclude={' '.join(self.exclude)}"] if self.exclude else []
        lines += [f"sslcacert={self.ca}"] if self.ca else []
        return "\n".join(lines)

    def environment(self) -> dict[str, str]:
        """As element mailimg-yum reads it."""
        name = self.id.upper().replace("-", "_")
        found = {
            f"MAILIMG_YUM_REPOSITORY_{name}": self.section,
            f"MAILIMG_YUM_KEY_{name}": f"{self.id} {self.key} {self.fingerprint or '-'} {self.key_package or '-'}",
        }
        return found | ({f"MAILIMG_YUM_KEYTEXT_{name}": self.key_text} if self.key_text else {})


@dataclass(frozen=True)
class YumSources:
    """What a build gets.

    Attributes:
        repositories: in the distribution's order; the first one's date is the release's.
        ca: PEM file on this host of the servers' authority, or None for the host's own.
        hint: what the user can do when no URL of a repository answers.
        more: variables of the distribution's element, its base image's digest among them.
    """

    repositories: tuple[Repository, ...]
    ca: Path | None
    hint: str
    more: Mapping[str, str]

    def measured(self, *, index: bool) -> Measured:
        """The state of all repositories; asks them only with `index`.

        Raises:
            StepError: no URL of a repository answers; names them all.
        """
        states = {}
        if index:
            with ThreadPoolExecutor(max_workers=4) as pool:
                states = dict(zip(self.repositories, pool.map(self.state, self.repositories), strict=True))
        common = dict(self.more)
        if self.ca is not None:
            common["MAILIMG_YUM_CA"] = self.ca.read_text(encoding="utf-8")
        by_element: dict[str, Share] = {}
        digests = []
        for repository in self.repositories:
            state = states.get(repository)
            for element in repository.elements:
                by_element[element] = Share(repository.environment(), *([state.digest] if state else []))
            if not repository.elements:
                common |= repository.environment()
                digests += [f"{repository.id} {state.digest}"] if state else []
        if not index:
            return Measured(Share(common), by_element)
        return Measured(Share(common, digest("\n".join(digests))), by_element, states[self.repositories[0]].epoch)

    def state(self, repository: Repository) -> RepositoryState:
        """State of one repository, from the first of its URLs that answers.

        Raises:
            StepError: none does; names them all, each with its reason.
        """
        failures = []
        for url in repository.urls:
            place = f"{url}repodata/repomd.xml"
            try:
                return repository_state(web.read(place, ca=self.ca))
            except web.UnreachableError as error:
                failures.append(f"{place}: {error}")
            except ValueError as error:
                failures.append(f"{place} is no package index: {error}")
        raise StepError(
            f"cannot read the package index of repository {repository.id}:\n" + "\n".join(failures), self.hint
        )


@dataclass(frozen=True)
class RepositoryState:
    """State of one repository: `digest` of its list of packages; `epoch`: when it was made, seconds since 1970."""

    digest: str
    epoch: int


def repository_state(text: bytes) -> RepositoryState:
    """Read repomd.xml.

    Raises:
        ValueError: it is none.
    """
    try:
        root = fromstring(text)
    except (ParseError, DefusedXmlException) as error:
        raise ValueError(str(error)) from error
    primary = root.find(f"{REPO}data[@type='primary']")
    checksum = primary.findtext(f"{REPO}checksum") if primary is not None else None
    if primary is None or checksum is None:
        raise ValueError("it names no list of packages")
    revision = root.findtext(f"{REPO}revision") or ""
    stamp = revision if revision.isdigit() else (primary.findtext(f"{REPO}timestamp") or "").partition(".")[0]
    return RepositoryState(checksum.strip(), int(stamp) if stamp.isdigit() else 0)


def sources(
    known: Sequence[Mapping[str, Any]], wanted: Wanted, used: Collection[str], distro: str, more: Mapping[str, str]
) -> YumSources:
    """The repositories of a build: the distribution's, with what the user said instead.

    Args:
        known: `packages.repositories` of distro.yaml.
        used: elements of all layers; a repository for others is left out.
        more: further variables for every layer.

    Raises:
        InputError: everything that is wrong with what the user said, or missing.
    """
    ids = [entry["id"] for entry in known]
    problems = [
        f"{option} {name}: {distro} has no such repository{documents.nearest(name, ids)}"
        for option, names in (("--repository", [name for name, _ in wanted.repositories]),
                              ("--repository-key", [name for name, _ in wanted.keys]))
        for name in dict.fromkeys(names) if name not in ids
    ]
    if wanted.mirror is not None:
        problems += url_problems("--mirror", wanted.mirror)
    for name, url in wanted.repositories:
        problems += url_problems(f"--repository {name}", url)
    if wanted.ca is not None and "-----BEGIN CERTIFICATE-----" not in wanted.ca.read_text(errors="replace"):
        problems.append(f"--mirror-ca {wanted.ca}: is no certificate in PEM")
    hints = []
    found = []
    for entry in known:
        elements = tuple(entry.get("elements", ()))
        if elements and not set(elements) & set(used):
            continue
        repository = Repository(
            entry["id"],
            repository_urls(entry, wanted),
            entry["key"],
            entry.get("fingerprint", ""),
            key_package=entry.get("key_package", ""),
            exclude=tuple(entry.get("exclude", ())),
            elements=elements,
            ca=CA_IN_IMAGE if wanted.ca else "",
        )
        brought = [path for name, path in wanted.keys if name == entry["id"]]
        if not repository.urls:
            problems.append(f"{distro} knows no place of repository {repository.id}: --repository {repository.id}=URL"
                            " is missing")
            hints += [entry["hint"]] if "hint" in entry else []
        elif not (brought or repository.fingerprint):
            problems.append(f"repository {entry['id']}: the key of its packages is missing: "
                            f"--repository-key {entry['id']}=FILE")
            hints += [entry["hint"]] if "hint" in entry else []
        if brought:
            text = brought[-1].read_text(encoding="utf-8", errors="replace").strip()
            if ARMOR not in text:
                problems.append(f"--repository-key {repository.id}={brought[-1]}: is no OpenPGP public key in ASCII"
                                " armor")
            # Whoever brings a key answers for it; it stands in a place of its own.
            repository = replace(repository, key=f"/etc/pki/rpm-gpg/RPM-GPG-KEY-mailimg-{entry['id']}",
                                 key_text=text, fingerprint="", key_package="")
        found.append(repository)
    if problems:
        raise InputError(problems, "\n".join(dict.fromkeys(hints)))
    hint = (
        "Check the network, or name other places: --mirror URL (the root of the point release), --repository ID=URL"
        f" ({', '.join(ids)}). Without them, --distro debian-12 builds the same roles."
    )
    return YumSources(tuple(found), wanted.ca, hint, more)


def repository_urls(entry: Mapping[str, Any], wanted: Wanted) -> tuple[str, ...]:
    """The URLs of one repository, each with a slash at its end: the user's for it, or below the mirror, or its own."""
    named = [url for name, url in wanted.repositories if name == entry["id"]]
    if not named and wanted.mirror is not None and "mirror" in entry:
        named = [f"{wanted.mirror.rstrip('/')}/{entry['mirror']}"]
    return tuple(f"{url.rstrip('/')}/" for url in named or entry.get("urls", ()))


def url_problems(option: str, url: str) -> list[str]:
    """What is wrong with a URL that the user named; never repeats a password."""
    if web.is_web_url(url) and web.has_credentials(url):
        return [f"{option}: the URL holds a user name or password, which would stand in every image: use a mirror"
                " without one, or a proxy that adds it"]
    if not web.is_web_url(url) or re.search(r"[\"'\\]", url):
        return [f"{option}: {url!r} is not an http or https URL"]
    return []
