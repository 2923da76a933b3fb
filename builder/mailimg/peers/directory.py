"""The directory of a verification: slapd that looks like an Active Directory to those who search it.

Like a domain controller it takes a simple bind only under TLS, and its certificate chains to a private authority.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mailimg import process
from mailimg.errors import StepError
from mailimg.peers import addresses as at
from mailimg.peers.authority import Certificate
from mailimg.peers.daemon import Daemon, until_port

SCHEMA_FOLDERS = (Path("/etc/ldap/schema"), Path("/etc/openldap/schema"))
MODULE_FOLDERS = (Path("/usr/lib/ldap"), Path("/usr/lib64/openldap"))

# Names, numbers and superior classes of Microsoft's schema ([MS-ADA3], [MS-ADSC]); only what mail servers ask for.
AD_SCHEMA = """\
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch
  SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch
  SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP organizationalPerson STRUCTURAL
  MAY ( sAMAccountName $ mail $ info $ proxyAddresses $ userAccountControl $ displayName $ givenName ) )
objectclass ( 1.2.840.113556.1.5.8 NAME 'group' SUP top STRUCTURAL
  MUST cn MAY ( sAMAccountName $ mail $ info $ member $ proxyAddresses $ description ) )
"""


@dataclass(frozen=True)
class User:
    """A person: login, address, quota in bytes."""

    login: str
    mail: str
    quota: int = 1 << 30


@dataclass(frozen=True)
class Group:
    """A distribution list: address and members, which are logins or names of other lists."""

    name: str
    mail: str
    members: tuple[str, ...]


USERS = (
    User("anna", f"anna@{at.DOMAIN}"),
    User("bela", f"bela.b@{at.DOMAIN}"),
    User("carla", f"carla@{at.DOMAIN}", 51_200),
)
GROUPS = (
    Group("team", f"team@{at.DOMAIN}", ("anna", "bela")),
    Group("all", f"all@{at.DOMAIN}", ("team", "anna")),
    Group("nobody", f"deserted@{at.DOMAIN}", ()),
)
SERVICE = "svc-delivery"  # the platform's own account: a login without an address


def ldif(users: Sequence[User], groups: Sequence[Group], password: str) -> str:
    """The directory's content; every account has the same throw-away password."""
    organisation = at.DOMAIN.split(".")[0]
    entries = [
        [f"dn: {at.BASE_DN}", "objectClass: dcObject", "objectClass: organization", f"dc: {organisation}",
         f"o: {organisation}"],
        [f"dn: {at.READER_DN}", "objectClass: user", "cn: reader", "sn: reader", "sAMAccountName: reader",
         f"userPassword: {password}"],
        [f"dn: ou=people,{at.BASE_DN}", "objectClass: organizationalUnit", "ou: people"],
    ]
    entries += [[one.rstrip()] for one in people(users, password)]
    entries.append([f"dn: {user_dn(SERVICE)}", "objectClass: user", f"cn: {SERVICE}", f"sn: {SERVICE}",
                    f"sAMAccountName: {SERVICE}", "userAccountControl: 512", f"userPassword: {password}"])
    for group in groups:
        entries.append([f"dn: cn={group.name},ou=people,{at.BASE_DN}", "objectClass: group", f"cn: {group.name}",
                        f"sAMAccountName: {group.name}", f"mail: {group.mail}",
                        *[f"member: {user_dn(login)}" for login in group.members]])
    return "\n\n".join("\n".join(entry) for entry in entries) + "\n"


def people(users: Sequence[User], password: str) -> list[str]:
    """Entries of persons."""
    return ["\n".join([
        f"dn: {user_dn(user.login)}", "objectClass: user", f"cn: {user.login}", f"sn: {user.login}",
        f"sAMAccountName: {user.login}", f"mail: {user.mail}", f"info: {user.quota}", "userAccountControl: 512",
        f"userPassword: {password}", "",
    ]) for user in users]


def user_dn(login: str) -> str:
    """DN of a user by login."""
    return f"cn={login},ou=people,{at.BASE_DN}"


def config(folder: Path, schemas: Path, modules: Path, certificate: Certificate, ca: Path) -> str:
    """The text of slapd.conf."""
    lines = [f"include {schemas / name}.schema" for name in ("core", "cosine", "inetorgperson")]
    lines += [
        f"include {folder / 'ad.schema'}",
        f"modulepath {modules}",
        "moduleload back_mdb",
        f"TLSCACertificateFile {ca}",
        f"TLSCertificateFile {certificate.certificate}",
        f"TLSCertificateKeyFile {certificate.key}",
        "TLSVerifyClient never",
        # A simple bind needs TLS, as at a domain controller that wants signing.
        "security simple_bind=1",
        # A login without a password succeeds there, as nobody: daemons have to refuse it themselves.
        "allow bind_anon_dn",
        "database mdb",
        "maxsize 33554432",
        f'suffix "{at.BASE_DN}"',
        f"directory {folder / 'data'}",
        "index objectClass,mail,sAMAccountName eq",
        "access to attrs=userPassword by anonymous auth by * none",
        "access to * by users read by * none",
    ]
    return "\n".join(lines) + "\n"


class Directory(Daemon):
    """slapd on the bridge's address, ports 389 (StartTLS) and 636."""

    def __init__(self, folder: Path, certificate: Certificate, ca: Path) -> None:
        super().__init__("slapd", folder)
        self.password = secrets.token_urlsafe(18)
        (folder / "data").mkdir(parents=True, mode=0o700)
        (folder / "ad.schema").write_text(AD_SCHEMA)
        self.config = folder / "slapd.conf"
        schemas, modules = _first(SCHEMA_FOLDERS), _first(MODULE_FOLDERS)
        self.config.write_text(config(folder, schemas, modules, certificate, ca))
        process.run(["slapadd", "-q", "-f", self.config], what="fill the directory",
                    stdin=ldif(USERS, GROUPS, self.password).encode(), timeout=60)

    def add(self, users: Sequence[User]) -> None:
        """Take in more people; it is away for a moment."""
        self.stop()
        process.run(["slapadd", "-q", "-f", self.config], what="add to the directory",
                    stdin="\n".join(people(users, self.password)).encode(), timeout=60)
        self.start()

    def start(self) -> None:
        """Start and wait until it answers connections; also after `stop`."""
        # -d: stay in the foreground.
        self.launch(["slapd", "-d", "0", "-f", str(self.config), "-h", f"ldap://{at.HOST4} ldaps://{at.HOST4}"])
        until_port(self, at.HOST4, 389)


def _first(folders: Sequence[Path]) -> Path:
    for folder in folders:
        if folder.is_dir():
            return folder
    raise StepError(f"start slapd: none of {', '.join(map(str, folders))} exists", "Install the package slapd.")
