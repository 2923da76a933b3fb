"""Reads files from web servers as package managers do: no surprise on the way, and every failure in words."""

from __future__ import annotations

import http.client
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import IO

TIMEOUT_SECONDS = 20
CHUNK = 1024 * 1024


class UnreachableError(Exception):
    """A URL could not be read; the text says why, without the URL."""


class SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows no redirect between http and https: old yum cannot, and what begins as https must end so."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        before, after = (urllib.parse.urlsplit(url).scheme for url in (req.full_url, newurl))
        if (before, after) == ("http", "https"):
            raise UnreachableError(f"it redirects to {newurl}, which yum of CentOS 7 does not follow: name that URL")
        if before != after:
            raise UnreachableError(f"it redirects to {newurl}, away from {before}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def is_web_url(text: str) -> bool:
    """Whether a text is an http or https URL that can stand in a package manager's configuration."""
    try:
        parts = urllib.parse.urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", text)


def has_credentials(url: str) -> bool:
    """Whether a URL holds a user name or password."""
    return "@" in urllib.parse.urlsplit(url).netloc


def read(url: str, *, ca: Path | None = None) -> bytes:
    """The content of a small file.

    Args:
        ca: PEM file of who certifies the server; the host's own authorities without.

    Raises:
        UnreachableError: whatever was in the way.
    """
    with opened(url, ca) as answer, words():
        return bytes(answer.read())


def download(url: str, target: IO[bytes], progress: Callable[[int], None], *, ca: Path | None = None) -> None:
    """Copy a large file; `progress` gets the bytes so far.

    Raises:
        UnreachableError: whatever was in the way; less than the server announced counts too.
        OSError: the target cannot be written.
    """
    done = 0
    with opened(url, ca) as answer:
        expected = answer.headers.get("Content-Length")
        while True:
            with words():
                part = answer.read(CHUNK)
            if not part:
                break
            target.write(part)
            done += len(part)
            progress(done)
    if expected is not None and done != int(expected):
        raise UnreachableError(f"it ended after {done} of {expected} bytes")


def opened(url: str, ca: Path | None) -> http.client.HTTPResponse:
    """The server's answer, its body not yet read."""
    handlers: list[urllib.request.BaseHandler] = [SameScheme()]
    if ca is not None:
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca))))
    request = urllib.request.Request(url, headers={"Cache-Control": "no-cache"})  # noqa: S310 - http(s), checked
    with words():
        answer: http.client.HTTPResponse = urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_SECONDS)
        return answer


@contextmanager
def words() -> Iterator[None]:
    """Turn what the standard library raises into `UnreachableError`."""
    try:
        yield
    except urllib.error.HTTPError as error:
        raise UnreachableError(f"{error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(str(getattr(error, "reason", None) or error)) from error
