"""HTTP as users' programs speak it, from one of the verification's addresses."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailimg.errors import StepError

SECONDS = 60.0  # the first request wakes workers that an emulated CPU starts slowly


@dataclass(frozen=True)
class Answer:
    """An answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __str__(self) -> str:
        return f"{self.status}, {len(self.body)} bytes" + (
            f", to {self.headers['location']}" if "location" in self.headers else "")


class _NamedTls(http.client.HTTPSConnection):
    """TLS to an address by the name on its certificate."""

    def __init__(self, address: str, name: str, source: str, context: ssl.SSLContext) -> None:
        super().__init__(address, timeout=SECONDS, source_address=(source, 0))
        self.name = name
        self.tls = context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self.tls.wrap_socket(self.sock, server_hostname=self.name)


def ask(address: str, source: str, name: str, path: str, *, authority: Path | None = None, document: Any = None,
        method: str = "", headers: Mapping[str, str] | None = None, version: ssl.TLSVersion | None = None) -> Answer:
    """One request.

    Args:
        name: the host that is asked for; with `authority` the certificate must be for it.
        authority: certificates that the server's must chain to; None: plain HTTP.
        document: sent as JSON by POST.
        method: instead of GET or POST.
        headers: beside those that every request has.
        version: the newest version of TLS that is offered.

    Raises:
        StepError: there was no answer.
    """
    if authority is None:
        session = http.client.HTTPConnection(address, timeout=SECONDS, source_address=(source, 0))
    else:
        context = ssl.create_default_context(cafile=str(authority))
        if version is not None:
            context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, version
            context.set_ciphers("ALL:@SECLEVEL=0")
        session = _NamedTls(address, name, source, context)
    sent = {"Host": name, "Connection": "close", **(headers or {})}
    content = None
    if document is not None:
        content = json.dumps(document).encode()
        sent["Content-Type"] = "application/json"
    try:
        session.request(method or ("GET" if content is None else "POST"), path, body=content, headers=sent)
        told = session.getresponse()
        fields = {key.lower(): value for key, value in told.getheaders()}
        return Answer(told.status, fields, told.read())
    except (OSError, http.client.HTTPException) as error:
        kind = "http" if authority is None else "https"
        raise StepError(f"ask {kind}://{name}{path} at {address}: {error}") from error
    finally:
        session.close()
