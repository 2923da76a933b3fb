"""Work whose parts need each other: what is ready runs at the same time, and the first failure ends the whole.

Nothing here knows steps, the machine or a clock.
"""

import threading
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

# A name and the names that must have ended well before it begins.
Part = Tuple[str, Sequence[str]]


class Failure(NamedTuple):
    """What ended the whole: the part that failed, or the parts that ran when the caller was interrupted."""

    name: str
    error: BaseException


def problems(parts: Sequence[Part]) -> List[str]:
    """What is wrong with a graph: a name that stands there twice, a need that does not stand before who needs it."""
    found, seen = [], []  # type: List[str], List[str]
    for name, needs in parts:
        if name in seen:
            found.append("{} stands there twice".format(name))
        found.extend("{} needs {}, which does not stand before it".format(name, one)
                     for one in needs if one not in seen)
        seen.append(name)
    return found


def ancestors(parts: Sequence[Part], name: str) -> Set[str]:
    """All that has ended well when a part begins."""
    needs = dict(parts)
    found: Set[str] = set()
    todo = list(needs[name])
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo.extend(needs[one])
    return found


class Run:
    """One run of a graph.

    Args:
        parts: in an order in which they could run one after the other; see `problems`.
        work: does the part of a name, in a thread of its own.
        cut: is called once, when a part failed or the caller was interrupted: makes running parts end soon.

    Raises:
        ValueError: `problems` finds something; such a graph would wait for ever.
    """

    def __init__(self, parts: Sequence[Part], work: Callable[[str], None], cut: Callable[[], None]) -> None:
        found = problems(parts)
        if found:
            raise ValueError("; ".join(found))
        self._parts = list(parts)
        self._work = work
        self._cut = cut
        self._changed = threading.Condition()
        self._begun: Set[str] = set()
        self._running: List[str] = []
        self._done: Set[str] = set()
        self._failed: Dict[str, BaseException] = {}
        self._first = ""
        self._ending = False

    def running(self) -> List[str]:
        """The parts that are at work now."""
        with self._changed:
            return list(self._running)

    def go(self) -> Optional[Failure]:
        """Run everything; None, or what ended it early. Nothing runs any more then.

        What interrupts the caller's thread (a signal's handler that raises) is such an end, too.
        """
        try:
            with self._changed:
                while not self._failed and len(self._done) < len(self._parts):
                    self._begin()
                    self._changed.wait()
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            interrupted = Failure(", ".join(self.running()), error)
            self._end()
            return interrupted
        if self._failed:
            self._end()
            return Failure(self._first, self._failed[self._first])
        return None

    def _begin(self) -> None:
        for name, needs in self._parts:
            if name not in self._begun and self._done.issuperset(needs):
                self._begun.add(name)
                # daemon: a part that cannot be cut never keeps the process alive.
                threading.Thread(target=self._do, args=(name,), name=name, daemon=True).start()

    def _do(self, name: str) -> None:
        with self._changed:
            # Says itself that it runs: whoever starts it may be interrupted before it could note that down.
            if self._ending:
                return
            self._running.append(name)
        failure: Optional[BaseException] = None
        try:
            self._work(name)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            failure = error
        with self._changed:
            self._running.remove(name)
            if failure is None:
                self._done.add(name)
            else:
                self._failed[name] = failure
                self._first = self._first or name
            self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            self._ending = True
        self._cut()
        with self._changed:
            while self._running:
                self._changed.wait()


class Span(NamedTuple):
    """When a part began and ended, in seconds on any clock."""

    begin: float
    end: float


def critical_path(parts: Sequence[Part], spans: Dict[str, Span]) -> List[str]:
    """The chain of parts that decided when the last one ended, in order.

    Backwards from the part that ended last: before each the one of its needs that ended last.
    """
    needs = dict(parts)
    path: List[str] = []
    left = [name for name, _ in parts if name in spans]
    while left:
        path.append(max(left, key=lambda name: spans[name].end))
        left = [name for name in needs[path[-1]] if name in spans]
    return path[::-1]
