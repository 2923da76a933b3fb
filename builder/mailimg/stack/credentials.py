"""Application credentials of a platform's servers: one a role, limited to its calls, the secret in Barbican.

Heat has no resource for them. Their names say what they are for and what they allow, so that a second run finds them,
and a role whose calls change gets another, with the same secret; the old one goes when no server has it any more.

Keystone has a user's credentials in one heap, from all projects and for all regions; Barbican has a project's secrets
in one, of all users. So the names also say whose they are, and what is not of this project, this user and this region
is as if it were not there.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
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

        A new one has the secret of those before it: Heat has its reference, and hardly takes another (`render.tied`).

        Raises:
            CloudError: Keystone or Barbican refuse.
        """
        called = f"{self.prefix}{role}:{self._owner}"
        kept = sorted(str(one["secret_ref"]) for one in self._secrets() if one["name"] == called)
        if not kept:
            # Without its secret, a credential is of no use to whoever boots next; servers that have it need it still.
            secret = secrets.token_urlsafe()
            reference = str(self.cloud.call("key_manager", "POST", "/secrets", {
                "name": called, "payload": secret, "payload_content_type": "text/plain",
                "secret_type": "passphrase"}, what=f"keep the secret {called}")["secret_ref"])
            return self._made(role, rules, reference, secret)
        wanted = {self.name(role, rules, reference): reference for reference in kept}
        for one in self._listed():
            if one["name"] in wanted:
                return Credential(one["name"], str(one["id"]), wanted[one["name"]])
        path = f"/secrets/{_last(kept[0])}/payload"
        return self._made(role, rules, kept[0], self.cloud.text("key_manager", path, what=f"open the secret {called}"))

    def _made(self, role: str, rules: Sequence[Rule], reference: str, secret: str) -> Credential:
        name = self.name(role, rules, reference)
        described = f"Servers of {role} in stack {self.stack} of project {self.cloud.project}, {self.cloud.region}"
        try:
            made = self.cloud.call("identity", "POST", self._path, {"application_credential": {
                "name": name, "description": f"{described}; by mailimg", "secret": secret,
                "access_rules": [dict(rule) for rule in rules]}}, what=f"make the application credential {name}")
        except CloudError as error:
            if error.status != 403:
                raise
            raise StepError(error.message, LOGIN_HINT) from error
        return Credential(name, made["application_credential"]["id"], reference)

    def name(self, role: str, rules: Sequence[Rule], reference: str) -> str:
        """What the credential of a role with these rules and this secret is called."""
        content = [reference, sorted((dict(rule) for rule in rules), key=json.dumps)]
        return f"{self.prefix}{role}:{_digest(content)}:{self._owner}"

    def drop(self, keep: Mapping[str, Credential] | None = None) -> list[str]:
        """Delete the stack's credentials and their secrets, but for those of `keep`; returns words for each."""
        names = {one.name for one in (keep or {}).values()}
        references = {one.reference for one in (keep or {}).values()}
        found = [one for one in self._listed() if one["name"] not in names]
        kept = [one for one in self._secrets() if one["secret_ref"] not in references]
        for one in found:
            self.cloud.call("identity", "DELETE", f"{self._path}/{one['id']}", what="delete an application credential",
                            missing=True)
        for one in kept:
            self.cloud.call("key_manager", "DELETE", f"/secrets/{_last(one['secret_ref'])}", what="delete a secret",
                            missing=True)
        return sorted([*(f"application credential {one['name']}" for one in found),
                       *(f"secret {one['name']}" for one in kept)])

    @property
    def prefix(self) -> str:
        """What the names of the stack's credentials and secrets begin with."""
        return f"{SIGN}:{self.stack}:"

    @cached_property
    def _owner(self) -> str:
        return _digest([self.cloud.project, self.cloud.user, self.cloud.region])

    @cached_property
    def _ours(self) -> re.Pattern[str]:
        return re.compile(rf"{re.escape(self.prefix)}[^:]+(:[0-9a-f]+)?:{self._owner}")

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


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _last(reference: str) -> str:
    """The id in a reference."""
    return reference.rpartition("/")[2]
