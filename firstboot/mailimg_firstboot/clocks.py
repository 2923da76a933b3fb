"""What the kernel says of its clock."""

# adjtimex(2) returns this while the clock is not synchronised.
TIME_ERROR = 5


def synchronised() -> bool:
    """Whether the kernel's clock follows a time source, as adjtimex(2) says."""
    import ctypes

    # 512 bytes: struct timex is 208 on 64-bit kernels; its first field, `modes`, 0 means "only tell".
    return int(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))) not in (-1, TIME_ERROR)
