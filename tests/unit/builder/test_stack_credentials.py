"""Whose application credentials are whose, and what becomes of them when a stack is not made, or is gone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from click.testing import CliRunner

from mailimg.cloud.connection import Cloud, CloudError
from mailimg.commands import stack as command
from mailimg.stack import access, apply, render
from mailimg.stack.credentials import Credential, Credentials
from mailimg.stack.platform import Platform
from mailimg.stack.render import Rendered

ROLE, RULES = "smtp-in", access.LEAVING
NUMBERS = itertools.count(1)
STACK = {"stack_name": "mail", "id": "1", "stack_status": "CREATE_COMPLETE", "parameters": {}}


class World:
    """A Keystone with all users' credentials, a Barbican for each project and region, a Heat with one stack or none.

    Attributes:
        stack: as Heat shows it; None: there is none.
        created: what Heat does when a stack is to be made.
    """

    def __init__(self) -> None:
        self.credentials: list[dict[str, Any]] = []
        self.secrets: list[dict[str, Any]] = []
        self.stack: dict[str, Any] | None = None
        self.created: Callable[[], None] = lambda: None
        self.down = False

    def cloud(self, project: str = "p1", user: str = "u1", region: str = "r1") -> Cloud:
        return cast("Cloud", FakeCloud(self, project, user, region))

    def names(self) -> list[tuple[str, str]]:
        """Credentials by user and project."""
        return sorted((one["user"], one["project_id"]) for one in self.credentials)


class FakeCloud:
    """A project of it, as a user."""

    def __init__(self, world: World, project: str, user: str, region: str) -> None:
        self.world, self.project, self.user, self.region = world, project, user, region

    def log_in(self) -> None:
        """Always in."""

    def has(self, _kind: str) -> bool:
        return True

    def call(self, service: str, method: str, path: str, body: Any = None, **_: Any) -> Any:
        return getattr(self, f"{service}_{method.lower()}")(path, body)

    def image_get(self, _path: str, _body: Any) -> Any:
        return {"images": []}

    def identity_get(self, _path: str, _body: Any) -> Any:
        # As Keystone does: whatever project one has logged in to.
        return {"application_credentials": [one for one in self.world.credentials if one["user"] == self.user]}

    def identity_post(self, _path: str, body: Any) -> Any:
        wanted = body["application_credential"]
        if any((one["user"], one["name"]) == (self.user, wanted["name"]) for one in self.world.credentials):
            raise CloudError("Duplicate entry", status=409)
        made = {**wanted, "user": self.user, "project_id": self.project, "id": f"c{next(NUMBERS)}"}
        self.world.credentials.append(made)
        return {"application_credential": made}

    def identity_delete(self, path: str, _body: Any) -> None:
        self.world.credentials[:] = [one for one in self.world.credentials if one["id"] != path.rpartition("/")[2]]

    def _here(self, one: dict[str, Any]) -> bool:
        return bool((one["project"], one["region"]) == (self.project, self.region))

    def key_manager_get(self, path: str, _body: Any) -> Any:
        found = [one for one in self.world.secrets if self._here(one)]
        return {"secrets": found if path.endswith("offset=0") else []}

    def key_manager_post(self, _path: str, body: Any) -> Any:
        made = {"name": body["name"], "payload": body["payload"], "project": self.project, "region": self.region,
                "secret_ref": f"https://barbican/v1/secrets/s{next(NUMBERS)}"}
        self.world.secrets.append(made)
        return made

    def text(self, service: str, path: str, *, what: str) -> str:
        assert (service, path.endswith("/payload"), what[:4]) == ("key_manager", True, "open")
        found = [one for one in self.world.secrets if self._here(one)]
        return str(next(one["payload"] for one in found if one["secret_ref"].endswith(path.removesuffix("/payload"))))

    def key_manager_delete(self, path: str, _body: Any) -> None:
        self.world.secrets[:] = [one for one in self.world.secrets
                                 if not (one["secret_ref"].endswith(path) and self._here(one))]

    def orchestration_get(self, path: str, _body: Any) -> Any:
        if self.world.down:
            raise CloudError("look at stack mail: no answer")
        if "/events" in path:
            return {"events": []}
        return None if self.world.stack is None else {"stack": self.world.stack}

    def orchestration_post(self, path: str, _body: Any) -> Any:
        if path == "/stacks":
            self.world.created()


def ensure(cloud: Cloud, stack: str = "mail") -> Credential:
    return Credentials(cloud, stack).ensure(ROLE, RULES)


@pytest.mark.parametrize("other", [{"project": "p2"}, {"user": "u2"}, {"region": "r2"}], ids=str)
def test_what_another_project_user_or_region_owns_is_left_alone(other: dict[str, str]) -> None:
    world = World()
    first = ensure(world.cloud())
    second = ensure(world.cloud(**other))
    assert first.id != second.id
    assert (ensure(world.cloud()), ensure(world.cloud(**other))) == (first, second), "each finds its own again"
    # At the end of an apply, after a failed preview, and when the stack is deleted.
    assert Credentials(world.cloud(**other), "mail").drop(keep={ROLE: second}) == []
    assert len(Credentials(world.cloud(**other), "mail").drop()) == 2
    assert (len(world.credentials), len(world.secrets)) == (1, 1)
    assert ensure(world.cloud()) == first


def test_another_stack_of_the_same_project_is_left_alone() -> None:
    world = World()
    first = ensure(world.cloud())
    ensure(world.cloud(), "mail-2")
    assert len(Credentials(world.cloud(), "mail-2").drop()) == 2
    assert ensure(world.cloud()) == first


def test_a_role_whose_calls_change_keeps_its_secret() -> None:
    """Heat has its reference, and updates no server to another."""
    world = World()
    first = ensure(world.cloud())
    second = Credentials(world.cloud(), "mail").ensure(ROLE, RULES[:1])
    assert second.id != first.id
    assert second.reference == first.reference
    assert len({one["secret"] for one in world.credentials}) == 1
    assert [one["payload"] for one in world.secrets] == [world.credentials[0]["secret"]]
    assert Credentials(world.cloud(), "mail").drop(keep={ROLE: second}) == [f"application credential {first.name}"]


def test_a_credential_whose_secret_is_gone_is_kept_until_nobody_has_it() -> None:
    world = World()
    first = ensure(world.cloud())
    world.secrets.clear()
    second = ensure(world.cloud())
    assert second.reference != first.reference
    assert len(world.credentials) == 2, "servers still leave with the first"
    assert ensure(world.cloud()) == second
    assert Credentials(world.cloud(), "mail").drop(keep={ROLE: second}) == [f"application credential {first.name}"]
    assert [one["id"] for one in world.credentials] == [second.id]


def test_a_secret_whose_credential_was_never_made_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    with monkeypatch.context() as cut_off:
        cut_off.setattr(FakeCloud, "identity_post", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ensure(world.cloud())
    assert ensure(world.cloud()).reference == world.secrets[0]["secret_ref"]
    assert len(world.secrets) == 1


def test_another_secret_is_another_resource() -> None:
    """Heat refuses to make another secret of a resource that is there."""
    golden = Path(__file__).resolve().parents[2] / "golden" / "stack" / render.PLATFORM
    files = {render.MEMBER: (render.TEMPLATES / render.MEMBER).read_text(encoding="utf-8"),
             render.PLATFORM: golden.read_text(encoding="utf-8")}
    seen = []
    for references in (("a", "b"), ("b", "a"), ("a", "c")):
        tied = render.tied(files, references)
        assert not any("credential_0" in text for text in tied.values())
        names = {file: [name for name, one in yaml.safe_load(text)["resources"].items()
                        if one["type"] == "OS::Barbican::Secret"] for file, text in tied.items()}
        (own,), (storage,) = names[render.MEMBER], names[render.PLATFORM]
        assert f"{{get_attr: [{own}, decrypted_payload]}}" in tied[render.MEMBER]
        assert f"{{get_attr: [{storage}, decrypted_payload]}}" in tied[render.PLATFORM]
        seen.append((own, storage))
    assert seen[0] == seen[1]
    assert not set(seen[1]) & set(seen[2])


def begin(world: World, monkeypatch: pytest.MonkeyPatch, say: Callable[[str], None] = print) -> None:
    """A first apply."""
    monkeypatch.setattr(apply, "_chosen", lambda *_: {})
    rendered = Rendered({"platform.yaml": "parameters: {}", "member.yaml": ""}, {ROLE: RULES}, 240)
    apply.apply(world.cloud(), apply.Wanted("mail", Platform((), ()), rendered, {}, "stable"), say)


@pytest.mark.parametrize("error", [CloudError("create stack mail: 403", status=403), KeyboardInterrupt()], ids=repr)
def test_a_stack_that_was_not_made_leaves_no_credential(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    other = ensure(world.cloud(project="p2"))

    def refuse() -> None:
        assert len(world.credentials) == 2
        raise error

    world.created = refuse
    with pytest.raises(type(error)):
        begin(world, monkeypatch)
    assert [one["id"] for one in world.credentials] == [other.id]
    assert len(world.secrets) == 1


def test_a_stack_that_was_made_although_the_answer_was_lost_keeps_its_credentials(
        monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    def lose() -> None:
        world.stack = STACK
        raise CloudError("create stack mail: no answer")

    world.created = lose
    with pytest.raises(CloudError):
        begin(world, monkeypatch)
    assert (len(world.credentials), len(world.secrets)) == (1, 1)


def test_what_cannot_be_taken_back_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    world, told = World(), list[str]()

    def vanish() -> None:
        world.down = True
        raise CloudError("create stack mail: no answer")

    world.created = vanish
    with pytest.raises(CloudError, match="create stack mail"):
        begin(world, monkeypatch, told.append)
    assert told == ["warning: application credentials mailimg:mail:* and their secrets may be left: look at stack"
                        " mail: no answer. `mailimg stack delete --name mail` removes them"]


def delete(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(command, "connection", SimpleNamespace(find=lambda _name: world.cloud()))
    return CliRunner().invoke(command.stack, ["delete", "--yes"])


def test_delete_of_a_stack_that_is_gone_removes_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    mine, other = ensure(world.cloud()), ensure(world.cloud(project="p2"))
    secret = world.secrets[0]["name"]
    done = delete(world, monkeypatch)
    assert (done.exit_code, done.output.splitlines()) == (0, [
        "stack mail: is gone already", f"application credential {mine.name}: deleted", f"secret {secret}: deleted"])
    assert [one["id"] for one in world.credentials] == [other.id]
    again = delete(world, monkeypatch)
    assert "there is none of that name in this project" in str(again.exception)
