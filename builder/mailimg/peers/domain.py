"""An Active Directory domain of a verification: a real domain controller, Samba's, with DNS, Kerberos and LDAP.

    state = domain.provision(cache)                  # 5 s the first time, nothing afterwards
    with DomainController(folder, state, authority.issue(at.DC_NAME, at.DC4), authority.file) as dc:    # 1 s
        dc.joiner, dc.joiner_password, dc.ou ...

It has an address of its own, at.DC4 on the bridge of `network.lay`, and answers DNS for at.AD_DOMAIN there. As at a
controller of Microsoft's with its present defaults, a simple bind needs TLS (StartTLS on 389, or 636), and an account
may make computers only where that was delegated to it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from mailimg import process
from mailimg.errors import StepError
from mailimg.peers import addresses as at
from mailimg.peers.authority import Certificate
from mailimg.peers.daemon import START_SECONDS, Daemon, until_port
from mailimg.peers.directory import GROUPS, SERVICE, USERS, Group, User

OU_PEOPLE = f"OU=people,{at.AD_BASE_DN}"
OU_SERVERS = f"OU=servers,{at.AD_BASE_DN}"  # JOINER may create computers here, and nothing else
OU_PRESET = f"OU=preset,{at.AD_BASE_DN}"  # computers here may delete themselves
READER, JOINER, PLAIN = "reader", "svc-join", "nobody-special"

# schemaIDGUID of the class computer ([MS-ADSC]).
COMPUTER = "bf967a86-0de6-11d0-a285-00aa003049e2"
ENABLED = 512  # userAccountControl: a normal account

# Everything that decides the state beside this text and Samba's version stands in `recipe`.
PORTS = (53, 88, 389, 464, 636)
PROVISION_SECONDS = 180.0

# /etc/hosts and resolv.conf of the controller alone, and its name: in namespaces of its own.
RUN = """\
set -eu
hostname "$1"
mount --bind "$2/hosts" /etc/hosts
mount --bind "$2/resolv.conf" "$(readlink -f /etc/resolv.conf)"
shift 2
exec "$@"
"""


def provision(cache: Path, address: str = at.DC4) -> Path:
    """The state of a new domain, made once for each recipe and kept in `cache`; readable by root only.

    Args:
        address: of its controller.

    Raises:
        StepError: Samba is not installed or refused.
    """
    version = process.run(["samba", "--version"], what="ask for Samba's version", timeout=20).stdout
    key = hashlib.sha256("\n".join([version, *recipe("", "", "", address)]).encode()).hexdigest()[:16]
    kept = cache / f"domain-{key}"
    if kept.is_dir():
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="domain-new-", dir=cache) as name:
        state = Path(name) / "state"
        _make(state, address)
        try:
            state.rename(kept)
        except OSError:
            # Somebody else was faster; what they made is as good.
            if not kept.is_dir():
                raise
    return kept


def recipe(people: str, joiner: str, admin: str, address: str = at.DC4) -> tuple[str, ...]:
    """What makes the domain: options of the provisioning, entries, rights; with these passwords."""
    return (
        f"--realm={at.AD_REALM}", f"--domain={at.AD_DOMAIN.split('.')[0].upper()}", f"--host-name={at.DC_HOST}",
        f"--host-ip={address}", "--server-role=dc", "--dns-backend=SAMBA_INTERNAL",
        ldif(USERS, GROUPS, people, joiner),
        f"dn: CN=Administrator,CN=Users,{at.AD_BASE_DN}\nchangetype: modify\nreplace: unicodePwd\n"
        f"unicodePwd:: {_quoted(admin)}\n",
        f"(OA;CI;CC;{COMPUTER};;SID of {JOINER})", f"(OA;CIIO;SD;;{COMPUTER};PS)",
    )


def ldif(users: Sequence[User], groups: Sequence[Group], password: str, joiner: str) -> str:
    """The domain's content."""
    entries = [[f"dn: {dn}", "objectClass: organizationalUnit"] for dn in (OU_PEOPLE, OU_SERVERS, OU_PRESET)]
    for user in users:
        entries.append([*_account(user.login, password), f"mail: {user.mail}", f"info: {user.quota}"])
    for login, word in ((SERVICE, password), (READER, password), (PLAIN, password), (JOINER, joiner)):
        entries.append(_account(login, word))
    # After their members: a list may hold another only when that one is there.
    for group in sorted(groups, key=lambda group: any(member == other.name for member in group.members
                                                      for other in groups)):
        entries.append([f"dn: {dn_of(group.name)}", "objectClass: group", f"sAMAccountName: {group.name}",
                        f"mail: {group.mail}", *[f"member: {dn_of(member)}" for member in group.members]])
    return "\n\n".join("\n".join(entry) for entry in entries) + "\n"


def dn_of(name: str) -> str:
    """DN of a user or list."""
    return f"CN={name},{OU_PEOPLE}"


def _account(login: str, password: str) -> list[str]:
    return [f"dn: {dn_of(login)}", "objectClass: user", f"sAMAccountName: {login}", f"userAccountControl: {ENABLED}",
            f"unicodePwd:: {_quoted(password)}"]


def _quoted(password: str) -> str:
    """A password as unicodePwd takes it ([MS-ADTS] 3.1.1.3.1.5.1), in LDIF's base64."""
    return base64.b64encode(f'"{password}"'.encode("utf-16-le")).decode()


def _make(state: Path, address: str) -> None:
    """Provision and fill; the domain's SID and passwords are new each time."""
    state.mkdir(mode=0o700)
    (state / "hosts").write_text(f"127.0.0.1 localhost\n{address} {at.DC_NAME} {at.DC_HOST}\n")
    (state / "resolv.conf").write_text(f"nameserver {address}\nsearch {at.AD_DOMAIN}\n")
    # Samba wants three of four kinds of characters.
    people, joiner, admin = (f"Aa1-{secrets.token_urlsafe(12)}" for _ in range(3))
    passwords = state / "passwords.json"
    passwords.touch(mode=0o600)
    passwords.write_text(json.dumps({"people": people, "joiner": joiner, "admin": admin}))
    options = recipe(people, joiner, admin, address)
    # Empty: the distribution's own would be taken for that of another domain.
    (state / "smb.conf").touch()
    process.run(["samba-tool", "domain", "provision", f"--configfile={state / 'smb.conf'}", f"--targetdir={state}",
                 *[option for option in options if option.startswith("--")]],
                what="provision the domain", timeout=PROVISION_SECONDS)
    database = state / "private" / "sam.ldb"
    process.run(["ldbadd", "-H", database], what="fill the domain", stdin=options[-4].encode(), timeout=60)
    process.run(["ldbmodify", "-H", database], what="set the administrator's password",
                stdin=options[-3].encode(), timeout=60)
    found = process.run(["ldbsearch", "-H", database, f"sAMAccountName={JOINER}", "objectSid"],
                        what="look for the joiner's SID", timeout=60).stdout
    sid = next(line.partition(": ")[2] for line in found.splitlines() if line.startswith("objectSid: "))
    rights = ((OU_SERVERS, options[-2].replace(f"SID of {JOINER}", sid)), (OU_PRESET, options[-1]))
    for dn, sddl in rights:
        process.run(["samba-tool", "dsacl", "set", "-H", database, f"--objectdn={dn}", f"--sddl={sddl}",
                     f"--configfile={state / 'etc' / 'smb.conf'}"], what="delegate rights", timeout=60)


def config(folder: Path, certificate: Certificate, ca: Path, address: str = at.DC4) -> str:
    """The text of smb.conf for a state in `folder`."""
    return "\n".join([
        "[global]",
        f"netbios name = {at.DC_HOST}", f"realm = {at.AD_REALM}", f"workgroup = {at.AD_DOMAIN.split('.')[0].upper()}",
        "server role = active directory domain controller",
        f"interfaces = {address}", "bind interfaces only = yes",
        # Without files, printers and NetBIOS: what mail servers ask a controller for.
        "server services = rpc, nbt, wrepl, ldap, cldap, kdc, drepl, winbindd, ntp_signd, kcc, dnsupdate, dns",
        f"lock directory = {folder}", f"state directory = {folder / 'state'}", f"cache directory = {folder / 'cache'}",
        f"private dir = {folder / 'private'}", f"binddns dir = {folder / 'bind-dns'}", f"pid directory = {folder}",
        f"ncalrpc dir = {folder / 'ncalrpc'}", f"winbindd socket directory = {folder / 'winbindd'}",
        f"tls certfile = {certificate.certificate}", f"tls keyfile = {certificate.key}", f"tls cafile = {ca}",
        "logging = file", "log level = 1", "",
    ])


class DomainController(Daemon):
    """Samba with a copy of a provisioned state.

    Args:
        folder: where the copy goes (45 MB); must not exist.
        state: what `provision` returned.
        certificate: for at.DC_NAME, with that as a DNS name in it.
        ca: file with the certificate of its authority.
        address: where it listens; that for which the state was made.
    """

    ou = OU_SERVERS
    reader_dn = dn_of(READER)
    joiner = JOINER

    def __init__(self, folder: Path, state: Path, certificate: Certificate, ca: Path,
                 address: str = at.DC4) -> None:
        super().__init__("samba", folder)
        self.address = address
        shutil.copytree(state, folder, symlinks=True)
        passwords = json.loads((folder / "passwords.json").read_text())
        self.password: str = passwords["people"]
        self.joiner_password: str = passwords["joiner"]
        self.admin_password: str = passwords["admin"]
        for name in ("cache", "ncalrpc"):
            (folder / name).mkdir(exist_ok=True)
        self.config = folder / "smb.conf"
        self.config.write_text(config(folder, certificate, ca, address))

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder / "log"

    def start(self) -> None:
        """Start and wait until DNS, Kerberos and LDAP answer; also after `stop`."""
        (self.folder / "resolv.conf").write_text(f"nameserver {self.address}\nsearch {at.AD_DOMAIN}\n")
        own = ["unshare", "--uts", "--mount", "--", "sh", "-c", RUN, "domain", at.DC_HOST, str(self.folder)]
        # In one process group, which `stop` ends as a whole.
        self.launch([*own, "samba", "--foreground", "--no-process-group", f"--configfile={self.config}",
                     "--debug-stdout"])
        for port in PORTS:
            until_port(self, self.address, port)

    def __enter__(self) -> DomainController:
        """Start it, if it does not run."""
        if self.process is None:
            self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """End it."""
        self.stop()

    def computers(self) -> dict[str, dict[str, str]]:
        """See `computers`."""
        return computers(self.folder)

    def tool(self, *words: str, stdin: str | None = None) -> str:
        """Run samba-tool on the domain's database, as an administrator at the console does."""
        argv = ["samba-tool", *words, "-H", str(self.folder / "private" / "sam.ldb"), f"--configfile={self.config}"]
        return process.run(argv, what=f"samba-tool {words[0]}", timeout=60,
                           stdin=None if stdin is None else stdin.encode()).stdout


def computers(folder: Path) -> dict[str, dict[str, str]]:
    """Attributes of the computer accounts by their sAMAccountName; domain controllers are left out.

    Args:
        folder: of the controller.
    """
    told = process.run(["ldbsearch", "-H", folder / "private" / "sam.ldb", "(primaryGroupID=515)",
                        "sAMAccountName", "description", "info", "whenChanged"],
                       what="look for computer accounts", timeout=60).stdout
    found = {}
    for block in told.split("\n\n"):
        # A line that begins with a blank goes on the line before.
        rows = [line.partition(": ") for line in block.replace("\n ", "").splitlines() if not line.startswith("#")]
        entry = {name: value for name, _, value in rows}
        if "sAMAccountName" in entry:
            found[entry["sAMAccountName"]] = entry
    return found


def wait_for_name(name: str, server: str) -> None:
    """Wait until a DNS server answers for a name (UDP); a controller listens a moment before it has its zones.

    Raises:
        StepError: it does not within the time of a start.
    """
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = b"\x4d\x49\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.settimeout(0.5)
            try:
                asked.sendto(question, (server, 53))
                answer = asked.recv(512)
            except OSError:
                time.sleep(0.05)
                continue
        if answer[3] & 0x0F == 0 and answer[6:8] != b"\x00\x00":
            return
        time.sleep(0.05)
    raise StepError(f"{server} does not answer for {name} after {START_SECONDS:g} s")
