"""A group of instances that wants to change one load balancer at once: the agent's waits, in a time of their own."""

import functools
import heapq
import itertools
import random
import threading
from typing import Any, List, Tuple

import pytest

from mailimg_firstboot.errors import GaveUpError, TransientError
from mailimg_firstboot.waiting import Clock, keep_trying

INSTANCES = 100
PATIENCE = 300.0
# Seconds of a change of the load balancer, of a call that is refused, and between the first and the last boot.
CHANGE, CALL, APART = 2.0, 0.1, 0.2


class World:
    """Time for many threads, of which one runs: it goes on when all sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = itertools.count()
        self._sleepers: List[Tuple[float, int, threading.Event]] = []
        self._quiet = threading.Event()

    def sleep(self, seconds: float) -> None:
        """Called by a thread of `live`."""
        wake = threading.Event()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), wake))
        self._quiet.set()
        wake.wait()

    def live(self, lives: List[Any]) -> None:
        """Run functions, each in a thread, to their ends."""
        def life(one: Any) -> None:
            one()
            self._quiet.set()

        threads = [threading.Thread(target=life, args=(one,), daemon=True) for one in lives]
        for thread in threads:
            self._quiet.clear()
            thread.start()
            self._quiet.wait()
        while self._sleepers:
            self.now, _, wake = heapq.heappop(self._sleepers)
            self._quiet.clear()
            wake.set()
            self._quiet.wait()
        for thread in threads:
            thread.join()


class WorldClock(Clock):
    """An agent's clock in it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def now(self) -> float:
        return self._world.now

    def sleep(self, seconds: float) -> None:
        self._world.sleep(seconds)


class InStep(WorldClock):
    """As it would be without scattered waits."""

    def spread(self, seconds: float) -> float:
        return seconds


def crowd(kind: Any) -> Tuple[int, int, float]:
    """How many gave up, how many tries were refused, and when the last change was done."""
    world = World()
    free, refused, gave_up = [0.0], [], []

    def instance(late: float) -> None:
        def attempt() -> None:
            if world.now < free[0]:
                world.sleep(CALL)
                refused.append(late)
                raise TransientError("409")
            free[0] = world.now + CHANGE

        world.sleep(late)
        try:
            keep_trying(attempt, kind(world), PATIENCE, lambda _: None)
        except GaveUpError:
            gave_up.append(late)

    world.live([functools.partial(instance, APART * number / INSTANCES) for number in range(INSTANCES)])
    return len(gave_up), len(refused), free[0]


@pytest.fixture(autouse=True)
def same_dice() -> None:
    random.seed(7)


def test_all_get_their_turn() -> None:
    gave_up, refused, seconds = crowd(WorldClock)
    assert gave_up == 0
    assert seconds < 1.3 * INSTANCES * CHANGE, "the load balancer is kept at work"
    assert refused < 20 * INSTANCES, "and not with refusing"


def test_in_step_they_would_not() -> None:
    gave_up, _, seconds = crowd(InStep)
    assert gave_up > INSTANCES / 10
    assert seconds >= PATIENCE
