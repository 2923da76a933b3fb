"""The way back out: from a node that serves to one that the platform knows nothing of, without losing a message.

What was done is not written down anywhere: each step asks the machine, the pools and the directory, as `steps` do. So a
run that was cut off is run again and finds its place, and a second one changes nothing.
"""

from typing import List, Optional

from mailimg_firstboot.errors import FirstbootError
from mailimg_firstboot.host import Host
from mailimg_firstboot.parting import flush, handover, intake, secrets, sessions
from mailimg_firstboot.preparing import Options, prepare, read_role
from mailimg_firstboot.report import Report
from mailimg_firstboot.stepping import Step, run_steps
from mailimg_firstboot.steps import assignment, balancer, certificate, join, services, storage
from mailimg_firstboot.waiting import Clock
from mailimg_firstboot.work import Work

# Seconds in which a pool under change or a domain controller may come back.
PEERS = 300.0


def steps(deadline: float, flushing: float, handing: float, force: bool = False) -> List[Step]:
    """The steps of leaving, each after the one before it. The order is what keeps mail from being lost.

    Args:
        deadline: seconds for sessions to end.
        flushing: seconds for the queue to empty itself.
        handing: seconds for siblings to take what is left.
        force: what cannot be done becomes a warning, and mail that nobody takes stays behind on the disk.
    """
    made = [
        Step("drain", balancer.drained, balancer.drain, balancer.apply, patience=PEERS, key="balancer"),
        # Its users log in anew, at those whose they are now. Without the storage nobody can be told: they find out.
        Step("assignment", assignment.left, assignment.undo, assignment.apply, patience=60.0, needed=False),
        Step("sessions", sessions.check, sessions.apply, sessions.undo, patience=deadline, longest=5.0, needed=False),
        Step("intake", intake.check, intake.apply, intake.undo),
        Step("flush", flush.check, flush.apply, flush.undo, patience=flushing, longest=10.0, needed=False),
        # Until here everything can be taken back by `apply`. What is left in the queue ends the run before the node
        # forgets who it is.
        Step("handover", handover.check, handover.apply, handover.undo, patience=handing, longest=10.0),
        Step("services", running, services.undo, services.apply),
        # Whoever used it is stopped; a server that is away must not keep the node from going.
        Step("storage", storage.left, storage.undo, storage.apply, needed=False),
        Step("member", balancer.left, balancer.undo, balancer.apply, patience=PEERS, key="balancer"),
        Step("account", account, join.undo, join.apply, patience=PEERS, longest=5.0),
        Step("certificate", certificate.check, certificate.undo, certificate.apply),
        Step("secrets", secrets.check, secrets.apply, secrets.undo),
    ]
    chained = [step._replace(after=tuple(one.name for one in made[:index][-1:])) for index, step in enumerate(made)]
    return [step._replace(needed=False) for step in chained] if force else chained


def running(host: Host, work: Work) -> Optional[str]:
    """The role's services that run, or would at the next connection."""
    found = [one.name for one in work.role.services
             if host.systemd.state(one.unit).active or host.systemd.triggers(one.unit)]
    return "{} run".format(", ".join(found)) if found else None


def account(host: Host, work: Work) -> Optional[str]:
    """Whether the machine still has the key of its computer account; it goes after the account."""
    return "the computer account is there" if "join" in work.site and host.domain.has_key() else None


def leave(
    host: Host, clock: Clock, report: Report, options: Options, deadline: Optional[float] = None, force: bool = False,
) -> None:
    """One whole run. A node that cannot leave keeps its account and its place in the pools, drained.

    Args:
        deadline: seconds for sessions to end; None: the site's.

    Raises:
        FirstbootError: what ended it.
    """
    doing = "image"
    try:
        role = read_role(host, options)
        report.about(role=role.role, distro=role.distro)
        doing = "metadata"
        work = prepare(host, clock, role, options._replace(leaving=True), report.note, report.waiting, report.note)
        report.about(instance=work.node.instance, services=work.services(), heat=work.site["leave"]["heat"])
        report.state("leaving", "{} {}".format(role.role, work.node.fqdn))
        times = work.site["leave"]
        failure = run_steps(steps(times["deadline"] if deadline is None else deadline, times["flush"],
                                  times["handover"], force), host, clock, report, work)
        if failure is not None:
            doing = failure.name
            raise failure.error
        report.left("{} {}".format(role.role, work.node.fqdn))
    except BaseException as error:
        report.failed(error if isinstance(error, FirstbootError) else FirstbootError(
            "unexpected {}: {}".format(type(error).__name__, error),
            "This is a defect of the agent: `journalctl -u mailimg-firstboot` has the traceback."), "leave: " + doing)
        raise
