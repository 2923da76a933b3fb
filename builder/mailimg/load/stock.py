"""The distribution's own configuration of the same daemons, with nothing added but what lets them talk to each other.

Its files come from the root tree that the node was made from: what Debian's packages installed, before an agent wrote
over it. Debian leaves Postfix unconfigured when nobody answers its questions; then its templates (main.cf.debian,
master.cf.dist) are what it would have written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mailimg import process
from mailimg.errors import InputError

POSTFIX = "usr/share/postfix"
# Lines of conf.d/15-content_filter_mode that Debian ships as comments: without them amavis looks at nothing.
LOOKS = ("@bypass_virus_checks_maps", "@bypass_spam_checks_maps")

# From amavis's README.postfix: what one adds to master.cf for the filter and for what comes back from it.
FILTER = """\
smtp-amavis unix -      -       y       -       {workers}       smtp
    -o smtp_data_done_timeout=1200
    -o smtp_send_xforward_command=yes
    -o disable_dns_lookups=yes
    -o max_use=20
127.0.0.1:10025 inet n  -       y       -       -       smtpd
    -o content_filter=
    -o smtpd_delay_reject=no
    -o smtpd_client_restrictions=permit_mynetworks,reject
    -o smtpd_helo_restrictions=
    -o smtpd_sender_restrictions=
    -o smtpd_recipient_restrictions=permit_mynetworks,reject
    -o smtpd_data_restrictions=reject_unauth_pipelining
    -o smtpd_end_of_data_restrictions=
    -o smtpd_restriction_classes=
    -o mynetworks=127.0.0.0/8
    -o smtpd_error_sleep_time=0
    -o smtpd_soft_error_limit=1001
    -o smtpd_hard_error_limit=1000
    -o smtpd_client_connection_count_limit=0
    -o smtpd_client_connection_rate_limit=0
    -o receive_override_options=no_header_body_checks,no_unknown_recipient_checks
"""

DOVECOT = """\
protocols = lmtp
mail_location = maildir:~/Maildir
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=5000 gid=5000 home={mailboxes}/%n allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = 24
  }}
}}
"""


@dataclass(frozen=True)
class Site:
    """What even a bare node has to know.

    Args:
        name: of the node.
        domain: that mail is taken for.
        network: whose hosts may hand mail over.
        next_hop: host and port of the delivery layer.
        workers: filter processes.
        mailboxes: the folder that has each user's home.
    """

    name: str
    domain: str
    network: str
    next_hop: str = ""
    workers: int = 2
    mailboxes: str = ""


def filter_files(tree: Path, site: Site) -> dict[str, str]:
    """Files of Postfix, amavis and SpamAssassin's neighbours, by path without the first slash.

    Raises:
        InputError: the tree is not Debian's.
    """
    mode = _read(tree, "etc/amavis/conf.d/15-content_filter_mode")
    for name in LOOKS:
        mode = mode.replace(f"#{name}", name).replace(f"# {name}", name)
    # Each list stands on two lines, the second a comment as well.
    mode = mode.replace("\n#   \\%bypass", "\n   \\%bypass")
    own = [
        "use strict;", f"$max_servers = {site.workers};", f"$mydomain = '{site.domain}';",
        f"$myhostname = '{site.name}';", f"@local_domains_acl = ('.{site.domain}');",
        # Not a package that Debian's amavis asks for: it is in the tree because ours has it.
        "$INC{'File/LibMagic.pm'} = undef;", "undef $Amavis::Unpackers::filemagic;", "1;",
    ]
    main = {"relay_domains": site.domain, "mydestination": "", "mynetworks": "127.0.0.0/8 [::1]/128",
            "transport_maps": "texthash:/etc/postfix/transport", "content_filter": "smtp-amavis:[127.0.0.1]:10024"}
    return {
        **_postfix(tree, site, main, FILTER.format(workers=site.workers)),
        "etc/postfix/transport": f"{site.domain} smtp:{site.next_hop}\n",
        "etc/amavis/conf.d/15-content_filter_mode": mode,
        "etc/amavis/conf.d/50-user": "\n".join(own) + "\n",
    }


def delivery_files(tree: Path, site: Site) -> dict[str, str]:
    """Files of Postfix and Dovecot: mail for the domain goes to Maildirs, with nobody asked.

    Raises:
        InputError: the tree is not Debian's.
    """
    main = {"mydestination": "", "virtual_mailbox_domains": site.domain, "virtual_transport": "lmtp:inet:127.0.0.1:24",
            "mynetworks": f"127.0.0.0/8 {site.network}"}
    auth = _read(tree, "etc/dovecot/conf.d/10-auth.conf").replace("!include auth-system", "#!include auth-system")
    return {**_postfix(tree, site, main, ""), "etc/dovecot/conf.d/10-auth.conf": auth,
            # The certificate that the package makes is not in an image that many nodes are made from.
            "etc/dovecot/conf.d/10-ssl.conf": "ssl = no\n",
            "etc/dovecot/local.conf": DOVECOT.format(mailboxes=site.mailboxes)}


def lay_out(tree: Path, target: Path, folders: Sequence[str], files: Mapping[str, str]) -> None:
    """Copy folders of the tree, as they are, to `target`, and write the files over them.

    Raises:
        StepError: cp failed.
    """
    target.mkdir(parents=True)
    process.run(["cp", "--archive", "--parents", *folders, target.absolute()], what="copy the stock configuration",
                cwd=tree, timeout=60)
    for name, text in files.items():
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def _postfix(tree: Path, site: Site, main: Mapping[str, str], master: str) -> dict[str, str]:
    lines = [line for line in _read(tree, f"{POSTFIX}/main.cf.debian").splitlines() if line]
    lines += [f"myhostname = {site.name}", *[f"{name} = {value}" for name, value in main.items()]]
    return {"etc/postfix/main.cf": "\n".join(lines) + "\n",
            "etc/postfix/master.cf": _read(tree, f"{POSTFIX}/master.cf.dist") + master}


def _read(tree: Path, name: str) -> str:
    try:
        return (tree / name).read_text()
    except FileNotFoundError:
        raise InputError([f"{tree}: /{name} is not there; only debian-12 has a stock configuration to compare with"]
                         ) from None
