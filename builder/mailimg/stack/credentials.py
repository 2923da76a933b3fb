"""Application credentials of a platform's servers: one a role, limited to its calls, the secret in Barbican.

Heat has no resource for them. Their names say what they are for and what they allow, so that a second run finds them,
and a role whose calls change gets another; the old one goes when no server has it any more.

Keystone has a user's credentials in one heap, from all projects and for all regions; Barbican has a project's secrets
in one, of all users. So the names also say whose they are, and what is not of this project, this user and this region
is as if it were not there.
"""

from __future__ import annotations

import hashlib
import json
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
        same = re.compile(re.escape(name) + r"(-\d+)?")
        found = {str(one["name"]): str(one["id"]) for one in self._listed() if same.fullmatch(one["name"])}
        kept = {str(one["name"]): str(one["secret_ref"]) for one in self._secrets() if same.fullmatch(one["name"])}
        for one in sorted(found.keys() & kept.keys()):
            return Credential(one, found[one], kept[one])
        # One without the other is of a run that was cut off, or somebody has deleted its secret: servers may still have
        # it, and need it until they have left.
        number = 1
        while name in found or name in kept:
            number += 1
            name = f"{self.name(role, rules)}-{number}"
        return self._made(name, role, rules)

    def _made(self, name: str, role: str, rules: Sequence[Rule]) -> Credential:
        described = f"Servers of {role} in stack {self.stack} of project {self.cloud.project}, {self.cloud.region}"
        try:
            made = self.cloud.call("identity", "POST", self._path, {"application_credential": {
                "name": name, "description": f"{described}; by mailimg",
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
        """What the credential of a role with these rules is called; of several, those after the first have a number."""
        content = json.dumps(sorted((dict(rule) for rule in rules), key=json.dumps), sort_keys=True)
        return f"{self.prefix}{role}:{_digest(content)}:{self._owner}"

    def drop(self, keep: Mapping[str, Credential] | None = None) -> list[str]:
        """Delete the stack's credentials and their secrets, but for those of `keep`; returns their names."""
        names = {one.name for one in (keep or {}).values()}
        found = [one for one in self._listed() if one["name"] not in names]
        kept = [one for one in self._secrets() if one["name"] not in names]
        self._drop(found, kept)
        return sorted({str(one["name"]) for one in [*found, *kept]})

    @property
    def prefix(self) -> str:
        """What the names of the stack's credentials begin with."""
        return f"{SIGN}:{self.stack}:"

    @cached_property
    def _owner(self) -> str:
        return _digest(json.dumps([self.cloud.project, self.cloud.user, self.cloud.region]))

    @cached_property
    def _ours(self) -> re.Pattern[str]:
        return re.compile(rf"{re.escape(self.prefix)}[^:]+:[0-9a-f]+:{self._owner}(-\d+)?")

    @property
    def _path(self) -> str:
        return f"/users/{self.cloud.user}/application_credentials"

    def _listed(self) -> list[dict[str, Any]]:
        found = self.cloud.call("identity", "GET", self._path, what="list application credentials")
        return [one for one in found["application_credentials"]
                if one["project_id"] == self.cloud.project and self._ours.fullmatch(one["name"])]

    def _secrets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            query = urllib.parse.urlencode({"limit": 100, "offset": len(found)})
            page = self.cloud.call("key_manager", "GET", f"/secrets?{query}", what="list secrets")["secrets"]
            found += page
            if not page:
                return [one for one in found if self._ours.fullmatch(one["name"] or "")]

    def _drop(self, credentials: Sequence[Mapping[str, Any]], secrets: Sequence[Mapping[str, Any]]) -> None:
        for one in credentials:
            self.cloud.call("identity", "DELETE", f"{self._path}/{one['id']}", what="delete an application credential",
                            missing=True)
        for one in secrets:
            identity = str(one["secret_ref"]).rpartition("/")[2]
            self.cloud.call("key_manager", "DELETE", f"/secrets/{identity}", what="delete a secret", missing=True)


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:12]
