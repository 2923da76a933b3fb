"""How long this machine runs."""

import os
from typing import Callable, Optional


def of(read: Callable[[str], Optional[bytes]], container: bool) -> float:
    """Seconds since this machine started; a container starts with its first process, whatever the kernel's age.

    Args:
        read: gives the bytes of a file, or None.
        container: this is one.
    """
    whole = float((read("/proc/uptime") or b"0 0").split()[0])
    if not container:
        return whole
    # proc(5): field 22 is the start in clock ticks; the second field, in brackets, may hold blanks.
    fields = (read("/proc/1/stat") or b"").rsplit(b")", 1)[-1].split()
    return whole - int(fields[19]) / os.sysconf("SC_CLK_TCK") if len(fields) > 19 else whole
