"""Units, through systemctl."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from mailimg_firstboot.errors import StepError

# Seconds for a unit to start or stop: clamd reads a full database for a minute on a busy host.
START_TIMEOUT = 300.0
SHOW_TIMEOUT = 30.0
# To read all unit files again: 4 s on an emulated machine, more than 30 s on one that had a third of a core.
READ_TIMEOUT = 120.0


class UnitState(NamedTuple):
    """A unit: whether systemd knows it, whether it runs, and systemd's own words for that."""

    known: bool
    active: bool
    words: str


class Systemd:
    """The machine's units; `run` is `Host.run`."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self._run = run

    def state(self, unit: str) -> UnitState:
        """What systemd says of a unit."""
        argv = ["systemctl", "show", "-p", "LoadState", "-p", "ActiveState", "-p", "SubState", "-p", "Result",
                "-p", "ConditionResult", "-p", "ConditionTimestampMonotonic", unit]
        shown = self._run(argv, "ask for the state of {}".format(unit), SHOW_TIMEOUT)
        fields = dict(line.partition("=")[::2] for line in shown.out.decode("utf-8", "replace").splitlines())
        words = "{} ({})".format(fields.get("ActiveState", "unknown"), fields.get("SubState", "unknown"))
        if fields.get("Result", "success") != "success":
            words += ", result " + fields["Result"]
        # ConditionResult is "no" before the first start, too; only a time says that it was looked at.
        asked = fields.get("ConditionTimestampMonotonic", "0") != "0"
        if asked and fields.get("ConditionResult") == "no" and fields.get("ActiveState") == "inactive":
            words += ", a condition of the unit does not hold"
        active = fields.get("ActiveState") in ("active", "reloading")
        return UnitState(fields.get("LoadState") == "loaded", active, words)

    def active_since(self, units: Sequence[str], patience: float = SHOW_TIMEOUT) -> Dict[str, Optional[float]]:
        """Since when units are active, in seconds of CLOCK_MONOTONIC; None for one that is not."""
        argv = ["systemctl", "show", "-p", "ActiveState", "-p", "ActiveEnterTimestampMonotonic", *units]
        shown = self._run(argv, "ask for the state of the role's units", patience)
        return active(shown.out.decode("utf-8", "replace"), units)

    def start(self, unit: str) -> None:
        """Start a unit and wait until systemd calls it started."""
        self._order("start", unit)

    def reload(self, unit: str) -> None:
        """Make a running unit read its files again: reload where it can, restart where it cannot."""
        self._order("reload-or-restart", unit)

    def restart(self, unit: str) -> None:
        """Restart a unit."""
        self._order("restart", unit)

    def stop(self, unit: str) -> None:
        """Stop a unit and wait until it has stopped."""
        self._order("stop", unit)

    def triggers(self, unit: str) -> List[str]:
        """Active units that would start it again: a socket, when somebody connects to it."""
        argv = ["systemctl", "show", "-p", "TriggeredBy", unit]
        shown = self._run(argv, "ask what starts {}".format(unit), SHOW_TIMEOUT)
        names = shown.out.decode("utf-8", "replace").partition("=")[2].split()
        return [name for name in names if self.state(name).active]

    def jobs(self) -> List[str]:
        """Units that systemd is about to start."""
        shown = self._run(["systemctl", "list-jobs", "--no-legend", "--full"], "ask for systemd's jobs", SHOW_TIMEOUT)
        rows = [line.split() for line in shown.out.decode("utf-8", "replace").splitlines()]
        return [row[1] for row in rows if row[2:3] == ["start"]]

    def reread(self) -> None:
        """Make systemd read unit files that were written or removed."""
        self._run(["systemctl", "daemon-reload"], "make systemd read its units again", READ_TIMEOUT)

    def _order(self, order: str, unit: str) -> None:
        what = "{} {}".format(order, unit)
        try:
            try:
                self._run(["systemctl", order, unit], what, START_TIMEOUT)
            except StepError:
                # systemd counts our orders together with a daemon's crashes; a few runs in a row are not a crash loop.
                if "start-limit" not in self.state(unit).words:
                    raise
                self._run(["systemctl", "reset-failed", unit], "reset " + unit, SHOW_TIMEOUT)
                self._run(["systemctl", order, unit], what, START_TIMEOUT)
        except StepError as error:
            hint = "See `systemctl status {0}` and `journalctl -u {0}`.".format(unit)
            raise StepError(error.message, hint) from error


def active(text: str, units: Sequence[str]) -> Dict[str, Optional[float]]:
    """What `active_since` returns, of what systemctl showed: a block for each unit, in the order of the question.

    Raises:
        ValueError: there are more blocks or fewer.
    """
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines())
              for block in text.strip().split("\n\n")] if units else []
    if len(blocks) != len(units):
        raise ValueError("systemctl showed {} of {} units".format(len(blocks), len(units)))
    found = {}
    for index, fields in enumerate(blocks):
        runs = fields.get("ActiveState") in ("active", "reloading")
        found[units[index]] = int(fields.get("ActiveEnterTimestampMonotonic", "0")) / 1e6 if runs else None
    return found
