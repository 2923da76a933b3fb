"""One member of a group in the cloud of the tests, with no platform around it: its order to leave, and its answer."""

from __future__ import annotations

import time
from typing import Any

import cloud
from cloud.member import Fleet, Member
from keystoneauth1.exceptions import http

from mailimg.stack import access, document, render

# What a server of a stack is told, as far as it concerns leaving.
SITE: dict[str, Any] = {
    "mailimg": 1, "role": "smtp-in", "leave": {"heat": True, "deadline": 60, "flush": 1, "handover": 1},
    "signal": {"url": "%signal-url%", "token": "literal:%signal-token%"},
}


def credential(rig: cloud.Rig) -> tuple[dict[str, Any], str]:
    """What may only ask and answer: the `cloud` of a site document, and where its secret is."""
    project = rig.project()
    made = project.credential(access.LEAVING)
    own = {"auth_url": rig.keystone, "ca": rig.ca, "application_credential_id": made.id,
           "application_credential_secret": "literal:%credential-secret%"}
    return own, f"{project.rig_url()}/v1/secrets/{project.secret(made.secret.encode(), 'passphrase')}"


def template(own: dict[str, Any], secret: str, **more: Any) -> dict[str, Any]:
    """A group of members as the platform has it, and nothing around it.

    Args:
        own: with `secret`, what `credential` returns: an update must have the same, Heat takes no other.
        more: of the site document.
    """
    site = {**SITE, **more, "cloud": own}
    return {"heat_template_version": "2018-08-31", "resources": {"group": {
        "type": "OS::Heat::AutoScalingGroup", "properties": {
            "min_size": 0, "max_size": 3, "desired_capacity": 1, "resource": {"type": "member.yaml", "properties": {
                "role": "smtp-in", "image": "mailimg-smtp-in", "flavor": "m1.small", "network": "servers",
                "security_group": "sg", "server_group": "hosts", "scaling_group": "g", "boot_timeout": 60,
                "wait_for_leave": True, "site": document.text(site), "credential": secret}}}}}}


def files() -> dict[str, str]:
    """What the template names."""
    return {render.MEMBER: (render.TEMPLATES / render.MEMBER).read_text(encoding="utf-8")}


class Group:
    """A stack with one member, whose agent looks for orders once it `answers`.

    Args:
        mail: messages in its queue that nobody takes.
    """

    def __init__(self, rig: cloud.Rig, name: str, minutes: int, mail: tuple[str, ...] = ()) -> None:
        self.rig, self.name, self.me = rig, name, rig.project().me
        self.answers = False
        self.credential = credential(rig)
        self.fleet = Fleet(rig, lambda _member: self.answers, mail=mail)
        self.me.post("orchestration", "/stacks", {
            "stack_name": name, "template": template(*self.credential), "timeout_mins": minutes, "files": files()})
        self.until("CREATE_COMPLETE")
        self.server = next(iter(self.fleet.members))

    @property
    def member(self) -> Member:
        """Its server."""
        return self.fleet.members[self.server]

    def ordered(self) -> str:
        """Wait until the server is to leave; the order's id."""
        deadline = time.monotonic() + 120
        while not (found := self.member.machine.waiting()):
            assert time.monotonic() < deadline, f"no order: {self.status()}, {self.drain()}"
            time.sleep(0.3)
        return found[0]

    def drain(self) -> dict[str, Any]:
        """The resource that the deletion waits for."""
        found = self.me.get("orchestration", f"/stacks/{self.name}/resources?nested_depth=3")["resources"]
        return next((one for one in found if one["resource_name"] == "drain"), {})

    def refusal(self, seconds: float = 30.0) -> str:
        """Why the deletion went no further; Heat may give the stack up before it writes that down."""
        deadline = time.monotonic() + seconds
        while (found := self.drain()).get("resource_status") != "DELETE_FAILED":
            assert time.monotonic() < deadline, found
            time.sleep(0.3)
        return str(found["resource_status_reason"])

    def stack(self) -> dict[str, Any]:
        """Its record; empty: it is gone."""
        try:
            return dict(self.me.get("orchestration", f"/stacks/{self.name}")["stack"])
        except http.NotFound:
            return {}

    def status(self) -> str:
        """Of the stack; empty: it is gone."""
        return str(self.stack().get("stack_status", ""))

    def until(self, wanted: str, seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while (found := self.stack()).get("stack_status", "") != wanted:
            assert time.monotonic() < deadline, f"not {wanted!r}: {found.get('stack_status_reason')}: {found}"
            assert found or not wanted, f"not {wanted!r}: the stack is gone"
            self.fleet.tend()
            time.sleep(0.3)

    def delete(self) -> None:
        self.me.request("orchestration", "DELETE", f"/stacks/{self.name}/{self.stack()['id']}")

    @property
    def there(self) -> bool:
        return self.server in [one["id"] for one in self.rig.infrastructure.all("servers")]
