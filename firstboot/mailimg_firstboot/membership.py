"""Who an instance is in an Active Directory: every name follows from the site document and the instance's id alone."""

import hashlib
import re
from typing import Any, Dict, List, NamedTuple, Optional

from mailimg_firstboot.node import Node

# Digits of the hash in a computer's name: 40 bits; among 1,000 instances two meet with a chance of 1 to 2,000,000, and
# the second is refused. With a prefix of at most 4 and the hyphen that is NetBIOS's limit of 15 characters.
HASH = 10
PREFIX = 4

# How an account says whose it is: the end of a text attribute.
MARK = re.compile(r"(?:^|\s)instance ([A-Za-z0-9][A-Za-z0-9._-]{0,63})\s*$")


class Membership(NamedTuple):
    """An instance as a member of a domain.

    Args:
        realm: of Kerberos, in upper case.
        domain: of DNS; the same in lower case.
        base: DN of the domain.
        computer: name of the computer account, without the `$` that its sAMAccountName ends with.
        fqdn: the computer's own name in the domain, for its Kerberos principals. Active Directory lets a computer be
            called only after its account, whatever the instance's host name is.
        instance: id in the cloud.
        mark: what is written on the account.
        ou: DN for a new account; None: the domain's folder for computers.
        servers: domain controllers in order; empty: ask DNS.
        user: account that makes and deletes computer accounts; None: the account was preset.
    """

    realm: str
    domain: str
    base: str
    computer: str
    fqdn: str
    instance: str
    mark: str
    ou: Optional[str]
    servers: List[str]
    user: Optional[str]

    @property
    def account(self) -> str:
        """The sAMAccountName."""
        return self.computer + "$"

    @property
    def principal(self) -> str:
        """The computer's Kerberos principal."""
        return "{}@{}".format(self.account, self.realm)


def of(site: Dict[str, Any], node: Node) -> Optional[Membership]:
    """The membership that a checked site document asks for; None when it asks for none."""
    join = site.get("join")
    if join is None:
        return None
    domain = join["realm"].lower()
    name = computer(node.role, node.instance)
    return Membership(
        domain.upper(), domain, base(domain), name, "{}.{}".format(name.lower(), domain), node.instance,
        "mailimg {}, instance {}".format(node.role, node.instance), join.get("ou"), list(join.get("servers", [])),
        join.get("user"))


def computer(role: str, instance: str) -> str:
    """Name of the computer account: `SI-3F2A90C41B` for an instance of smtp-in.

    In a shell: `printf %s "$UUID" | sha256sum | cut -c 1-10`, after the initials of the role (of a role that is one
    word, its first four letters) and a hyphen.
    """
    words = role.split("-")
    prefix = "".join(word[:1] for word in words) if len(words) > 1 else role
    digest = hashlib.sha256(instance.lower().encode("utf-8")).hexdigest()
    return "{}-{}".format(prefix[:PREFIX], digest[:HASH]).upper()


def base(domain: str) -> str:
    """DN of a DNS domain."""
    return ",".join("DC=" + label for label in domain.split("."))


def marked(text: str) -> Optional[str]:
    """The instance that a text attribute of an account names, if it does."""
    found = MARK.search(text)
    return found.group(1) if found else None
