"""Application credentials of a platform's servers: one a role, limited to its calls, the secret in Barbican.

Heat has no resource for them. Their names say whose they are and what they allow, so that a second run finds them, and
a role whose calls change gets another; the old one goes when no server has it any more.
"""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailimg.cloud.connection import Cloud, CloudError
from mailimg.errors import StepError
from mailimg.stack.access import Rule

SIGN = "mailimg"
LOGIN_HINT = ("Keystone lets nobody who came in by an application credential make another: log in with a password, as"
              " the user whom the platform is to belong to.")


@dataclass(frozen=True)
class Credential:
    """An application credential and where its secret is; the secret itself is in no value of this program."""

    name: str
    id: str
    reference: str


class Credentials:
    """Those of one stack."""

    def __init__(self, cloud: Cloud, stack: str) -> None:
        self.cloud = cloud
        self.stack = stack

    def ensure(self, role: str, rules: Sequence[Rule]) -> Credential:
        """The credential of a role with these rules: the one that is there, or a new one.

        Raises:
            CloudError: Keystone or Barbican refuse.
        """
        name = self.name(role, rules)
        found = [one for one in self._listed() if one["name"] == name]
        kept = [one for one in self._secrets() if one["name"] == name]
        if found and kept:
            return Credential(name, found[0]["id"], kept[0]["secret_ref"])
        # One without the other is of a run that was cut off, and nobody can use it.
        self._drop(found, kept)
        try:
            made = self.cloud.call("identity", "POST", self._path, {"application_credential": {
                "name": name, "description": f"Servers of {role} in stack {self.stack}, by mailimg",
                "access_rules": [dict(rule) for rule in rules]}}, what=f"make the application credential {name}")
        except CloudError as error:
            if error.status != 403:
                raise
            raise StepError(error.message, LOGIN_HINT) from error
        credential = made["application_credential"]
        try:
            secret = self.cloud.call("key_manager", "POST", "/secrets", {
                "name": name, "payload": credential["secret"], "payload_content_type": "text/plain",
                "secret_type": "passphrase"}, what=f"keep the secret of {name}")
        except BaseException:
            self._drop([credential], [])
            raise
        return Credential(name, credential["id"], secret["secret_ref"])

    def name(self, role: str, rules: Sequence[Rule]) -> str:
        """What the credential of a role with these rules is called."""
        content = json.dumps(sorted((dict(rule) for rule in rules), key=json.dumps), sort_keys=True)
        return f"{SIGN}:{self.stack}:{role}:{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    def drop(self, keep: Mapping[str, Credential] | None = None) -> list[str]:
        """Delete the stack's credentials and their secrets, but for those of `keep`; returns their names."""
        names = {one.name for one in (keep or {}).values()}
        found = [one for one in self._listed() if one["name"] not in names]
        kept = [one for one in self._secrets() if one["name"] not in names]
        self._drop(found, kept)
        return sorted({str(one["name"]) for one in [*found, *kept]})

    @property
    def _path(self) -> str:
        return f"/users/{self.cloud.user}/application_credentials"

    def _listed(self) -> list[dict[str, Any]]:
        found = self.cloud.call("identity", "GET", self._path, what="list application credentials")
        return [one for one in found["application_credentials"] if one["name"].startswith(f"{SIGN}:{self.stack}:")]

    def _secrets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            query = urllib.parse.urlencode({"limit": 100, "offset": len(found)})
            page = self.cloud.call("key_manager", "GET", f"/secrets?{query}", what="list secrets")["secrets"]
            found += page
            if not page:
                return [one for one in found if (one["name"] or "").startswith(f"{SIGN}:{self.stack}:")]

    def _drop(self, credentials: Sequence[Mapping[str, Any]], secrets: Sequence[Mapping[str, Any]]) -> None:
        for one in credentials:
            self.cloud.call("identity", "DELETE", f"{self._path}/{one['id']}", what="delete an application credential",
                            missing=True)
        for one in secrets:
            identity = str(one["secret_ref"]).rpartition("/")[2]
            self.cloud.call("key_manager", "DELETE", f"/secrets/{identity}", what="delete a secret", missing=True)
