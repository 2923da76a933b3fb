"""What the agent itself knows: status.json as figures."""

from datetime import datetime, timezone

from mailimg_firstboot import expiry
from mailimg_firstboot.domain import KEYTAB
from mailimg_firstboot.metrics.exposition import Samples
from mailimg_firstboot.metrics.view import View

STATES = ("starting", "waiting", "running", "ready", "failed", "leaving", "left")


def collect(view: View, samples: Samples) -> None:
    """State, steps, certificate; of a node whose agent has not run yet, that it is `starting`."""
    status = view.status
    samples.add("node_info", 1, role=view.role.role, distro=view.role.distro, version=view.role.version,
                identity=view.role.identity)
    for state in STATES:
        samples.add("agent_state", state == status.get("state", "starting"), state=state)
    if status.get("updated"):
        samples.add("agent_updated_timestamp_seconds", epoch(status["updated"]))
    if status.get("boot_seconds") is not None:
        samples.add("agent_boot_duration_seconds", status["boot_seconds"])
    for step in status.get("steps", []):
        samples.add("agent_step_duration_seconds", step["seconds"], step=step["name"])
        samples.add("agent_step_wait_seconds", step["waited"], step=step["name"])
    certificate = expiry.look(status.get("certificate"), view.clock.epoch())
    if certificate:
        samples.add("certificate_not_after_timestamp_seconds", epoch(certificate["not_after"]))
        samples.add("certificate_checked_timestamp_seconds", epoch(certificate["checked"]))
        samples.add("certificate_warning", certificate["warning"] is not None)


def keytab(view: View, samples: Samples) -> None:
    """The time of the keytab; a node that is in no domain has none."""
    path = view.host.path(KEYTAB)
    if path.exists():
        samples.add("keytab_modified_timestamp_seconds", int(path.stat().st_mtime))


def epoch(stamp: str) -> float:
    """Seconds since 1970 of a time as status.json has it.

    Raises:
        ValueError: it is no such time.
    """
    return datetime.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
