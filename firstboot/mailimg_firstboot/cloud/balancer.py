"""This instance as a member of the site's pools: what differs, register, drain, remove.

Nothing here waits or tries again. A 409 is a TransientError like no answer: the next attempt looks at the pool before
it acts, and then finds either a member that it can adopt (a duplicate) or a pool that may be changed again.
"""

import abc
import ipaddress
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from mailimg_firstboot.cloud.session import ConflictError, NotFoundError
from mailimg_firstboot.errors import StepError, TransientError

# Members carry the instance's UUID: what an instance left behind can be told from what others have.
PREFIX = "mailimg-"

UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")

BUSY = ("A load balancer takes one change at a time. If others were being made all along, a group of this size needs a "
        "longer balancer.deadline; if not, see `openstack loadbalancer status show`.")

# A member on its way to or from somewhere; changing it would be refused.
PENDING = re.compile("PENDING_")


class Member(NamedTuple):
    """A member of a pool; None stands for what the dialect does not know."""

    id: str
    name: Optional[str]
    address: str
    port: int
    weight: int
    up: bool
    subnet: Optional[str]
    monitor_port: Optional[int]
    status: str


class Goal(NamedTuple):
    """One port of the role in its pool.

    Args:
        service: the port's name in role.json.
        pool: id or name.
        subnet: None: the load balancer's own.
        monitor_port: None: the port itself.
    """

    service: str
    pool: str
    name: str
    address: str
    port: int
    weight: int
    subnet: Optional[str]
    monitor_port: Optional[int]

    @property
    def place(self) -> str:
        """For messages: the pool with the port that it is for."""
        return "pool {} ({})".format(self.pool, self.service)


class Dialect(abc.ABC):
    """One of the load balancer APIs.

    Attributes:
        names: members have names; where a server is too old for them, they are None.
        subnets: members are in a subnet of their own.
        drain: the field, and its value, that ends new sessions and leaves the old ones.
        tuned: fields of `Goal` that a member can be changed in.
        rules: the access rules that an application credential needs.
    """

    names = True
    subnets = True
    drain: Tuple[str, Any] = ("weight", 0)
    tuned: Tuple[str, ...] = ("name", "weight", "monitor_port")
    rules: Tuple[Dict[str, str], ...] = ()

    @abc.abstractmethod
    def pools(self, name: str, what: str) -> List[str]:
        """Ids of the pools with a name."""

    @abc.abstractmethod
    def members(self, pool: str, what: str) -> List[Member]:
        """Every member of a pool by its id."""

    @abc.abstractmethod
    def add(self, pool: str, goal: Goal, what: str) -> None:
        """Add a member."""

    @abc.abstractmethod
    def change(self, pool: str, member: str, fields: Dict[str, Any], what: str) -> None:
        """Change fields of a member: name, weight, up, monitor_port."""

    @abc.abstractmethod
    def remove(self, pool: str, member: str, what: str) -> None:
        """Remove a member."""


class Action(NamedTuple):
    """One difference in words, and the call that takes it away; no call: it goes away by itself."""

    words: str
    call: Optional[Callable[[], None]]


class Balancer:
    """The goals of one instance, through one dialect."""

    def __init__(self, dialect: Dialect, goals: Sequence[Goal]) -> None:
        self._dialect = dialect
        self._goals = list(goals)

    def differences(self) -> List[str]:
        """What `register` would change; reads every pool back."""
        return [one.words for goal in self._goals for one in self._registering(goal)]

    def register(self) -> None:
        """One attempt at each pool.

        Raises:
            TransientError: some pools are under change, or there was no answer.
            StepError: a pool is missing or ambiguous, or a call is refused.
        """
        self._act(self._registering)

    def undrained(self) -> List[str]:
        """What `drain` would change."""
        return [one.words for goal in self._goals for one in self._draining(goal)]

    def drain(self) -> None:
        """One attempt to end new sessions in each pool; the member stays. Errors as `register`."""
        self._act(self._draining)

    def left(self) -> List[str]:
        """What `remove` would change."""
        return [one.words for goal in self._goals for one in self._removing(goal)]

    def remove(self) -> None:
        """One attempt to take this instance, and nothing else, out of each pool. Errors as `register`.

        A load balancer takes a while to forget a member: it is out when `left` is empty.
        """
        self._act(self._removing)

    def _act(self, plan: Callable[[Goal], List[Action]]) -> None:
        busy: List[TransientError] = []
        done = 0
        for goal in self._goals:
            try:
                for action in plan(goal):
                    if action.call is not None:
                        action.call()
                        done += 1
            except ConflictError as error:
                # Other pools may be those of another load balancer.
                busy.append(error)
        if busy:
            raise TransientError("; ".join(error.message for error in busy), BUSY, progress=done > 0)

    def _registering(self, goal: Goal) -> List[Action]:
        pool, members = self._look(goal)
        # Two ports of the role may be in one pool.
        stale = [one for one in members
                 if self._named(one, goal) and not any(_at(one, other) for other in self._goals)]
        words = goal.place + ": a member of this instance has another address or port: {}:{}"
        actions = [self._removal(goal, pool, one, words.format(one.address, one.port)) for one in stale]
        ours = next((one for one in members if _at(one, goal)), None)
        what = "add {}:{} to {}".format(goal.address, goal.port, goal.place)
        if ours is None:
            return [*actions, Action("{}: no member {}:{}".format(goal.place, goal.address, goal.port),
                                     lambda: self._dialect.add(pool, goal, what))]
        if PENDING.match(ours.status):
            return [*actions, Action("{}: the member is {}".format(goal.place, ours.status), None)]
        if goal.subnet is not None and ours.subnet != goal.subnet and self._dialect.subnets:
            words = "{}: the member is in subnet {}, not {}".format(goal.place, ours.subnet, goal.subnet)
            return [*actions, self._removal(goal, pool, ours, words), Action(what, lambda: self._dialect.add(
                pool, goal, what))]
        fields = {name: getattr(goal, name) for name in self._dialect.tuned
                  if getattr(goal, name) != getattr(ours, name) and not (name == "name" and ours.name is None)}
        if not ours.up:
            fields["up"] = True
        said = ["{} is {}, not {}".format(name, getattr(ours, name), value) for name, value in sorted(fields.items())]
        if ours.status == "ERROR":
            # A change makes the load balancer try again.
            fields.setdefault("weight", goal.weight)
            said.append("status is ERROR")
        if fields:
            actions.append(self._change(goal, pool, ours, fields, ", ".join(said)))
        return actions

    def _draining(self, goal: Goal) -> List[Action]:
        name, value = self._dialect.drain
        actions = []
        for pool, one in self._ours(goal):
            if one.status == "PENDING_DELETE":
                continue
            if PENDING.match(one.status):
                actions.append(Action("{}: the member is {}".format(goal.place, one.status), None))
            elif getattr(one, name) != value:
                actions.append(self._change(goal, pool, one, {name: value}, "the member takes new sessions"))
        return actions

    def _removing(self, goal: Goal) -> List[Action]:
        actions = []
        for pool, one in self._ours(goal):
            words = "{}: member {}:{} is there".format(goal.place, one.address, one.port)
            if one.status == "PENDING_DELETE":
                actions.append(Action("{}, {}".format(words, one.status), None))
            else:
                actions.append(self._removal(goal, pool, one, words))
        return actions

    def _ours(self, goal: Goal) -> List[Tuple[str, Member]]:
        """Our members with their pool; a pool that is gone has none."""
        try:
            pool, members = self._look(goal)
        except NotFoundError:
            return []
        # Without a name it is who it says it is by its address; another's name on our address is another's member.
        return [(pool, one) for one in members if self._named(one, goal) or (not one.name and _at(one, goal))]

    def _named(self, member: Member, goal: Goal) -> bool:
        return self._dialect.names and member.name == goal.name

    def _change(self, goal: Goal, pool: str, member: Member, fields: Dict[str, Any], words: str) -> Action:
        what = "change {}:{} in {}".format(member.address, member.port, goal.place)
        return Action("{}: {}".format(goal.place, words),
                      lambda: self._dialect.change(pool, member.id, fields, what))

    def _removal(self, goal: Goal, pool: str, member: Member, words: str) -> Action:
        what = "remove {}:{} from {}".format(member.address, member.port, goal.place)

        def call() -> None:
            try:
                self._dialect.remove(pool, member.id, what)
            except NotFoundError:
                # Somebody else was faster.
                return

        return Action(words, call)

    def _look(self, goal: Goal) -> Tuple[str, List[Member]]:
        """A pool's id and its members.

        Raises:
            NotFoundError: there is no such pool.
            StepError: several have its name.
        """
        what = "look at {}".format(goal.place)
        hint = ("There is no such pool in the application credential's project: `openstack loadbalancer pool list`, "
                "and balancer.pools.{} of the site document.".format(goal.service))
        pool = goal.pool
        if not UUID.match(pool):
            found = self._dialect.pools(pool, what)
            if not found:
                raise NotFoundError("{}: no pool has this name".format(what), hint)
            if len(found) > 1:
                raise StepError("{}: {} pools have this name: {}".format(what, len(found), ", ".join(sorted(found))),
                                "Give the pool's id as balancer.pools.{}.".format(goal.service))
            pool = found[0]
        try:
            return pool, self._dialect.members(pool, what)
        except NotFoundError as error:
            raise NotFoundError(error.message, hint) from error


def goals(site: Dict[str, Any], ports: Sequence[Dict[str, Any]], instance: str, address: str) -> List[Goal]:
    """What a checked site document wants of an instance.

    Args:
        ports: of role.json.
        instance: its UUID.
        address: see `address.own`.
    """
    balancer = site["balancer"]
    made = []
    for port in ports:
        entry = balancer["pools"].get(port["name"])
        if entry is None:
            continue
        one: Dict[str, Any] = {"pool": entry} if isinstance(entry, str) else entry
        made.append(Goal(port["name"], one["pool"], PREFIX + instance, address, port["port"],
                         one.get("weight", balancer["weight"]), balancer.get("subnet"), one.get("monitor_port")))
    return made


def _at(member: Member, goal: Goal) -> bool:
    """Whether a member is at our address and port; an IPv6 address can be written in several ways."""
    return member.port == goal.port and ipaddress.ip_address(member.address) == ipaddress.ip_address(goal.address)
