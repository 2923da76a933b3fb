"""What leaves tells nothing about the inside of the platform; part of `safety`."""

from __future__ import annotations

import base64
import email
import email.message
import ipaddress
import re
from collections.abc import Iterator, Sequence

from mailimg.clients import letters
from mailimg.lab import addresses as at
from mailimg.lab.checks import Bench, Check, CheckFailed, until
from mailimg.lab.checks.access import filters
from mailimg.lab.checks.mail import ANNA, BELA, FOREIGN, SENDER, by_user, from_internet, on_internet, queues, taken
from mailimg.peers import addresses as names

FORWARD = f"""require ["vacation"];\r
if header :contains "Subject" "onwards" {{ redirect "{FOREIGN}"; }}\r
if header :contains "Subject" "absent" {{ vacation :days 1 "not here"; }}\r
""".encode()
ADDRESS = re.compile(r"(?<![\w.:])(\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7})(?![\w:])")
# The names of the platform's mail servers stand in their own lines; others' stay inside.
SECRET_NAMES = (f"balancer.{names.CLOUD_DOMAIN}", names.DC_NAME, "pc-17.home")


def header_lines(message: email.message.Message) -> Iterator[str]:
    """All header fields of a message and of its parts, attached messages among them, and headers without their body."""
    for part in message.walk():
        yield from (f"{name}: {value}" for name, value in part.items())
        if part.get_content_type() == "text/rfc822-headers":
            yield from header_lines(email.message_from_string(str(part.get_payload())))


def told(content: bytes, networks: Sequence[str]) -> list[str]:
    """The header fields that name an address of the networks or a host that is nobody's business."""
    inside = [ipaddress.ip_network(one) for one in (*networks, "127.0.0.0/8", "::1/128", f"{at.HOME4}/32")]
    found = []
    for line in header_lines(email.message_from_bytes(content)):
        addresses = set()
        for text in ADDRESS.findall(line.replace("IPv6:", "")):
            try:
                addresses.add(ipaddress.ip_address(text))
            except ValueError:  # a time, a number of a version
                continue
        # The notice's own report: the server's Dovecot, which stands on no other machine.
        addresses -= {ipaddress.ip_address("127.0.0.1")} if line.startswith("Remote-MTA:") else set()
        inner = any(one in network for one in addresses for network in inside if one.version == network.version)
        if inner or any(name in line for name in SECRET_NAMES):
            found.append(line)
    return found


def nothing_told(bench: Bench) -> str:
    """A user's mail, forwarded mail, an automatic answer and a bounce, as the Internet gets them."""
    sent = letters.clean(FOREIGN, ANNA.mail)
    taken(by_user(bench, sent, FOREIGN))
    leaving = {"a user's mail": on_internet(bench, bench.receiver, sent).content}
    with filters(bench) as sieve:
        sieve.activate("traces", FORWARD)
        try:
            onwards = letters.letter("onwards", BELA.mail, b"read by somebody else\r\n")
            from_internet(bench, onwards, BELA.mail)
            leaving["forwarded mail"] = on_internet(bench, bench.receiver, onwards).content
            sender = f"{onwards.message_id[1:9]}@{names.SENDER_DOMAIN}"  # who was answered is not answered again
            absent = letters.letter("absent", BELA.mail, b"are you there?\r\n", sender=sender)
            from_internet(bench, absent, BELA.mail, sender)
            leaving["an automatic answer"] = about(bench, absent, "In-Reply-To")
        finally:
            sieve.withdraw("traces")
    lost = letters.clean(f"deserted@{names.DOMAIN}")
    from_internet(bench, lost, f"deserted@{names.DOMAIN}")
    leaving["a bounce"] = about(bench, lost, "")
    # Of a large one only the headers come back (Postfix: `bounce_size_limit`).
    large = letters.letter("large", f"deserted@{names.DOMAIN}", (b"x" * 70 + b"\r\n") * 1000)
    from_internet(bench, large, f"deserted@{names.DOMAIN}")
    leaving["a bounce of a large one"] = about(bench, large, "")
    if b"text/rfc822-headers" not in leaving["a bounce of a large one"]:
        raise CheckFailed("a large message came back whole: its headers alone were not seen")
    # What the MX took and delivery refuses, as an address that is deleted meanwhile.
    late = letters.clean(f"deleted@{names.DOMAIN}")
    hand = f"base64 -d | sendmail -i -f {SENDER} deleted@{names.DOMAIN}"
    text = base64.b64encode(late.content.replace(b"\r\n", b"\n")).decode()
    bench.first("smtp-in").ask(["sh", "-euc", f"echo {text} | {hand}"])
    leaving["a bounce of the MX"] = about(bench, late, "")
    wrong = [f"{what}: {line}" for what, content in leaving.items() for line in told(content, bench.plan.networks)]
    if wrong:
        raise CheckFailed("\n".join(wrong))
    return f"{', '.join(leaving)}: no address of {', '.join(bench.plan.networks)}, none of a user"


def about(bench: Bench, sent: letters.Letter, field: str) -> bytes:
    """What came back to the sender about a message: its id is in a header field, or anywhere (""), without a sender."""
    def found() -> list[bytes]:
        return [content for one in bench.sender.all() if (content := one.content) and (
            sent.message_id in str(email.message_from_bytes(content).get(field, "")) if field
            else not one.sender and sent.message_id.encode() in content)]

    if not until(lambda: bool(found()), bench.patience):
        raise CheckFailed(f"nothing came back about {sent.message_id}; queues:\n{queues(bench)}")
    return found()[0]


CHECKS: tuple[tuple[str, Check], ...] = (
    ("what leaves tells nothing of the inside", nothing_told),
)
