"""Parts that need each other: order, parallel work, the first failure, an interrupted caller, the critical path."""

import threading
from typing import Callable, Dict, List, Optional

import pytest

from mailimg_firstboot import graph
from mailimg_firstboot.errors import SignalError, StepError
from mailimg_firstboot.graph import Failure, Part, Run, Span

PARTS: List[Part] = [("a", ()), ("b", ()), ("c", ("a",)), ("d", ("b", "c"))]

# Seconds in which what must happen happens; a test that hangs is ended by it.
SOON = 10.0


class Work:
    """Notes who began and ended; parts in `acts` do more."""

    def __init__(self, **acts: Callable[[], None]) -> None:
        self.acts = acts
        self.events: List[str] = []
        self.cut = threading.Event()
        self.cuts = 0

    def do(self, name: str) -> None:
        self.events.append("begin " + name)
        try:
            self.acts.get(name, lambda: None)()
        finally:
            self.events.append("end " + name)

    def end(self) -> None:
        self.cuts += 1
        self.cut.set()

    def go(self, parts: Optional[List[Part]] = None) -> Optional[Failure]:
        return Run(PARTS if parts is None else parts, self.do, self.end).go()


def test_what_is_needed_has_ended() -> None:
    work = Work()
    assert work.go() is None
    for name, needs in PARTS:
        for one in needs:
            assert work.events.index("end " + one) < work.events.index("begin " + name)
    assert len(work.events) == 2 * len(PARTS)
    assert work.cuts == 0


def test_nothing_to_do() -> None:
    assert Work().go([]) is None


def test_parts_run_at_the_same_time() -> None:
    """Each waits for the other: one after the other they would never end."""
    both = threading.Barrier(2, timeout=SOON)
    assert Work(a=lambda: both.wait() and None, b=lambda: both.wait() and None).go() is None


def test_the_first_failure_ends_the_whole() -> None:
    """What runs is cut and waited for, what needs the failed part never begins."""

    begun = threading.Event()

    def long() -> None:
        begun.set()
        assert work.cut.wait(SOON)
        raise StepError("was cut")

    def fail() -> None:
        assert begun.wait(SOON)
        raise StepError("no answer")

    work = Work(a=fail, b=long)
    failure = work.go()
    assert failure is not None
    assert failure.name == "a"
    assert str(failure.error) == "no answer"
    assert work.cuts == 1
    assert "end b" in work.events
    assert not {"begin c", "begin d"} & set(work.events)


def test_a_part_that_ends_well_after_a_failure_starts_nothing() -> None:
    begun = threading.Event()

    def long() -> None:
        begun.set()
        assert work.cut.wait(SOON)

    work = Work(a=lambda: begun.wait(SOON) and [][1], b=long)
    failure = work.go()
    assert failure is not None
    assert isinstance(failure.error, IndexError)
    assert work.events[-1] == "end b"


def test_an_interrupted_caller_waits_for_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a signal's handler does it: an exception out of the wait."""
    begun = threading.Event()

    def long() -> None:
        begun.set()
        assert work.cut.wait(SOON)

    work = Work(a=long, b=long)
    run = Run(PARTS, work.do, work.end)
    real = run._changed.wait

    def interrupted(timeout: Optional[float] = None) -> bool:
        monkeypatch.setattr(run._changed, "wait", real)
        run._changed.release()
        assert begun.wait(SOON)
        run._changed.acquire()
        raise SignalError("interrupted by SIGTERM")

    monkeypatch.setattr(run._changed, "wait", interrupted)
    failure = run.go()
    assert failure is not None
    assert isinstance(failure.error, SignalError)
    assert set(failure.name.split(", ")) <= {"a", "b"}
    assert run.running() == []
    assert work.cuts == 1
    assert not {"begin c", "begin d"} & set(work.events)
    assert sorted(one for one in work.events if one.startswith("end")) == sorted(
        one.replace("begin", "end") for one in work.events if one.startswith("begin"))


@pytest.mark.parametrize(("parts", "words"), [
    ([("a", ()), ("a", ())], ["a stands there twice"]),
    ([("a", ("b",)), ("b", ())], ["a needs b, which does not stand before it"]),
    ([("a", ("a",))], ["a needs a, which does not stand before it"]),
    (PARTS, []),
])
def test_problems(parts: List[Part], words: List[str]) -> None:
    assert graph.problems(parts) == words


def test_a_graph_with_problems_is_refused() -> None:
    """It would wait for ever for what is not in it."""
    with pytest.raises(ValueError, match="a needs b, which does not stand before it"):
        Run([("a", ("b",))], lambda _: None, lambda: None)


def test_ancestors() -> None:
    assert graph.ancestors(PARTS, "d") == {"a", "b", "c"}
    assert graph.ancestors(PARTS, "a") == set()


@pytest.mark.parametrize(("spans", "path"), [
    ({"a": (0, 1), "b": (0, 5), "c": (1, 2), "d": (5, 6)}, ["b", "d"]),
    ({"a": (0, 3), "b": (0, 1), "c": (3, 4), "d": (4, 6)}, ["a", "c", "d"]),
    ({"a": (0, 1), "b": (0, 9)}, ["b"]),
    ({}, []),
])
def test_critical_path(spans: Dict[str, List[float]], path: List[str]) -> None:
    assert graph.critical_path(PARTS, {name: Span(*one) for name, one in spans.items()}) == path
