"""One server out of its group without loss: it leaves, is marked in Heat, and the group shrinks by that very one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mailimg.cloud.connection import Cloud
from mailimg.errors import InterruptedElsewhereError, StepError
from mailimg.stack import groups, pools
from mailimg.stack.apply import failed
from mailimg.stack.groups import Member
from mailimg.stack.heat import Heat, Stack, at_rest, settled
from mailimg.stack.orders import LEFT, UNABLE, WAITING, Order, Orders


@dataclass(frozen=True)
class Work:
    """What is worked with.

    Attributes:
        name: of the stack.
        role: as its folder is called.
        patience: seconds that a server has to leave.
        say: is told what happens, a line each.
        again: the command that goes on where this one stops.
    """

    heat: Heat
    name: str
    role: str
    patience: float
    say: Callable[[str], None]
    again: str

    @property
    def cloud(self) -> Cloud:
        """The cloud."""
        return self.heat.cloud

    @property
    def key(self) -> str:
        """The role as part of names in the template."""
        return self.role.replace("-", "_")

    def look(self) -> tuple[Stack, list[dict[str, Any]]]:
        """The stack and its resources, if nobody is at it.

        Raises:
            StepError: it is gone, or somebody else changes it or one of its groups.
        """
        stack = self.heat.find(self.name)
        if stack is None:
            raise StepError(f"stack {self.name}: was deleted meanwhile")
        settled(stack, "change")
        resources = self.heat.resources(stack)
        at_rest(self.heat, stack, resources, self.again)
        return stack, resources

    def update(self, stack: Stack, parameters: Mapping[str, Any]) -> None:
        """Change parameters of the stack and see it through.

        Raises:
            StepError: Heat did not get there.
        """
        seen = [one["id"] for one in self.heat.events(stack)]
        self.heat.change(stack, parameters)
        after = self.heat.follow(stack, seen, self.say)
        if after is None or after.failed:
            raise failed(self.heat, after, self.name)


@contextmanager
def interruptible(words: str, hint: str) -> Iterator[None]:
    """Say what goes on, or is half-done, when somebody presses Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedElsewhereError(f"interrupted: {words}", hint) from None


def take_out(work: Work, member: Member) -> None:
    """Take one member out; one that has left already is only taken away.

    Raises:
        StepError: it cannot leave, or not in time, or Heat does not take it away; with how to go on and back.
    """
    if not member.left:
        leave(work, member)
    with interruptible(f"server {member.server} has left; Heat has still to take it away", f"Go on: `{work.again}`."):
        if not member.left:
            work.heat.mark(member.path, f"{groups.LEFT} ({member.server})")
        stack, resources = work.look()
        work.say(f"{member.place}: Heat takes it away")
        work.update(stack, groups.sizes(resources, stack.parameters))
    if work.cloud.call("compute", "GET", f"/servers/{member.server}", what="look at a server", missing=True):
        raise StepError(f"server {member.server} of {member.place} has left, but Heat has kept it",
                        f"Nothing else was taken out. `mailimg stack status --name {work.name}` shows the groups; if"
                        f" none has it, delete it by hand: `openstack server delete {member.server}`.")
    orders = Orders(work.cloud)
    for order in orders.all(member.server):
        orders.drop(order)
    work.say(f"{member.place}: server {member.server} is gone")


def leave(work: Work, member: Member) -> None:
    """Tell a server to leave and wait until it says that it has: no session, no mail, no member, no account left.

    Raises:
        StepError: it says that it cannot, or nothing in time.
    """
    orders = Orders(work.cloud)
    order = _given(orders, work, member)
    with interruptible(f"server {member.server} goes on leaving",
                       f"Go on: `{work.again}` waits for it again. {_back(member, order)}"):
        order = orders.wait(order, work.patience)
    if order.status == WAITING:
        raise StepError(
            f"{member.place}: server {member.server} has not left after {work.patience:.0f} s, and said nothing",
            f"Heat was not asked to take it away, and the server goes on leaving. Its console has more: `openstack"
            f" console log show {member.server}`. Go on: `{work.again}` waits for it again. {_back(member, order)}")
    if order.status == UNABLE:
        raise StepError(
            f"{member.place}: server {member.server} cannot leave: {order.reason}",
            f"It takes no new mail and keeps what it has; Heat was not asked to take it away. Go on: mend that, then"
            f" `{work.again}` tells it again. {_back(member, order)}")
    found = pools.of_server(work.cloud, work.look()[1], member.server)
    if found:
        # It serves again: somebody took it back after its answer.
        orders.drop(order)
        raise StepError(f"{member.place}: server {member.server} says that it has left, but is in {', '.join(found)}",
                        f"Somebody has taken it back (`mailimg-firstboot apply`)? `{work.again}` tells it once more.")
    work.say(f"{member.place}: {order.reason or 'has left'}")


def _given(orders: Orders, work: Work, member: Member) -> Order:
    """The order that this server has; a new one, if it has none that still says something."""
    for order in orders.all(member.server):
        if order.status in (WAITING, LEFT):
            work.say(f"{member.place}: server {member.server} was told to leave before")
            return order
        orders.drop(order)
    work.say(f"{member.place}: server {member.server} is told to leave")
    return orders.give(member.server)


def _back(member: Member, order: Order) -> str:
    return (f"Back: `openstack software deployment delete {order.id}`, then on the server `mailimg-firstboot apply`"
            f" ({member.server}).")


def dates(cloud: Cloud, members: Sequence[Member]) -> dict[str, str]:
    """When the image of each server was made, by server; those whose image is gone, or who boot from a volume, are not
    in it."""
    made: dict[str, str] = {}
    found: dict[str, str] = {}
    for member in members:
        server = cloud.call("compute", "GET", f"/servers/{member.server}", what="look at a server", missing=True)
        image = ((server or {}).get("server", {}).get("image") or {}).get("id", "")
        if image and image not in made:
            one = cloud.call("image", "GET", f"/images/{image}", what="look at an image", missing=True)
            made[image] = (one or {}).get("created_at", "")
        if made.get(image):
            found[member.server] = made[image]
    return found
