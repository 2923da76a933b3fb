"""What the kernel says of time."""

import os
from typing import Callable, Optional

# adjtimex(2) returns this while the clock is not synchronised.
TIME_ERROR = 5


def synchronised() -> bool:
    """Whether the kernel's clock follows a time source, as adjtimex(2) says."""
    import ctypes

    # 512 bytes: struct timex is 208 on 64-bit kernels; its first field, `modes`, 0 means "only tell".
    return int(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))) not in (-1, TIME_ERROR)


def uptime(read: Callable[[str], Optional[bytes]], container: bool) -> float:
    """Seconds since a machine started; `read` gives its files, a container starts with its first process."""
    whole = float((read("/proc/uptime") or b"0 0").split()[0])
    if not container:
        return whole
    # proc(5): field 22 is the start in clock ticks; the second field, in brackets, may hold blanks.
    fields = (read("/proc/1/stat") or b"").rsplit(b")", 1)[-1].split()
    return whole - int(fields[19]) / os.sysconf("SC_CLK_TCK") if len(fields) > 19 else whole
