"""The role's daemons. Disabled in the image: only the agent starts them, in role.json's order, on every boot."""

from typing import List, Optional

from mailimg_firstboot import loaded
from mailimg_firstboot.errors import FirstbootError, StepError
from mailimg_firstboot.host import Host
from mailimg_firstboot.rolefile import RoleFile
from mailimg_firstboot.work import Work


def check(host: Host, work: Work) -> Optional[str]:
    """Compare what runs, and whether it has read its files as they are now."""
    found = []
    for service in work.role.services:
        state = host.systemd.state(service.unit)
        if not service.wanted(work.site):
            if state.active:
                found.append("{}: runs, and the site document has no use for it".format(service.name))
        elif not state.known:
            found.append("{}: {} is no unit of this image".format(service.name, service.unit))
        elif not state.active:
            found.append("{}: {} is {}".format(service.name, service.unit, state.words))
        elif not loaded.has(host, service.unit, loaded.of_service(host, work.files, service.name)):
            found.append("{}: runs with other files than there are now".format(service.name))
    return "; ".join(found) or None


def apply(host: Host, work: Work) -> None:
    """Start what does not run; reload what runs with other files; stop what the site has no use for.

    Raises:
        StepError: a unit is missing or does not start.
    """
    for service in work.role.services:
        files = loaded.of_service(host, work.files, service.name)
        state = host.systemd.state(service.unit)
        if not service.wanted(work.site):
            if state.active:
                host.systemd.stop(service.unit)
            loaded.forget(host, service.unit)
            continue
        if not state.known:
            raise StepError("start {}: {} is no unit of this image".format(service.name, service.unit),
                            "The image was built without it; see `daemons` in the distribution's distro.yaml.")
        if state.active and loaded.has(host, service.unit, files):
            continue
        if state.active:
            host.systemd.reload(service.unit)
        else:
            host.systemd.start(service.unit)
        # A unit whose condition does not hold is "started" without an error and without a process.
        state = host.systemd.state(service.unit)
        if not state.active:
            raise StepError("start {}: {} is {}".format(service.name, service.unit, state.words),
                            "See `systemctl status {0}` and `journalctl -u {0}`.".format(service.unit))
        loaded.remember(host, service.unit, files)


def undo(host: Host, work: Work) -> None:
    """Stop everything."""
    stop(host, work.role)


def stop(host: Host, role: RoleFile) -> None:
    """Stop every service, those that face the network first: role.json starts them last. Their sockets go with them.

    Raises:
        StepError: some did not stop; the others were stopped nevertheless.
    """
    problems: List[str] = []
    for service in reversed(role.services):
        try:
            if host.systemd.state(service.unit).known:
                # First what would start it again at the next connection.
                for unit in [*host.systemd.triggers(service.unit), service.unit]:
                    host.systemd.stop(unit)
            loaded.forget(host, service.unit)
        except FirstbootError as error:
            problems.append(error.message)
    if problems:
        raise StepError("stop the role's services: " + "; ".join(problems))

