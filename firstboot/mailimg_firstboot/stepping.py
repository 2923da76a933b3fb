"""Steps: what one is, and how many are carried out, at the same time where they do not need each other."""

from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from mailimg_firstboot import graph
from mailimg_firstboot.errors import (
    CutError,
    FirstbootError,
    GaveUpError,
    SignalError,
    StepError,
    TolerableError,
    TransientError,
)
from mailimg_firstboot.graph import Failure, Part
from mailimg_firstboot.host import Host
from mailimg_firstboot.report import Report
from mailimg_firstboot.waiting import LONGEST_WAIT, Clock, keep_trying
from mailimg_firstboot.work import Work


class Step(NamedTuple):
    """One step; see `steps`.

    Args:
        name: in events, status and messages.
        check: None, or the difference in words.
        apply: moves the machine to the goal.
        undo: takes it back.
        after: names of the steps that must have ended before this one begins; they stand before it.
        patience: seconds in which a difference may settle by itself after `apply`; 0: it must be gone at once.
        longest: cap of a single wait in seconds.
        needed: without it the run ends; otherwise a difference that stays, for whatever reason, becomes a warning.
        key: a key of the site document; its `deadline` takes the place of `patience`.
    """

    name: str
    check: Callable[[Host, Work], Optional[str]]
    apply: Callable[[Host, Work], None]
    undo: Callable[[Host, Work], None]
    after: Tuple[str, ...] = ()
    patience: float = 0.0
    longest: float = LONGEST_WAIT
    needed: bool = True
    key: str = ""


def parts(steps: Sequence[Step]) -> List[Part]:
    """The graph of the steps."""
    return [(step.name, step.after) for step in steps]


def only(steps: Sequence[Step], *names: str) -> Tuple[Step, ...]:
    """Some steps of a plan, without what they need of the others."""
    return tuple(step._replace(after=tuple(one for one in step.after if one in names))
                 for step in steps if step.name in names)


def run_steps(steps: Sequence[Step], host: Host, clock: Clock, report: Report, work: Work) -> Optional[Failure]:
    """Carry out all steps; None, or what ended them. Nothing runs any more then."""
    by_name = {step.name: step for step in steps}

    def cut() -> None:
        clock.cut()
        host.programs.cut()

    report.plan(parts(steps))
    try:
        return graph.Run(parts(steps), lambda name: run_step(by_name[name], host, clock, report, work), cut).go()
    finally:
        # Whoever cleans up runs programs, too.
        clock.mend()
        host.programs.mend()


def run_step(step: Step, host: Host, clock: Clock, report: Report, work: Work) -> None:
    """Ask, act, ask again.

    Raises:
        FirstbootError: the step did not reach its goal and the node needs it.
    """
    watch = _Watch(clock)
    begun = clock.now()
    attempts: List[str] = []
    refused = False

    def attempt() -> None:
        nonlocal refused
        # One that was refused is begun again as it is: it looks for itself, and a crowd that asks twice before each try
        # keeps an API from its work.
        difference = attempts[-1] if refused else step.check(host, work)
        if difference is None:
            return
        attempts.append(difference)
        refused = True
        step.apply(host, work)
        refused = False
        left = step.check(host, work)
        if left is not None:
            raise TransientError(left, progress=left != difference)

    def tell(state: str, message: str) -> None:
        report.step(step.name, state, clock.now() - begun, max(1, len(attempts)), message, watch.waited)

    tell("running", "")
    try:
        patience = float(work.site.get(step.key, {}).get("deadline", step.patience))
        keep_trying(attempt, watch, patience,
                    lambda words: report.waiting("{}: {}".format(step.name, words), step.name), step.longest)
    except CutError as error:
        tell("cut", error.message)
        raise
    except FirstbootError as error:
        if isinstance(error, TolerableError) or not (step.needed or isinstance(error, SignalError)):
            tell("warning", error.message)
            return
        tell("failed", error.message)
        if isinstance(error, GaveUpError):
            raise StepError(error.message, error.hint or "See `journalctl -b` for what the daemons say.") from error
        raise
    else:
        tell("done" if attempts else "clean", attempts[0] if attempts else "")


class _Watch(Clock):
    """A clock that sums up the seconds of its waits."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.waited = 0.0

    def now(self) -> float:
        return self._clock.now()

    def epoch(self) -> float:
        return self._clock.epoch()

    def spread(self, seconds: float) -> float:
        return self._clock.spread(seconds)

    def sleep(self, seconds: float) -> None:
        begun = self._clock.now()
        try:
            self._clock.sleep(seconds)
        finally:
            self.waited += self._clock.now() - begun
