"""A run: find out the goal, then bring the machine to it step by step, or stop it from taking mail."""

from typing import Any, Dict, List, Optional, Tuple

from mailimg_firstboot import rolefile, signalling, signatures
from mailimg_firstboot.errors import FirstbootError, LeavingError, SignalError
from mailimg_firstboot.host import Host
from mailimg_firstboot.metadata import DRAIN
from mailimg_firstboot.node import Node
from mailimg_firstboot.preparing import Options, prepare, read_role, settings
from mailimg_firstboot.report import Report
from mailimg_firstboot.stepping import Step, run_steps
from mailimg_firstboot.steps import (
    aside,
    assignment,
    balancer,
    certificate,
    databases,
    departure,
    health,
    hostname,
    join,
    render,
    selinux,
    services,
    storage,
    timesync,
    volume,
)
from mailimg_firstboot.steps import clock as clock_step
from mailimg_firstboot.waiting import Clock
from mailimg_firstboot.work import Work

# Each begins when those it comes `after` have ended: the files and all that the daemons may use before they start,
# proof after that, the pools last. What needs nothing of each other runs at the same time.
STEPS: Tuple[Step, ...] = (
    Step("hostname", hostname.check, hostname.apply, hostname.undo),
    Step("selinux", selinux.check, selinux.apply, selinux.undo),
    Step("clock", clock_step.check, clock_step.apply, clock_step.undo),
    # A stack attaches a volume after it has booted the server.
    Step("volume", volume.check, volume.apply, volume.undo, patience=600.0, longest=5.0),
    # A stack starts the storage server along with this one, and formats its volume first.
    Step("storage", storage.check, storage.apply, storage.undo, patience=900.0, longest=10.0),
    # Before Dovecot runs: with the table of before the boot it would work on mail that others work on by now.
    Step("aside", aside.check, aside.apply, aside.undo, ("storage",), patience=120.0),
    Step("certificate", certificate.check, certificate.apply, certificate.undo),
    Step("render", render.check, render.apply, render.undo),
    # Controllers that restart, a clock that is about to be set, an account that is preset once the server has its id.
    # Its programs read files of `render`, and give the host's name; Kerberos needs the time.
    Step("join", join.check, join.apply, join.undo, ("hostname", "clock", "render"), patience=300.0, longest=5.0),
    Step("databases", databases.check, databases.apply, databases.undo, ("hostname", "selinux", "render")),
    Step("services", services.check, services.apply, services.undo,
         ("hostname", "selinux", "clock", "volume", "storage", "aside", "certificate", "render", "join",
          "databases")),
    # Nobody is sent mail before the node knows how to leave.
    Step("departure", departure.check, departure.apply, departure.undo, ("services",)),
    # iburst needs about 8 s for a first fix; a server that is out of reach delays every boot by all of it. The daemons
    # start meanwhile, and load their databases.
    Step("timesync", timesync.check, timesync.apply, timesync.undo, ("clock",), patience=10.0, longest=1.0,
         needed=False),
    # clamd reads a full virus database for a minute or more on a busy host; a short cap notices the end soon.
    Step("health", health.check, health.apply, health.undo, ("services",), patience=300.0, longest=2.0),
    # What comes for its users from now on is passed on to this server; so it serves, and is in no pool yet.
    Step("assignment", assignment.check, assignment.apply, assignment.undo, ("health",), patience=120.0),
    # A load balancer under change refuses others for seconds, and a whole group of instances boots at once: long waits
    # keep it from answering refusals instead of working (docs/scaling.md).
    Step("balancer", balancer.check, balancer.apply, balancer.undo, ("health", "departure", "assignment"),
         patience=300.0, key="balancer"),
)


def apply(host: Host, clock: Clock, report: Report, options: Options, steps: Tuple[Step, ...] = STEPS) -> Work:
    """One whole run. Whatever ends it early leaves the instance taking no mail and says so in the report.

    Raises:
        LeavingError: the metadata says that the node is to leave; nothing was done.
        FirstbootError: what ended it.
    """
    role: Optional[rolefile.RoleFile] = None
    work: Optional[Work] = None
    doing = "image"
    try:
        role = read_role(host, options)
        report.about(role=role.role, distro=role.distro)
        doing = "metadata"
        work = prepare(host, clock, role, options, report.note, report.waiting, report.warn)
        report.about(instance=work.node.instance, signatures=signatures.watched(work),
                     certificate=certificate_status(work, clock), services=work.services(),
                     storage=storage_status(work), heat=work.site["leave"]["heat"])
        if work.order == DRAIN and not options.anyway:
            raise LeavingError("the server's metadata says mailimg:state={}".format(DRAIN))
        report.state("running", "{} {}".format(role.role, work.node.fqdn))
        failure = run_steps(steps, host, clock, report, work)
        if failure is not None:
            doing = failure.name
            raise failure.error
        report.ready("{} {} after {:.1f} s".format(role.role, work.node.fqdn, host.uptime()))
        signalling.send(work.site, trust(role), work.node.instance, True, "ready", clock, report.warn)
    except LeavingError:
        # Neither stopped nor failed: it goes the way out, wherever on it it is.
        raise
    except BaseException as error:
        known = error if isinstance(error, FirstbootError) else FirstbootError(
            "unexpected {}: {}".format(type(error).__name__, error),
            "This is a defect of the agent: `journalctl -u mailimg-firstboot` has the traceback.")
        if role is not None:
            _stop(host, role, report)
        report.failed(known, doing)
        if role is not None and not isinstance(error, SignalError):
            site, me = (work.site, work.node) if work else _whom_to_tell(host, clock, role, options)
            if me is not None:
                signalling.send(site, trust(role), me.instance, False, "{}: {}".format(doing, known.message), clock,
                                report.warn)
        raise
    return work


def _whom_to_tell(host: Host, clock: Clock, role: rolefile.RoleFile,
                  options: Options) -> Tuple[Dict[str, Any], Optional[Node]]:
    """Site document and node for a signal when secrets could not be opened; nobody, if the documents are wrong."""
    try:
        return settings(host, clock, role, options._replace(patience=0.0), "signal")
    except FirstbootError:
        return {}, None


def trust(role: rolefile.RoleFile) -> str:
    """The system's trust store."""
    return str(role.facts.get("trust", {}).get("bundle", ""))


def certificate_status(work: Work, clock: Clock) -> Optional[Dict[str, Any]]:
    """What status.json holds of the layer's certificate."""
    found = work.certificate
    return found.status(clock.epoch(), work.site["tls"]["warn_days"]) if found else None


def storage_status(work: Work) -> Optional[Dict[str, Any]]:
    """What status.json holds of shared storage: what is to be mounted."""
    place = work.role.mount
    return None if place is None else dict(storage.wanted(work, place)._asdict())


def differences(host: Host, work: Work) -> List[Tuple[str, str]]:
    """What a run would change or not be content with, as (step, words); changes nothing."""
    found = [(step.name, step.check(host, work)) for step in STEPS if step.needed]
    return [(name, words) for name, words in found if words is not None]


def _stop(host: Host, role: rolefile.RoleFile, report: Report) -> None:
    try:
        services.stop(host, role)
    except FirstbootError as error:
        report.warn(error.message)
