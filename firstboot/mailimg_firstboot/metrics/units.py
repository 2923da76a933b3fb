"""The role's units: whether they run and since when, their processes and memory, and who is connected to its ports."""

from mailimg_firstboot import sockets
from mailimg_firstboot.metrics.exposition import Samples
from mailimg_firstboot.metrics.view import PATIENCE, View
from mailimg_firstboot.parting.sessions import TABLES


def collect(view: View, samples: Samples) -> None:
    """Ask systemd once for all, and the kernel for the rest."""
    services = view.services
    since = view.host.systemd.active_since([one.unit for one in services], PATIENCE)
    for one in services:
        begun = since[one.unit]
        samples.add("service_active", begun is not None, service=one.name, unit=one.unit)
        if begun is not None:
            # systemd's clock is CLOCK_MONOTONIC, and so is this one.
            samples.add("service_active_seconds", max(0.0, round(view.clock.now() - begun, 1)), service=one.name)
        if one.unit.endswith(".service"):
            mine = view.running(one.name)
            samples.add("service_processes", len(mine), service=one.name)
            samples.add("service_resident_memory_bytes", sum(process.resident for process in mine), service=one.name)
    texts = [(view.host.read(path) or b"").decode("ascii", "replace") for path in TABLES]
    found = sockets.sessions(texts, [port["port"] for port in view.role.ports])
    for port in view.role.ports:
        samples.add("client_connections", found.get(port["port"], 0), port=str(port["port"]))
