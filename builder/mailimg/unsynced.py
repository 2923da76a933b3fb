"""Runs a program for which, and for all whose children, writing through to the disk does nothing.

dpkg, apt, DIB and ldconfig ask for thousands of fsyncs while a tree grows that nobody trusts before the layer store has
taken it in; the store writes everything out itself, once, first (`store.put`). A seccomp filter answers those calls
with success. Unlike a preloaded library it also holds inside the tree's own root, whatever C library is there.

    python -I -S unsynced.py PROGRAM [ARGUMENT...]

Stands alone, without a module of ours: it starts in 15 ms.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
ALLOW, SUCCEED = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with 0
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
NUMBER_OFFSET, ARCH_OFFSET = 0, 4  # in struct seccomp_data
AUDIT_ARCH_X86_64 = 0xC000003E
# arch/x86/entry/syscalls/syscall_64.tbl: msync, fsync, fdatasync, sync, sync_file_range, syncfs
SYNCS = (26, 74, 75, 162, 277, 306)


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def instructions() -> list[tuple[int, int, int, int]]:
    """The filter as (code, jump if equal, jump if not, value); other machines' calls pass untouched."""
    last = len(SYNCS)
    found = [
        (LOAD, 0, 0, ARCH_OFFSET),
        (JUMP_EQUAL, 0, last + 1, AUDIT_ARCH_X86_64),
        (LOAD, 0, 0, NUMBER_OFFSET),
    ]
    found += [(JUMP_EQUAL, last - place, 0, number) for place, number in enumerate(SYNCS)]
    return [*found, (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, SUCCEED)]


def suppress_syncs() -> int:
    """Install the filter for this process and all that come from it; 0, or the error number (root is needed)."""
    code = [struct.pack("HBBI", *line) for line in instructions()]
    text = ctypes.create_string_buffer(b"".join(code))
    program = Program(len(code), ctypes.addressof(text))
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)
    return ctypes.get_errno() if failed else 0


if __name__ == "__main__":
    error = suppress_syncs()
    if error:
        # Only slower: nothing depends on it.
        sys.stderr.write(f"syncs are not suppressed: {os.strerror(error)}\n")
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
