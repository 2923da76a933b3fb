"""Time servers of the site, for chrony. A site that names none leaves the image's own configuration as it is.

The distribution's facts say how: `chrony.sources_dir` (a folder of *.sources files, chrony 4) or `chrony.config` (the
one file of chrony 3, in which the servers are replaced), and `chrony.unit`.
"""

from typing import List, Optional, Tuple

from mailimg_firstboot import loaded
from mailimg_firstboot.errors import StepError
from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work

DROP_IN = "mailimg.sources"
DIRECTIVES = ("server", "pool", "peer")
MARK = "# Time servers: written by mailimg-firstboot from the site document (time.servers)"


def check(host: Host, work: Work) -> Optional[str]:
    """Compare chrony's servers, and whether chrony has read them."""
    if not servers(work):
        return None
    path, unit = facts(work)
    if host.read(path) != wanted(host, work, path):
        return "{} does not name {}".format(path, ", ".join(servers(work)))
    if not loaded.has(host, unit, loaded.digest(host, [path])):
        return "{} has not read {}".format(unit, path)
    return None


def apply(host: Host, work: Work) -> None:
    """Write the servers and restart chrony."""
    if not servers(work):
        return
    path, unit = facts(work)
    content = wanted(host, work, path)
    if host.read(path) != content:
        host.write(path, content)
    files = loaded.digest(host, [path])
    if not loaded.has(host, unit, files):
        host.systemd.restart(unit)
        loaded.remember(host, unit, files)


def undo(host: Host, work: Work) -> None:
    """Take the site's servers away."""
    if not servers(work):
        return
    path, unit = facts(work)
    content = host.read(path)
    if content != wanted(host, work, path):
        return
    if path.endswith(DROP_IN):
        host.remove(path)
    else:
        host.write(path, "".join(line + "\n" for line in without_servers(content or b"")).encode("utf-8"))
    loaded.forget(host, unit)


def servers(work: Work) -> List[str]:
    """The site's time servers."""
    return list(work.site["time"]["servers"])


def facts(work: Work) -> Tuple[str, str]:
    """The file to write and chrony's unit.

    Raises:
        StepError: the distribution has no chrony.
    """
    chrony = work.role.facts.get("chrony", {})
    if "unit" not in chrony or not ("sources_dir" in chrony or "config" in chrony):
        raise StepError("role.json: facts.chrony names no unit, or neither sources_dir nor config",
                        "distro.yaml must say how chrony is configured, or the site name no time.servers.")
    if "sources_dir" in chrony:
        return "{}/{}".format(chrony["sources_dir"].rstrip("/"), DROP_IN), chrony["unit"]
    return chrony["config"], chrony["unit"]


def wanted(host: Host, work: Work, path: str) -> bytes:
    """The file as it must be."""
    ours = [MARK] + ["server {} iburst".format(one) for one in servers(work)]
    others = [] if path.endswith(DROP_IN) else without_servers(host.read(path) or b"")
    return "".join(line + "\n" for line in others + ours).encode("utf-8")


def without_servers(content: bytes) -> List[str]:
    """The lines of chrony.conf that name no server."""
    lines = content.decode("utf-8", "replace").splitlines()
    return [line for line in lines if line != MARK and line.split()[:1] not in [[one] for one in DIRECTIVES]]
