"""The check of a site document, done by the agent's own program: what it says here, an instance would say at boot."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mailimg import process
from mailimg.errors import StepError
from mailimg.resources import Resources
from mailimg.rolejson import role_document
from mailimg.roles import Distro, Role

# Of an image that need not exist: the check depends on the role and the distribution only.
NO_IMAGE = "0" * 64
SECONDS = 60.0
PLAIN, WRONG = 0, 2  # exit status of the agent's command


@dataclass(frozen=True)
class Findings:
    """What is wrong with a document, and what is doubtful; each a line."""

    problems: Sequence[str]
    warnings: Sequence[str]


def check(resources: Resources, role: Role, distro: Distro, file: Path, version: str) -> Findings:
    """Check a site document, or user data that holds one, for a role on a distribution.

    The builder does not import the agent. It runs it, as an instance does, with this interpreter; secrets go neither
    to its arguments nor to its environment, and are not in what it prints.

    Args:
        version: of mailimg.

    Raises:
        InputError: the role does not fit the distribution.
        StepError: the agent's program did not end as it should.
    """
    what = f"check {file}"
    with tempfile.TemporaryDirectory(prefix="mailimg-site-") as folder:
        image = Path(folder) / "role.json"
        image.write_text(json.dumps(role_document(role, distro, identity=NO_IMAGE, version=version)), encoding="utf-8")
        # -I: nothing of the caller's environment or folder is imported; -B: nothing is written beside the sources.
        done = process.run(
            [sys.executable, "-I", "-B", resources.firstboot / "mailimg_firstboot", "validate", "--json",
             "--role-file", image, "--templates", role.folder / "templates", "--", file.absolute()],
            what=what, timeout=SECONDS, check=False,
        )
    if done.returncode in (PLAIN, WRONG):
        try:
            told = json.loads(done.stdout)
            return Findings(tuple(told["problems"]), tuple(told["warnings"]))
        except (ValueError, KeyError, TypeError):
            pass  # said below, with what it printed
    raise StepError(f"{what}: the agent's program ended with {process.exit_words(done.returncode)}",
                    tail=(done.stdout + done.stderr).splitlines()[-process.TAIL_LINES :])
