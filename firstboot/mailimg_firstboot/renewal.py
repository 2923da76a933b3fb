"""Fetch the layer's certificate again, and hand a new one to the daemons that use it, and to no other.

What else a site document says now is the business of `apply`: here only the files that hold the certificate or its key
are written, and only daemons that run and read these files are reloaded, if the files changed since they read them.
"""

from typing import Callable, List

from mailimg_firstboot import engine, loaded, preparing, report
from mailimg_firstboot.certificates import Certificate
from mailimg_firstboot.errors import FirstbootError
from mailimg_firstboot.host import Host
from mailimg_firstboot.rendering import RenderedFile
from mailimg_firstboot.steps import assignment as assignment_step
from mailimg_firstboot.steps import certificate as certificate_step
from mailimg_firstboot.steps import render
from mailimg_firstboot.tls import checks
from mailimg_firstboot.waiting import Clock
from mailimg_firstboot.work import Work

HINT = "The daemons keep the certificate that they have. Correct the source, then `mailimg-firstboot renew`."


def renew(host: Host, clock: Clock, options: preparing.Options, say: Callable[[str], None]) -> None:
    """One renewal.

    Args:
        say: is told what is waited for and what was done.

    Raises:
        FirstbootError: there is no new certificate that is good; the daemons go on with the one they have.
    """
    if (report.read_status(host) or {}).get("state") in ("leaving", "left"):
        say("not renewed: the node leaves, or has left")
        return
    role = preparing.read_role(host, options)
    # Nothing is in a hurry here: the node serves.
    options = options._replace(certificate_patience=options.patience)
    try:
        # Of what else is to be warned, the last run has told.
        work = preparing.prepare(host, clock, role, options, _silent, say, _silent)
    except FirstbootError as error:
        before = (report.read_status(host) or {}).get("certificate")
        if before:
            report.amend(host, clock, certificate=dict(before, warning="certificate: not renewed: " + error.message))
        raise
    found = work.certificate
    if found is None:
        say("no certificate: the site document names none, or the role has no use for one")
        return
    if certificate_step.check(host, work):
        certificate_step.apply(host, work)
    assignment_step.renewed(host, work)
    changed = _install(host, work, found)
    reloaded = _reload(host, work, found)
    report.amend(host, clock, certificate=engine.certificate_status(work, clock))
    words = "certificate of {} until {}, from {}".format(
        ", ".join(found.seen.names) or "(no names)", checks.stamp(found.seen.ends), found.source)
    if found.refused is not None:
        host.console("mailimg: warning: certificate not renewed")
        raise FirstbootError("{}; kept: {}".format(found.refused, words), HINT)
    for warning in found.warnings(clock.epoch(), work.site["tls"]["warn_days"]):
        say("warning: " + warning)
        host.console("mailimg: warning: " + warning)
    say("{}: {}".format(words, "installed as {}, reloaded {}".format(
        ", ".join(changed) or "before", ", ".join(reloaded) or "nothing") if changed or reloaded else "unchanged"))


def files(work: Work, found: Certificate) -> List[RenderedFile]:
    """Those of the role's files that hold the certificate or its key."""
    parts = [found.bundle.certificate.strip().encode("ascii"), found.bundle.key.reveal().strip().encode("ascii")]
    return [one for one in work.files if any(part in one.content for part in parts)]


def _install(host: Host, work: Work, found: Certificate) -> List[str]:
    """Write what differs, as the step `render` does; returns the paths."""
    mine = work._replace(files=files(work, found))
    changed = [one.path for one in mine.files if render.difference(host, one)]
    if changed:
        render.apply(host, mine)
    return changed


def _reload(host: Host, work: Work, found: Certificate) -> List[str]:
    """Reload what runs with other files than there are now; returns the services' names.

    A run that was killed after it had written is so made good by the next.
    """
    users = {one.service for one in files(work, found)}
    reloaded = []
    for service in work.role.services:
        if service.name not in users or not service.wanted(work.site) or not host.systemd.state(service.unit).active:
            continue
        digest = loaded.of_service(host, work.files, service.name)
        if not loaded.has(host, service.unit, digest):
            host.systemd.reload(service.unit)
            loaded.remember(host, service.unit, digest)
            reloaded.append(service.name)
    return reloaded


def _silent(_words: str) -> None:
    """Drop what the last run has told already."""
