"""The running kernel's SELinux mode."""

from pathlib import Path
from typing import Any, Callable

ENFORCE = "/sys/fs/selinux/enforce"

ENFORCING, PERMISSIVE, DISABLED = "enforcing", "permissive", "disabled"


class SELinux:
    """SELinux of this machine.

    Args:
        path: `Host.path`.
        run: `Host.run`.
    """

    def __init__(self, path: Callable[[str], Path], run: Callable[..., Any]) -> None:
        self._path = path
        self._run = run

    def mode(self) -> str:
        """One of `ENFORCING`, `PERMISSIVE`, `DISABLED`; the last can be left by a boot only."""
        try:
            return ENFORCING if self._path(ENFORCE).read_bytes().strip() == b"1" else PERMISSIVE
        except (FileNotFoundError, NotADirectoryError):
            return DISABLED

    def set(self, mode: str) -> None:
        """Change between enforcing and permissive, until the next boot."""
        self._run(["setenforce", "1" if mode == ENFORCING else "0"], "set SELinux {}".format(mode))
