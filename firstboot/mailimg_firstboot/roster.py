"""Which servers share the mailboxes: what each says of itself on the storage, and who of them can be counted on."""

import ipaddress
import json
import re
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple, Union

from mailimg_firstboot.host import Host

# Seconds after which a server that has not reported is not counted on: three reports of mailimg-siblings.timer.
VOID_AFTER = 45.0

# Seconds that silence is not believed after the storage was away: clients of NFS come back to it one after the other,
# by waits of a minute (timeo=600).
BACK_AFTER = 180.0

# What this server tells the others and asks of Dovecot for them; gone after a boot, and the first act of leaving.
STATE = "/run/mailimg/siblings.json"

# The others that were counted on at the last look; gone after a boot.
SEEN = "/run/mailimg/siblings-seen.json"

# Names of servers: UUIDs of instances.
NAME = re.compile(r"[A-Za-z0-9-]{1,100}\Z")

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class Me(NamedTuple):
    """This server.

    Args:
        name: the instance's UUID.
        address: where its siblings reach it; empty: it does not serve yet.
        host: a name that the certificate of all of them covers.
        networks: of the site's servers; what is elsewhere is no sibling.
    """

    name: str
    address: str
    host: str
    networks: List[str]


def read(host: Host) -> Optional[Me]:
    """This server, if it takes part."""
    content = host.read(STATE)
    return None if content is None else Me(**json.loads(content.decode("ascii")))


def written(me: Me) -> bytes:
    """The content of `STATE`."""
    return json.dumps(me._asdict(), sort_keys=True).encode("ascii")


def alive(found: Dict[str, Tuple[str, float]], networks: Iterable[str]) -> Dict[str, str]:
    """The servers that can be counted on, with their addresses in these networks.

    Whoever can write to the storage can write there anything; what is no such address does not reach a configuration. A
    report may be as far in the future as in the past: the storage server's clock was set back since.
    """
    allowed = [ipaddress.ip_network(text) for text in networks]
    known = {name: inside(address, allowed) for name, (address, age) in found.items()
             if -VOID_AFTER <= age <= VOID_AFTER and NAME.match(name)}
    return {name: address for name, address in known.items() if address is not None}


def silenced(host: Host, me: Me, found: Dict[str, Tuple[str, float]], servers: Dict[str, str]) -> bool:
    """Whether others seem to have fallen silent, but are not to be given up yet: all stays as it is then.

    Of all others at once it is believed at the next look: a step of the storage server's clock makes all reports look
    old, or ahead, until each has reported again. If each server then saw only itself, all would work on everybody's
    mail. After a time without looks, as when the storage was away, no report is newer than that, and the others get the
    time to come back to it. Who said goodbye, or that he does not serve, is believed at once.
    """
    known = host.read(SEEN)
    before: Dict[str, Any] = {"others": [], "doubted": False, "looked": None, "until": 0.0}
    before.update(json.loads(known.decode("ascii")) if known else {})
    now = host.uptime()
    away = before["looked"] is not None and now - before["looked"] > VOID_AFTER
    until = now + BACK_AFTER if away else before["until"]
    others = sorted(name for name in servers if name != me.name)
    silent = [name for name in before["others"] if found.get(name, ("", 0.0))[0] and name not in servers]
    doubted = bool(silent) and (now < until or (not others and not before["doubted"]))
    seen = {"others": sorted({*before["others"], *others}) if doubted else others, "doubted": doubted, "looked": now,
            "until": until}
    host.write(SEEN, json.dumps(seen, sort_keys=True).encode("ascii"))
    return doubted


def inside(text: str, networks: Iterable[Network]) -> Optional[str]:
    """An address in one of the networks, as Dovecot is told of it; None: it is none."""
    try:
        # A scope (`fe80::1%eth0`) may be any text, and means something else on each server.
        address = ipaddress.ip_address("" if "%" in text else text)
    except ValueError:
        return None
    return str(address) if any(address in one for one in networks) else None
