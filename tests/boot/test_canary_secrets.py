"""Secrets of the site document stand in the files that are marked for them and nowhere else on a node that runs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mailimg import manifest, process
from mailimg.commands.verify import stored_tree

pytestmark = pytest.mark.boot

SEED = "/var/lib/cloud/seed/"
# What cloud-init keeps of user data; it must be closed to all but root.
CLOUD_INIT = re.compile(r"/var/lib/cloud/instances/[^/]+/|/run/cloud-init/")
# The last certificate that passed every check, its key with it (docs/contract.md); the layer's, and of no other secret.
KEPT = "/var/lib/mailimg/tls/kept.pem"
# Which of its secrets a role's daemons need; the others have no place on its nodes at all.
NEEDED = {
    "smtp-out": {"directory.bind_password", "tls.key", "dkim[0].key"},
    "pop-imap-lda": {"directory.bind_password", "tls.key", "relay_account.password", "masters[0].password"},
}


@pytest.fixture(scope="module", params=sorted(NEEDED))
def seen(request: pytest.FixtureRequest, images: Path, store: Path,
         tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was found on a node: as it is, and after secrets were let out on purpose."""
    tree = stored_tree(manifest.read(images / f"{request.param}-debian-12.qcow2"), store)
    script = Path(__file__).with_name("canary_inside.py")
    command = [sys.executable, str(script), request.param, str(tree), str(tmp_path_factory.mktemp("canary"))]
    told = process.run(process.confine(command, network=True), what="look for secrets", timeout=600,
                       env={"PYTHONPATH": ":".join(sys.path)})
    return dict(json.loads(told.stdout))


def marked(role: Mapping[str, Any]) -> Iterator[tuple[re.Pattern[str], int]]:
    """Paths of the files that role.json marks secret, with their modes."""
    for one in role["files"]:
        if one["secret"]:
            yield re.compile(re.escape(one["path"]).replace("@", "[^/]+")), int(one["mode"], 8)


def leaks(role: Mapping[str, Any], found: Mapping[str, Any]) -> set[str]:
    """Everything that must not be, a line each."""
    lines = {f"{kind} of `{words}`: {secret}" for kind, words, secret in found["processes"]}
    lines |= {f"{place}: {secret}" for place in ("journal", "console") for secret in found[place]}
    for one in found["files"]:
        path, mode = one["path"], one["mode"]
        right = any(pattern.fullmatch(path) and mode == wanted and not mode & 0o007 for pattern, wanted in marked(role))
        cloud_init = CLOUD_INIT.match(path) and one["uid"] == 0 and not mode & 0o077
        kept = (path, mode, one["uid"], one["secret"]) == (KEPT, 0o600, 0, "tls.key")
        if not (path.startswith(SEED) or right or cloud_init or kept):
            lines.add(f"{path} ({mode:04o}): {one['secret']}")
    return lines


def test_secrets_are_where_they_belong_and_nowhere_else(seen: dict[str, Any]) -> None:
    assert leaks(seen["role"], seen["clean"]) == set()
    # The search is not blind: every secret is in the seed, those that are needed are in their files.
    files = seen["clean"]["files"]
    assert {one["secret"] for one in files if one["path"].startswith(SEED)} == set(seen["secrets"])
    own = {one["secret"] for one in files if not one["path"].startswith("/var/lib/cloud/") and
           not one["path"].startswith("/run/cloud-init/")}
    assert own == NEEDED[seen["role"]["role"]]
    assert {"/run/mailimg/status.json", "/run/mailimg/events.jsonl"} <= set(seen["clean"]["read"])
    assert seen["clean"]["passes"] > 100, "processes were hardly looked at"


def test_what_is_let_out_is_found(seen: dict[str, Any]) -> None:
    """A file that was opened, a copy, one in base64, a line in the journal, one on the console, an environment."""
    found = leaks(seen["role"], seen["leaked"])
    for words in (
        rf"{re.escape(seen['opened'])} \(0644\): .+",
        r"/var/lib/leaked \(0644\): directory\.bind_password",
        r"/root/leaked \(0600\): directory\.bind_password",
        r"journal: webmail\.alarms\.password",
        r"console: database\.password",
        r"environ of `.*`: directory\.bind_password",
        r"cmdline of `.*`: directory\.bind_password",
    ):
        assert any(re.fullmatch(words, line) for line in found), f"{words} is not among {sorted(found)}"
