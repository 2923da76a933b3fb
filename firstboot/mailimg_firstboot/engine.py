"""A run: find out the goal, then bring the machine to it step by step, or stop it from taking mail."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from mailimg_firstboot import cautions, certificates, node, rendering, rolefile, secret, signatures, site, sources
from mailimg_firstboot.errors import (
    DocumentError,
    FirstbootError,
    GaveUpError,
    StepError,
    TolerableError,
    TransientError,
)
from mailimg_firstboot.host import Host
from mailimg_firstboot.report import Report
from mailimg_firstboot.steps import (
    balancer,
    certificate,
    databases,
    health,
    hostname,
    join,
    render,
    selinux,
    services,
    timesync,
    volume,
)
from mailimg_firstboot.steps import clock as clock_step
from mailimg_firstboot.tls import forms
from mailimg_firstboot.waiting import LONGEST_WAIT, Clock, keep_trying
from mailimg_firstboot.work import Work

LOCK = "/run/mailimg/lock"


class Step(NamedTuple):
    """One step; see `steps`.

    Args:
        name: in events, status and messages.
        check: None, or the difference in words.
        apply: moves the machine to the goal.
        undo: takes it back.
        patience: seconds in which a difference may settle by itself after `apply`; 0: it must be gone at once.
        longest: cap of a single wait in seconds.
        needed: without it the node does not serve; otherwise a difference that stays becomes a warning.
        key: a key of the site document; its `deadline` takes the place of `patience`.
    """

    name: str
    check: Callable[[Host, Work], Optional[str]]
    apply: Callable[[Host, Work], None]
    undo: Callable[[Host, Work], None]
    patience: float = 0.0
    longest: float = LONGEST_WAIT
    needed: bool = True
    key: str = ""


# The order is meaning: what the daemons may do, and their files, before they start; proof last. A clock takes seconds
# to follow its servers, so it is asked for when the daemons have started and load their databases.
STEPS: Tuple[Step, ...] = (
    Step("hostname", hostname.check, hostname.apply, hostname.undo),
    Step("selinux", selinux.check, selinux.apply, selinux.undo),
    Step("clock", clock_step.check, clock_step.apply, clock_step.undo),
    # A stack attaches a volume after it has booted the server.
    Step("volume", volume.check, volume.apply, volume.undo, patience=600.0, longest=5.0),
    Step("certificate", certificate.check, certificate.apply, certificate.undo),
    Step("render", render.check, render.apply, render.undo),
    # Controllers that restart, a clock that is about to be set, an account that is preset once the server has its id.
    Step("join", join.check, join.apply, join.undo, patience=300.0, longest=5.0),
    Step("databases", databases.check, databases.apply, databases.undo),
    Step("services", services.check, services.apply, services.undo),
    # iburst needs about 8 s for a first fix; a server that is out of reach delays every boot by all of it.
    Step("timesync", timesync.check, timesync.apply, timesync.undo, patience=10.0, longest=1.0, needed=False),
    # clamd reads a full virus database for a minute or more on a busy host; a short cap notices the end soon.
    Step("health", health.check, health.apply, health.undo, patience=300.0, longest=2.0),
    # A load balancer under change refuses others for seconds, and a whole group of instances boots at once.
    Step("balancer", balancer.check, balancer.apply, balancer.undo, patience=300.0, longest=5.0, key="balancer"),
)


class Options(NamedTuple):
    """Where a run finds its documents, and how many seconds it waits for a late metadata service or another source.

    Args:
        certificate_patience: the wait for a certificate of a node that can serve with the kept one.
    """

    role_file: str = "/etc/mailimg/role.json"
    templates: str = "/usr/share/mailimg/templates"
    patience: float = 300.0
    url: str = sources.SERVICE
    certificate_patience: float = certificates.SHORT_PATIENCE


def read_role(host: Host, options: Options) -> rolefile.RoleFile:
    """role.json of the image.

    Raises:
        DocumentError: it is missing or wrong.
    """
    content = host.read(options.role_file)
    if content is None:
        raise DocumentError(["{}: missing".format(options.role_file)],
                            "This is no image of `mailimg build`, or --role-file names another place.")
    return rolefile.load(content, options.role_file)


def prepare(
    host: Host, clock: Clock, role: rolefile.RoleFile, options: Options, note: Callable[[str], None],
    wait: Callable[[str], None], warn: Callable[[str], None],
) -> Work:
    """Everything that is decided before anything is done: metadata, site document, secrets, files.

    Raises:
        DocumentError: a document is wrong.
        FirstbootError: there is no metadata.
    """
    found = sources.find(host, clock, options.patience, note, wait, options.url)
    checked = site.load(found.document, role)
    me = node.make(found.hostname, found.instance, checked, role)

    def from_barbican(document: Dict[str, Any], reference: str) -> bytes:
        return host.cloud.secrets(document, role).payload(reference)

    # Barbican may be late as the metadata service may.
    resolved = keep_trying(lambda: secret.resolve(checked, lambda path: _secret_file(host, path), from_barbican),
                           clock, options.patience, wait)
    full = resolved.site
    found_one = certificates.obtain(host, clock, full, role, options.patience, wait, options.certificate_patience)
    said = found_one.warnings(clock.epoch(), full["tls"]["warn_days"]) if found_one else []
    for words in resolved.warnings + cautions.of(role, full) + said:
        warn(words)
    full = forms.filled(full, found_one.bundle) if found_one else forms.unfetched(full)
    files = rendering.render_all(role, full, me, str(host.path(options.templates)))
    return Work(role, full, me, files, found_one)


def apply(host: Host, clock: Clock, report: Report, options: Options, steps: Tuple[Step, ...] = STEPS) -> Work:
    """One whole run. Whatever ends it early leaves the instance taking no mail and says so in the report.

    Raises:
        FirstbootError: what ended it.
    """
    role: Optional[rolefile.RoleFile] = None
    doing = "image"
    try:
        role = read_role(host, options)
        report.about(role=role.role, distro=role.distro)
        doing = "metadata"
        work = prepare(host, clock, role, options, report.note, report.waiting, report.warn)
        report.about(instance=work.node.instance, signatures=signatures.watched(work),
                     certificate=certificate_status(work, clock))
        report.state("running", "{} {}".format(role.role, work.node.fqdn))
        for step in steps:
            doing = step.name
            run_step(step, host, clock, report, work)
        report.ready("{} {} after {:.1f} s".format(role.role, work.node.fqdn, host.uptime()))
    except BaseException as error:
        known = error if isinstance(error, FirstbootError) else FirstbootError(
            "unexpected {}: {}".format(type(error).__name__, error),
            "This is a defect of the agent: `journalctl -u mailimg-firstboot` has the traceback.")
        if role is not None:
            _stop(host, role, report)
        report.failed(known, doing)
        raise
    return work


def run_step(step: Step, host: Host, clock: Clock, report: Report, work: Work) -> None:
    """Ask, act, ask again.

    Raises:
        FirstbootError: the step did not reach its goal and the node needs it.
    """
    begun = clock.now()
    attempts: List[str] = []

    def attempt() -> None:
        difference = step.check(host, work)
        if difference is None:
            return
        attempts.append(difference)
        step.apply(host, work)
        left = step.check(host, work)
        if left is not None:
            raise TransientError(left, progress=left != difference)

    def tell(state: str, message: str) -> None:
        report.step(step.name, state, clock.now() - begun, max(1, len(attempts)), message)

    tell("running", "")
    try:
        patience = float(work.site.get(step.key, {}).get("deadline", step.patience))
        keep_trying(attempt, clock, patience, lambda words: report.waiting("{}: {}".format(step.name, words)),
                    step.longest)
    except (TolerableError, GaveUpError) as error:
        if step.needed and not isinstance(error, TolerableError):
            tell("failed", error.message)
            raise StepError(error.message, error.hint or "See `journalctl -b` for what the daemons say.") from error
        tell("warning", error.message)
    except FirstbootError as error:
        tell("failed", error.message)
        raise
    else:
        tell("done" if attempts else "clean", attempts[0] if attempts else "")


def certificate_status(work: Work, clock: Clock) -> Optional[Dict[str, Any]]:
    """What status.json holds of the layer's certificate."""
    found = work.certificate
    return found.status(clock.epoch(), work.site["tls"]["warn_days"]) if found else None


def differences(host: Host, work: Work) -> List[Tuple[str, str]]:
    """What a run would change or not be content with, as (step, words); changes nothing."""
    found = [(step.name, step.check(host, work)) for step in STEPS if step.needed]
    return [(name, words) for name, words in found if words is not None]


def _stop(host: Host, role: rolefile.RoleFile, report: Report) -> None:
    try:
        services.stop(host, role)
    except FirstbootError as error:
        report.warn(error.message)


def _secret_file(host: Host, path: str) -> bytes:
    content = host.read(path)
    if content is None:
        raise FileNotFoundError(2, "no such file")
    return content
