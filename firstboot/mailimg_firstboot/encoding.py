"""UTF-8 whatever the locale says.

CentOS 7 has no C.UTF-8, a service runs with the locale C, and Python before 3.7 takes that for ASCII: names of files
and standard output could then hold no umlaut. Content of files is decoded by its readers, which name the encoding.
"""

import io
import os
import sys


def path(text: str) -> str:
    """A path out of a document, or of the command line, as this process must name it to reach the same bytes."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def speak_utf8() -> None:
    """Let standard output and standard error take any text; bytes that a path brought come out as they were."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if (stream.encoding or "").lower().replace("-", "") == "utf8":
            continue
        stream.flush()
        again = io.TextIOWrapper(stream.buffer, "utf-8", "surrogateescape", line_buffering=True)
        setattr(sys, name, again)
