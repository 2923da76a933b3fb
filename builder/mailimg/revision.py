"""Which revision of the project's repository built an image, for those who look at the image years later.

It decides nothing: what an image is made of stands in its layers' inputs.
"""

from __future__ import annotations

from pathlib import Path

from mailimg import process
from mailimg.errors import StepError

DIRTY = "-dirty"
TIMEOUT_SECONDS = 20.0


def of(folder: Path) -> str | None:
    """The commit that a checkout is at, with `-dirty` behind it if files differ from it.

    Args:
        folder: the top of the checkout.

    Returns:
        None if it is no checkout (an installed wheel), or git cannot tell.
    """
    if not (folder / ".git").exists() or process.which("git") is None:
        return None
    # The checkout may be another user's, since builds run as root; nothing is taken from it but two words.
    own = ["-c", f"safe.directory={folder}", "-c", "core.fsmonitor=false", "-C", str(folder)]
    git = ["git", "--no-optional-locks", *own]
    try:
        commit = process.run([*git, "rev-parse", "--verify", "HEAD"], what="ask git", timeout=TIMEOUT_SECONDS)
        changed = process.run([*git, "status", "--porcelain", "--untracked-files=no"], what="ask git",
                              timeout=TIMEOUT_SECONDS)
    except StepError:
        # No commit yet, a repository that git refuses: an image without this word is an image all the same.
        return None
    return commit.stdout.strip() + (DIRTY if changed.stdout else "")
