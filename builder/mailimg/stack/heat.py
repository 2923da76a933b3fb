"""Stacks as Heat has them: made, changed, deleted, watched while they change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailimg.cloud.connection import Cloud, CloudError
from mailimg.errors import InterruptedElsewhereError, StepError
from mailimg.stack import groups

SERVICE = "orchestration"

# Seconds between looks at a stack that changes.
LOOK = 2.0
# A platform is a stack, its groups, their servers.
DEPTH = 4
# What a person wants to see of a server's own stack; of the platform everything is told.
TOLD = ("server", "ready", "drain")


@dataclass(frozen=True)
class Stack:
    """A stack as Heat shows it; `status` is `CREATE_COMPLETE`, `UPDATE_FAILED`, ..."""

    name: str
    id: str
    status: str
    reason: str
    created: str
    updated: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, Any]

    @property
    def busy(self) -> bool:
        """Whether something is being done with it."""
        return self.status.endswith("_IN_PROGRESS")

    @property
    def failed(self) -> bool:
        """Whether the last thing that was done with it failed."""
        return self.status.endswith("_FAILED")

    @property
    def path(self) -> str:
        """Where Heat has it."""
        return f"/stacks/{self.name}/{self.id}"


@dataclass(frozen=True)
class Failure:
    """A resource that failed, with its place (`smtp_in_group/x7k2/server`) and Heat's reason."""

    place: str
    status: str
    reason: str


class Heat:
    """The stacks of a project."""

    def __init__(self, cloud: Cloud, sleep: Callable[[float], None] = time.sleep) -> None:
        self.cloud = cloud
        self._sleep = sleep

    def find(self, name: str) -> Stack | None:
        """A stack by its name or id; None if there is none."""
        found = self._call("GET", f"/stacks/{name}", what=f"look at stack {name}", missing=True)
        return None if found is None else _stack(found["stack"])

    def template(self, stack: Stack) -> dict[str, Any]:
        """The template that a stack has, as Heat has read it."""
        found: dict[str, Any] = self._call("GET", f"{stack.path}/template", what=f"read the template of {stack.name}")
        return found

    def validate(self, template: str, files: Mapping[str, str], parameters: Mapping[str, Any]) -> None:
        """Let Heat look at a template and its parameters.

        Raises:
            CloudError: with what it does not like.
        """
        body = {"template": template, "files": dict(files), "parameters": dict(parameters)}
        self._call("POST", "/validate", body, what="let Heat check the template")

    def preview(self, name: str, template: str, files: Mapping[str, str], parameters: Mapping[str, Any]) -> None:
        """The strict check: properties of every resource, also inside groups; nothing is made."""
        body = {"stack_name": name, "template": template, "files": dict(files), "parameters": dict(parameters)}
        self._call("POST", "/stacks/preview", body, what="let Heat check every resource")

    def create(self, name: str, template: str, files: Mapping[str, str], parameters: Mapping[str, Any],
               minutes: int) -> None:
        """Begin to make a stack; what fails stays, to be looked at."""
        body = {"stack_name": name, "template": template, "files": dict(files), "parameters": dict(parameters),
                "timeout_mins": minutes, "disable_rollback": True, "tags": "mailimg"}
        self._call("POST", "/stacks", body, what=f"create stack {name}")

    def update(self, stack: Stack, template: str, files: Mapping[str, str], parameters: Mapping[str, Any],
               minutes: int) -> None:
        """Begin to change a stack; a parameter that is left out gets its default."""
        body = {"template": template, "files": dict(files), "parameters": dict(parameters), "timeout_mins": minutes,
                "disable_rollback": True, "tags": "mailimg"}
        self._call("PUT", stack.path, body, what=f"update stack {stack.name}")

    def change(self, stack: Stack, parameters: Mapping[str, Any]) -> None:
        """Begin to change parameters of a stack; template, other parameters and time-out stay."""
        body = {"parameters": dict(parameters), "disable_rollback": True}
        self._call("PATCH", stack.path, body, what=f"update stack {stack.name}")

    def scaling(self, path: str) -> bool:
        """Whether a group still works at an alarm; its members are done a moment before it is.

        Args:
            path: of the group, as of `mark`.
        """
        found = self._call("GET", f"{path}/metadata", what="look at a group")["metadata"]
        return bool(found.get("scaling_in_progress"))

    def mark(self, path: str, reason: str) -> None:
        """Mark a member of a group as unhealthy: the group takes it away before all others.

        Args:
            path: of the resource, below Heat's endpoint.
        """
        body = {"mark_unhealthy": True, "resource_status_reason": reason}
        self._call("PATCH", path, body, what=f"mark {path.rpartition('/')[2]} as unhealthy")

    def delete(self, stack: Stack) -> None:
        """Begin to delete a stack."""
        self._call("DELETE", stack.path, what=f"delete stack {stack.name}")

    def resources(self, stack: Stack) -> list[dict[str, Any]]:
        """All resources at any depth, with `place`: the names on the way to it."""
        path, what = f"{stack.path}/resources", f"list what stack {stack.name} has"
        try:
            found: list[dict[str, Any]] = self._call("GET", f"{path}?nested_depth={DEPTH}", what=what)["resources"]
        except CloudError as error:
            # A nested stack that goes while Heat looks through them, or that a failure has left the name of alone.
            if error.status != 404:
                raise
            found = self._call("GET", path, what=what)["resources"]
        inside = {link["href"].rpartition("/")[2]: one for one in found for link in one["links"]
                  if link["rel"] == "nested"}
        for one in found:
            one["place"] = "/".join(reversed(list(_names(one, inside))))
        return found

    def failures(self, stack: Stack) -> list[Failure]:
        """What failed, without what failed only because something in it did."""
        failed = [one for one in self.resources(stack) if one["resource_status"].endswith("_FAILED")]
        places = [one["place"] for one in failed]
        return [Failure(one["place"], one["resource_status"], one.get("resource_status_reason") or "no reason given")
                for one in failed if not any(place.startswith(one["place"] + "/") for place in places)]

    def follow(self, stack: Stack, seen: Iterable[str], say: Callable[[str], None]) -> Stack | None:
        """Watch a stack until nothing is being done with it.

        Args:
            seen: ids of events from before.
            say: is told each other event, a line.

        Returns:
            the stack as it is then; None if it is gone.

        Raises:
            InterruptedElsewhereError: Ctrl-C; Heat is not stopped by that.
        """
        try:
            return self._follow(stack, set(seen), say)
        except KeyboardInterrupt:
            raise InterruptedElsewhereError(
                f"interrupted: Heat goes on with stack {stack.name}",
                f"`mailimg stack status --name {stack.name}` says how far it is.") from None

    def _follow(self, stack: Stack, told: set[str], say: Callable[[str], None]) -> Stack | None:
        quiet = 0
        while True:
            now = self.find(stack.id)
            for event in self.events(stack) if now is not None else ():
                if event["id"] not in told:
                    told.add(event["id"])
                    if _worth(event, stack):
                        say(_words(event))
            if now is None or now.status == "DELETE_COMPLETE":
                return None
            # Heat takes a request before it shows that it works on it.
            quiet = 0 if now.busy else quiet + 1
            if quiet > 1:
                return now
            self._sleep(LOOK)

    def events(self, stack: Stack) -> list[dict[str, Any]]:
        """What has happened so far, at any depth, oldest first."""
        path = f"{stack.path}/events?nested_depth={DEPTH}&sort_dir=asc"
        try:
            found = self._call("GET", path, what=f"list the events of stack {stack.name}", missing=True)
        except CloudError as error:
            # A nested stack that goes while Heat looks through them.
            if error.status == 404 or error.passing:
                return []
            raise
        return sorted((found or {"events": []})["events"], key=lambda one: str(one["event_time"]))

    def _call(self, method: str, path: str, body: Any = None, *, what: str, missing: bool = False) -> Any:
        return self.cloud.call(SERVICE, method, path, body, what=what, missing=missing)


def settled(stack: Stack | None, what: str) -> None:
    """Refuse a stack that somebody else is changing.

    Raises:
        StepError: it is.
    """
    if stack is not None and stack.busy:
        raise StepError(f"{what} stack {stack.name}: it is {stack.status}: somebody else is at it",
                        f"Wait until `mailimg stack status --name {stack.name}` says that it is done.")


def at_rest(heat: Heat, stack: Stack, resources: Sequence[Mapping[str, Any]], again: str) -> None:
    """Refuse a stack in which an alarm is at work; the stack itself does not show that.

    Heat updates a group whether or not it is being scaled: what the alarm has just made would be taken away again.

    Args:
        resources: of the stack.
        again: the command to run later.

    Raises:
        StepError: one is.
    """
    if stack.failed:
        # What was being made when something else failed goes on for a while; an update waits for it or gives it up.
        return
    changing = groups.busy(resources) + [
        one["place"] for one in resources if one["resource_type"] == groups.TYPE and heat.scaling(groups.path_of(one))]
    if changing:
        raise StepError(f"stack {stack.name}: {', '.join(changing)}: is being made, taken away or scaled at the moment",
                        f"An alarm, perhaps. When `mailimg stack status --name {stack.name}` shows no member in"
                        f" progress: `{again}`.")


def _stack(found: Mapping[str, Any]) -> Stack:
    return Stack(
        name=found["stack_name"], id=found["id"], status=found["stack_status"],
        reason=found.get("stack_status_reason") or "", created=found.get("creation_time") or "",
        updated=found.get("updated_time") or "", parameters=found.get("parameters") or {},
        outputs={one["output_key"]: one.get("output_value") for one in found.get("outputs") or ()},
    )


def _names(one: Mapping[str, Any], inside: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Names from a resource up to the platform's own."""
    yield str(one["resource_name"])
    home = next((link["href"].rpartition("/")[2] for link in one["links"] if link["rel"] == "stack"), "")
    if home in inside:
        yield from _names(inside[home], inside)


def _home(event: Mapping[str, Any]) -> str:
    """Id of the stack that an event is of."""
    return next((str(link["href"]).rpartition("/")[2] for link in event["links"] if link["rel"] == "stack"), "")


def _worth(event: Mapping[str, Any], stack: Stack) -> bool:
    """Whether a person wants to see an event."""
    name, status = str(event["resource_name"]), str(event["resource_status"])
    if status.endswith("_FAILED"):
        return True
    if _home(event) == stack.id:
        return name != stack.name and status.endswith(("_COMPLETE", "E_IN_PROGRESS"))
    return name in TOLD and (status.endswith("_COMPLETE") or (name, status) == ("drain", "DELETE_IN_PROGRESS"))


def _words(event: Mapping[str, Any]) -> str:
    reason = event.get("resource_status_reason") or ""
    stacks = [str(link["href"]).split("/")[-2] for link in event["links"] if link["rel"] in ("stack", "root_stack")]
    # A server's own stack is called platform-group-member-...; of the platform's resources the name says it.
    inner = f"{stacks[0].removeprefix(stacks[-1] + '-')}/" if len(set(stacks)) > 1 else ""
    told = f": {reason}" if reason and reason != "state changed" else ""
    return f"{inner}{event['resource_name']}  {event['resource_status']}{told}"
