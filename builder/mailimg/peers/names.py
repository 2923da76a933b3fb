"""DNS of a verification: dnsmasq with the few names there are; everything else does not exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mailimg.peers import addresses as at
from mailimg.peers.daemon import Daemon, until_port

TXT = 255  # octets that one string of a TXT record may have


def txt_record(name: str, value: str) -> str:
    """A TXT record of dnsmasq's, in as many strings as it takes."""
    parts = [value[start : start + TXT] for start in range(0, len(value), TXT)]
    return f"txt-record={name}," + ",".join(f'"{part}"' for part in parts)


def frame(log: Path, addresses: Sequence[str] = (at.HOST4, at.HOST6), controller: str = at.DC4) -> list[str]:
    """What dnsmasq is told beside the names it has.

    Args:
        addresses: where it listens.
        controller: who answers for the Active Directory domain.
    """
    return [
        "no-resolv", "no-hosts", "no-poll", "bind-interfaces", "user=root", "group=root", "pid-file=",
        f"listen-address={','.join(addresses)}",
        "local=/#/",  # nothing is forwarded: NXDOMAIN
        f"server=/{at.AD_DOMAIN}/{controller}",  # but what the domain controller answers for
        "log-queries", f"log-facility={log}",
    ]


def config(log: Path, texts: Mapping[str, str] | None = None) -> str:
    """The text of dnsmasq's configuration; `texts` are further TXT records by name."""
    lines = [
        *frame(log),
        f"host-record={at.NODE_NAME}.{at.CLOUD_DOMAIN},{at.NODE4},{at.NODE6}",
        f"host-record={at.DIRECTORY_NAME},{at.HOST4}",
        f"host-record={at.DELIVERY_NAME},{at.HOST4}",
        f"host-record={at.SMTP_OUT_NAME},{at.HOST4}",
        f"host-record={at.IMAP_NAME},{at.HOST4}",
        f"host-record={at.FILES_NAME},{at.HOST4}",
        f"host-record={at.SENDER_NAME},{at.SENDER4},{at.SENDER6}",
        f"mx-host={at.DOMAIN},{at.NODE_NAME}.{at.CLOUD_DOMAIN},10",
    ]
    for domain in (at.SENDER_DOMAIN, at.FORGED_DOMAIN, at.FOREIGN_DOMAIN):
        lines.append(f"mx-host={domain},{at.SENDER_NAME},10")
    lines.append(f'txt-record={at.SENDER_DOMAIN},"v=spf1 ip4:{at.SENDER4} ip6:{at.SENDER6} -all"')
    lines.append(f'txt-record={at.FORGED_DOMAIN},"v=spf1 -all"')
    lines += [txt_record(name, value) for name, value in (texts or {}).items()]
    return "\n".join(lines) + "\n"


class Names(Daemon):
    """dnsmasq on the bridge's addresses.

    Args:
        texts: further TXT records by name.
        text: the whole configuration, for another world than a verification's.
        address: one that it listens at.
    """

    def __init__(self, folder: Path, texts: Mapping[str, str] | None = None, *, text: str = "",
                 address: str = at.HOST4) -> None:
        super().__init__("dnsmasq", folder)
        folder.mkdir()
        self.address = address
        self.config = folder / "dnsmasq.conf"
        self.config.write_text(text or config(folder / "queries", texts))

    def start(self) -> None:
        """Start and wait until it answers connections."""
        self.launch(["dnsmasq", "--keep-in-foreground", f"--conf-file={self.config}"])
        until_port(self, self.address, 53)
