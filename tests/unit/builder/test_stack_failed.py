"""What is said of a stack that did not get there, from what Heat lists, all or only what is on top."""

from __future__ import annotations

from typing import Any

import pytest

from mailimg.cloud.connection import Cloud, CloudError
from mailimg.stack import apply
from mailimg.stack.heat import Heat, Stack

STACK = Stack("mail", "1", "UPDATE_FAILED", "Resource UPDATE failed", "", "", {}, {})


class Listing(Cloud):
    """A Heat that lists resources; deep listings end with a status, if one is given."""

    def __init__(self, resources: list[dict[str, Any]], deep: int = 0) -> None:
        self.resources, self.deep = resources, deep

    def call(self, service: str, method: str, path: str, body: Any = None, *, what: str, **_more: Any) -> Any:
        if self.deep and "nested_depth" in path:
            raise CloudError(what, status=self.deep)
        return {"resources": self.resources if "nested_depth" in path else self.resources[:1]}


def resource(name: str, home: str, inside: str = "", reason: str = "") -> dict[str, Any]:
    links = [{"rel": "stack", "href": f"http://heat/stacks/{home}"}]
    links += [{"rel": "nested", "href": f"http://heat/stacks/{inside}"}] if inside else []
    return {"resource_name": name, "links": links, "resource_status": "DELETE_FAILED" if reason else "CREATE_COMPLETE",
            "resource_status_reason": reason}


LEFT = "Deployment to server failed: leave: handover: 2 messages left in the queue: A1 A2"
TREE = [resource("smtp_in_group", "1", "2", "in it"), resource("x7k2", "2", "3", "in it"),
        resource("drain", "3", reason=LEFT)]


def test_a_server_that_has_not_left() -> None:
    error = apply.failed(Heat(Listing(TREE)), STACK, "mail")
    assert error.message == f"stack mail: UPDATE_FAILED: smtp_in_group/x7k2/drain: {LEFT}"
    assert error.hint is not None
    assert error.hint.startswith("A server has not left: it stays, drained, with its mail")


@pytest.mark.parametrize(("name", "left"), [("nfs_drain", True), ("ready", False), ("drainage", False)])
def test_only_leaving_is_called_so(name: str, left: bool) -> None:
    error = apply.failed(Heat(Listing([resource(name, "1", reason="why")])), STACK, "mail")
    assert str(error.hint).startswith("A server has not left") is left


@pytest.mark.parametrize(("tree", "storage"), [
    ([resource("nfs_ready", "1", reason="why")], True),
    ([*TREE[:2], resource("ready", "3", reason="why")], False),
    ([resource("ready", "1", reason="why")], False),
])
def test_storage_is_not_made_anew(tree: list[dict[str, Any]], storage: bool) -> None:
    error = apply.failed(Heat(Listing(tree)), STACK, "mail")
    assert str(error.hint).startswith("The storage server did not get ready, and is not made anew") is storage


def test_a_nested_stack_that_goes_meanwhile() -> None:
    assert [one["place"] for one in Heat(Listing(TREE, deep=404)).resources(STACK)] == ["smtp_in_group"]
    with pytest.raises(CloudError):
        Heat(Listing(TREE, deep=403)).resources(STACK)
