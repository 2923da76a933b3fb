"""SELinux's mode, where the distribution has it (`facts.selinux`): now, and at the next boots.

`facts.selinux.config` is the file that says it for every boot. What stood there before is kept in a comment for
`undo`.
"""

import re
from typing import List, Optional

from mailimg_firstboot.errors import StepError
from mailimg_firstboot.host import Host
from mailimg_firstboot.selinux import DISABLED, ENFORCING
from mailimg_firstboot.work import Work

KEY = "SELINUX="
LINE = re.compile(r"^[ \t]*SELINUX[ \t]*=[ \t]*(.*?)[ \t]*$")
BEFORE = "# Before mailimg-firstboot: "


def check(host: Host, work: Work) -> Optional[str]:
    """Compare the file and the running kernel."""
    config = _config(work)
    if config is None:
        return None
    found = []
    content, mode = _read(host, config), work.site["selinux"]
    if content != with_mode(content, mode):
        found.append("{} does not say {}".format(config, mode))
    running = host.selinux.mode()
    # A kernel that booted without SELinux denies nothing, which is what permissive asks for.
    if running != mode and (running != DISABLED or mode == ENFORCING):
        found.append("SELinux is {}, not {}".format(running, mode))
    return "; ".join(found) or None


def apply(host: Host, work: Work) -> None:
    """Write the file and change the mode.

    Raises:
        StepError: the kernel runs without SELinux, and the site wants it enforcing.
    """
    config = _config(work)
    if config is None:
        return
    content, mode = _read(host, config), work.site["selinux"]
    wanted = with_mode(content, mode)
    if content != wanted:
        host.write(config, wanted.encode("utf-8", "surrogateescape"))
    running = host.selinux.mode()
    if running == DISABLED and mode == ENFORCING:
        raise StepError("this machine was booted without SELinux; it cannot be made enforcing while it runs",
                        "Reboot it: {} says enforcing now. Files without labels need `touch /.autorelabel`.".format(
                            config))
    if running not in (mode, DISABLED):
        host.selinux.set(mode)


def undo(host: Host, work: Work) -> None:
    """Put back what stood in the file, and the mode that it says."""
    config = _config(work)
    if config is None:
        return
    content = _read(host, config)
    before = kept(content)
    if before is None:
        return
    if host.selinux.mode() not in (before, DISABLED) and before != DISABLED:
        host.selinux.set(before)
    host.write(config, with_mode(content, before).encode("utf-8", "surrogateescape"))


def with_mode(content: str, mode: str) -> str:
    """The file with another mode; every other line stays as it is."""
    old = kept(content) or stated(content)
    lines: List[str] = []
    for line in content.splitlines():
        if LINE.match(line):
            if not any(LINE.match(one) for one in lines):
                lines.append(KEY + mode)
        elif not line.startswith(BEFORE):
            lines.append(line)
    if not any(LINE.match(line) for line in lines):
        lines.append(KEY + mode)
    if old is not None and old != mode:
        lines.append(BEFORE + old)
    return "".join(line + "\n" for line in lines)


def stated(content: str) -> Optional[str]:
    """The mode that the file states; None when it states none."""
    found = [LINE.match(line) for line in content.splitlines()]
    return next((one.group(1) for one in found if one), None)


def kept(content: str) -> Optional[str]:
    """The mode that stood there before ours, or None."""
    found = [line[len(BEFORE):] for line in content.splitlines() if line.startswith(BEFORE)]
    return found[0] if found else None


def _config(work: Work) -> Optional[str]:
    facts = work.role.facts.get("selinux")
    if facts is None:
        return None
    if "config" not in facts:
        raise StepError("role.json: facts.selinux names no config", "distro.yaml must say which file holds the mode.")
    return str(facts["config"])


def _read(host: Host, config: str) -> str:
    return (host.read(config) or b"").decode("utf-8", "surrogateescape")
