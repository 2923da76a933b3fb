"""The agent asks programs only for what the oldest distribution's versions of them know.

CentOS 7 has systemd 219, util-linux 2.23, e2fsprogs 1.42.9, tar 1.26, MariaDB 5.5, adcli 0.8.1, krb5 1.15 and OpenLDAP
2.4.44. The lists hold what is in use and
older than these; `systemctl show --value` (230) or `lsblk --json` (2.27) are not. Who adds a word looks it up first.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import systemd219

from mailimg_firstboot import drive, systemd
from mailimg_firstboot.rolefile import Volume
from mailimg_firstboot.steps import volume

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "firstboot" / "mailimg_firstboot"

# Every constant word that a program is given, by program; words in variables are names, not options.
KNOWN = {
    "systemctl": {"show", "-p", "LoadState", "ActiveState", "SubState", "Result", "ConditionResult", "TriggeredBy",
                  "ConditionTimestampMonotonic", "ActiveEnterTimestampMonotonic", "daemon-reload", "reset-failed",
                  "list-jobs", "--no-legend", "--full"},
    "blkid": {"-L", "-p", "-o", "export"},
    "postconf": {"-c", "-h", "-e", "-M"},
    # -f tab and -1: Dovecot 2.2's doveadm-who.c and doveadm-print-tab.c; auth lookup: doveadm-auth.c.
    "doveadm": {"-f", "tab", "who", "-1", "kick", "auth", "lookup", "-x", "service=imap"},
    "postqueue": {"-c", "-f"},
    "postsuper": {"-c", "-H", "-r", "ALL", "deferred"},
    "unshare": {"--mount", "sh", "-c", "read-drive"},
    "mkfs.ext4": {"-q", "-F", "-m", "1", "-E", "nodiscard", "-L"},
    "resize2fs": set(),
    "setenforce": set(),
    # -legacy is OpenSSL 3's, and is given only to one that has said that it keeps old ciphers apart.
    "openssl": {"pkcs12", "-in", "-passin", "stdin", "-nodes", "-legacy"},
    # Not: testjoin, show-computer, --description, --use-ldaps (0.8.2 to 0.9.1).
    "adcli": {"info", "join", "--domain=", "--domain-realm=", "--domain-controller=", "--computer-name=",
              "--host-fqdn=", "--host-keytab=", "--login-ccache=", "--login-type=computer", "--stdin-password"},
    "kinit": {"-c", "-k", "-t"},
    "ldapsearch": {"-x", "-Q", "-N", "-Y", "GSSAPI", "-LLL", "-o", "ldif-wrap=no", "nettimeout=5", "-H", "-s", "base",
                   "-b", "", "(objectClass=*)", "currentTime", "dnsHostName", "defaultNamingContext"},
    "ldapmodify": {"-Q", "-N", "-Y", "GSSAPI", "-o", "nettimeout=5", "-H"},
    # -o json and --no-pager: systemd 38 and 41.
    "journalctl": {"--no-pager", "-b", "-o", "json", "-n", "-u"},
    # The agent's own interpreter; -I: Python 3.4.
    "python": {"-I"},
    "client": {"--no-defaults", "--protocol=socket", "--socket=", "--user=root", "--batch", "--skip-column-names",
               "--execute"},
}
# What `Systemd._order` may be asked for.
ORDERS = {"start", "stop", "restart", "reload-or-restart"}
# Words of the script that reads a config drive: commands with their options.
SCRIPT = {"set -eu", "mount --make-rprivate", "mount -o ro,nosuid,nodev,noexec", "exec tar -c -f -"}


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    """All functions of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def commands(function: ast.FunctionDef) -> Iterator[ast.List]:
    """The lists that a function hands to `run`, in place or through a variable."""
    lists = {target.id: node.value for node in ast.walk(function) if isinstance(node, ast.Assign)
             for target in node.targets if isinstance(target, ast.Name) and isinstance(node.value, ast.List)}
    for node in ast.walk(function):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("host.run", "self._run", "view.host.run")):
            continue
        argv = lists.get(node.args[0].id) if isinstance(node.args[0], ast.Name) else node.args[0]
        assert isinstance(argv, ast.List), f"{function.name}: a command that is no list in sight"
        yield argv


def words(argv: ast.List) -> tuple[str, set[str]]:
    """Program and constant words; of `"--socket=" + socket` the constant part."""
    first = argv.elts[0]
    program = first.value if isinstance(first, ast.Constant) else first.id if isinstance(first, ast.Name) else ""
    rest = [one.left if isinstance(one, ast.BinOp) else one for one in argv.elts[1:]]
    return str(program), {str(one.value) for one in rest if isinstance(one, ast.Constant)}


def unknown(source: Path) -> list[str]:
    """What a module asks of programs that is not in `KNOWN`."""
    found = [words(argv) for function in functions(source) for argv in commands(function)]
    return [f"{program} {word}".strip() for program, given in found
            for word in ([""] if program not in KNOWN else sorted(given - KNOWN[program]))]


def test_commands_are_found() -> None:
    found = {words(argv)[0] for path in PACKAGE.rglob("*.py") for one in functions(path) for argv in commands(one)}
    assert found == set(KNOWN)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_only_known_words(path: Path) -> None:
    assert unknown(path) == []


@pytest.mark.parametrize(("code", "wanted"), [
    ('host.run(["systemctl", "show", "--value", unit])', ["systemctl --value"]),
    ('argv = ["lsblk", "--json"]; self._run(argv)', ["lsblk"]),
    ('host.run(["blkid", "-L", name])', []),
])
def test_a_newer_option_would_be_noticed(code: str, wanted: list[str], tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(f"def function(): {code}\n")
    assert unknown(module) == wanted


def test_orders_of_units() -> None:
    source = Path(systemd.__file__).read_text(encoding="utf-8")
    assert set(re.findall(r'_order\("([a-z-]+)"', source)) == ORDERS


def test_script_of_the_config_drive() -> None:
    lines = [line.strip() for line in drive.READ_DRIVE.splitlines()]
    given = {re.sub(r' (?:/|-- |"?\$).*', "", line) for line in lines if line.startswith(("set -", "mount", "exec"))}
    assert given == SCRIPT


def test_the_unit_of_a_volume() -> None:
    goal = Volume("/NFSVOL", 0, 0, 0o755)
    content = volume.unit_content(goal, "/dev/disk/by-id/virtio-x").decode()
    assert systemd219.problems(volume.unit_file(goal), content) == []
    assert "[Mount]" in content
