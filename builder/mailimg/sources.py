"""Where a build's packages come from, as values: what the user said, and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

# State of a package index that nobody was asked for.
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Wanted:
    """What the user said about packages; all of it may be missing.

    Attributes:
        mirror: URL of a package archive.
        repositories: repository and URL, in the order in which the URLs are to be tried.
        keys: repository, and file with the key that signed its packages.
        ca: PEM file of who certifies the servers of mirror and repositories.
        base_image: file to start from; `base_sha256` is its digest where the distribution knows another one.
    """

    mirror: str | None = None
    repositories: tuple[tuple[str, str], ...] = ()
    keys: tuple[tuple[str, Path], ...] = ()
    ca: Path | None = None
    base_image: Path | None = None
    base_sha256: str | None = None


@dataclass(frozen=True)
class Share:
    """What some layers are resolved against.

    Attributes:
        environment: variables that the elements read; part of the layers' identity.
        index: digest of the package index; changes when any package of the archives does.
    """

    environment: Mapping[str, str]
    index: str = UNKNOWN


@dataclass(frozen=True)
class Measured:
    """State of all package sources of a build.

    Attributes:
        common: for every layer.
        by_element: what is only for layers that hold an element.
        epoch: date of the release itself, seconds since 1970; 0 when nobody was asked.
    """

    common: Share
    by_element: Mapping[str, Share] = field(default_factory=dict)
    epoch: int = 0


@dataclass(frozen=True)
class BaseImage:
    """One base image.

    Attributes:
        urls: tried in order; unused if `file` is there.
        sha256: of the image file, 64 hex digits.
        size_bytes: of the image file; 0 if unknown.
        release: what the release file of its tree begins with.
        file: where it lies on this host, or None.
        ca: PEM file of who certifies the servers, or None for the host's own authorities.
    """

    urls: tuple[str, ...]
    sha256: str
    size_bytes: int
    release: str
    file: Path | None
    ca: Path | None = None

    def environment(self) -> dict[str, str]:
        """What decides the distribution's layer; where the file lies does not."""
        return {"MAILIMG_BASE_SHA256": self.sha256, "MAILIMG_BASE_RELEASE": self.release}


class PackageSources(Protocol):
    """The package sources of one build."""

    def measured(self, *, index: bool) -> Measured:
        """Ask for the state of the indexes; without `index` only the environment is told.

        Raises:
            StepError: an archive is out of reach; names its URLs.
        """
        ...
