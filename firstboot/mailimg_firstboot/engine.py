"""A run: find out the goal, then bring the machine to it step by step, or stop it from taking mail."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from mailimg_firstboot import cautions, node, rendering, rolefile, secret, signatures, site, sources
from mailimg_firstboot.errors import DocumentError, FirstbootError
from mailimg_firstboot.host import Host
from mailimg_firstboot.report import Report
from mailimg_firstboot.stepping import Step, run_steps
from mailimg_firstboot.steps import (
    balancer,
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
from mailimg_firstboot.waiting import Clock, keep_trying
from mailimg_firstboot.work import Work

LOCK = "/run/mailimg/lock"


# Each begins when those it comes `after` have ended: the files and all that the daemons may use before they start,
# proof after that, the pools last. What needs nothing of each other runs at the same time.
STEPS: Tuple[Step, ...] = (
    Step("hostname", hostname.check, hostname.apply, hostname.undo),
    Step("selinux", selinux.check, selinux.apply, selinux.undo),
    Step("clock", clock_step.check, clock_step.apply, clock_step.undo),
    # A stack attaches a volume after it has booted the server.
    Step("volume", volume.check, volume.apply, volume.undo, patience=600.0, longest=5.0),
    Step("render", render.check, render.apply, render.undo),
    # Controllers that restart, a clock that is about to be set, an account that is preset once the server has its id.
    # Its programs read files of `render`, and give the host's name; Kerberos needs the time.
    Step("join", join.check, join.apply, join.undo, ("hostname", "clock", "render"), patience=300.0, longest=5.0),
    Step("databases", databases.check, databases.apply, databases.undo, ("hostname", "selinux", "render")),
    Step("services", services.check, services.apply, services.undo,
         ("hostname", "selinux", "clock", "volume", "render", "join", "databases")),
    # iburst needs about 8 s for a first fix; a server that is out of reach delays every boot by all of it. The daemons
    # start meanwhile, and load their databases.
    Step("timesync", timesync.check, timesync.apply, timesync.undo, ("clock",), patience=10.0, longest=1.0,
         needed=False),
    # clamd reads a full virus database for a minute or more on a busy host; a short cap notices the end soon.
    Step("health", health.check, health.apply, health.undo, ("services",), patience=300.0, longest=2.0),
    # A load balancer under change refuses others for seconds, and a whole group of instances boots at once.
    Step("balancer", balancer.check, balancer.apply, balancer.undo, ("health",), patience=300.0, longest=5.0,
         key="balancer"),
)


class Options(NamedTuple):
    """Where a run finds its documents, and how many seconds it waits for a late metadata service."""

    role_file: str = "/etc/mailimg/role.json"
    templates: str = "/usr/share/mailimg/templates"
    patience: float = 300.0
    url: str = sources.SERVICE


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
    for words in resolved.warnings + cautions.of(role, resolved.site):
        warn(words)
    files = rendering.render_all(role, resolved.site, me, str(host.path(options.templates)))
    return Work(role, resolved.site, me, files)


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
        report.about(instance=work.node.instance, signatures=signatures.watched(work))
        report.state("running", "{} {}".format(role.role, work.node.fqdn))
        failure = run_steps(steps, host, clock, report, work)
        if failure is not None:
            doing = failure.name
            raise failure.error
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
