"""Lines of Postfix (2.10 to 3.7), by the part of it that wrote them."""

from __future__ import annotations

import re

from mailimg.trace import events
from mailimg.trace.events import Said

# Long ids (enable_long_queue_ids): time, `z`, inode, in digits and letters that are no vowels; short ones hexadecimal.
CONSONANTS = "0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y"
QUEUE_ID = rf"(?:[{CONSONANTS}z]{{10,}}z[{CONSONANTS}]{{1,16}}|[0-9A-F]{{6,20}})"
WITH_ID = re.compile(rf"(?P<id>{QUEUE_ID}|NOQUEUE): (?P<rest>.*)", re.DOTALL)
QUEUED_AS = re.compile(rf"\bqueued as (?P<id>{QUEUE_ID})\b")
CLIENT = re.compile(rf"client=(?P<client>[^,\s]+)(?:, orig_queue_id=(?P<before>{QUEUE_ID}))?"
                    r"(?:, orig_client=(?P<first>[^,\s]+))?(?P<rest>.*)")
LOGIN = re.compile(r"\bsasl_username=(?P<user>[^,\s]+)")
IDENTITY = re.compile(r"message-id=(?P<id>.*)")
ACTIVE = re.compile(r"from=<(?P<sender>[^>]*)>, size=(?P<size>\d+), nrcpt=(?P<count>\d+) \(queue active\)")
EXPIRED = re.compile(r"from=<[^>]*>, status=(?P<status>(?:force-)?expired), (?P<words>.*)")
DELIVERY = re.compile(
    r"to=<(?P<to>[^>]*)>, (?:orig_to=<(?P<original>[^>]*)>, )?relay=(?P<relay>[^,]+), (?:conn_use=\d+, )?"
    r"delay=(?P<delay>[\d.]+), (?:delays=[^,]+, )?dsn=(?P<dsn>[\d.]+), status=(?P<status>\w+) \((?P<words>.*)\)",
    re.DOTALL)
REFUSAL = re.compile(
    r"(?P<how>milter-reject|reject|milter-discard|discard|milter-hold|hold|warn): (?P<stage>\S+(?: command)?) "
    r"from (?P<client>\S+?)[:;] (?P<words>.*)", re.DOTALL)
HEADER = re.compile(r"(?P<how>reject|discard|hold): (?:header|body|mime-header|nested-header) (?P<words>.*)", re.DOTALL)
ENVELOPE = re.compile(r"; from=<[^>]*>(?: to=<(?P<to>[^>]*)>)?(?: proto=\S+)?(?: helo=<[^>]*>)?(?P<more>: .*)?$",
                      re.DOTALL)
CODE = re.compile(r"(?:(?P<code>[45]\d\d) )?(?:(?P<dsn>[245]\.\d{1,3}\.\d{1,3}) )?(?P<words>.*)", re.DOTALL)
CHILD = re.compile(
    rf"(?P<what>(?:sender|postmaster) (?:non-delivery|delivery status|delay) notification): (?P<id>{QUEUE_ID})")
PICKUP = re.compile(rf"uid=(?P<uid>\d+) from=<[^>]*>(?: orig_id=(?P<before>{QUEUE_ID}))?")
SAVED = re.compile(r"250 2\.0\.0 <[^>]*> (?P<session>\S+) Saved")
# Refused for good, where `soft_bounce` keeps it nevertheless, as while a node leaves.
SOFT = {"SOFTBOUNCE": "deferred"}
# postsuper's words; its "removed" is qmgr's as well.
ADMINISTRATOR = {"placed on hold": events.HELD, "released from hold": events.RELEASED, "requeued": events.NOTE,
                 "expired": events.NOTE}


def parse(daemon: str, text: str) -> Said | None:
    """What a line says of a message; None if it speaks of none, or says nothing that a person needs.

    Args:
        daemon: its last part tells what the words leave open: `postfix/postsuper` is `postsuper`.
    """
    match = WITH_ID.fullmatch(text)
    if match is None:
        return None
    queue_id = "" if match["id"] == "NOQUEUE" else match["id"]
    rest = match["rest"]
    if rest in ADMINISTRATOR:
        return Said(ADMINISTRATOR[rest], queue_id, words=f"by an administrator: {rest}")
    if rest == "removed" and daemon.endswith("/postsuper"):
        return Said(events.DELETED, queue_id, words="by an administrator: removed")
    for reader in (_identity, _taken, _active, _delivery, _child, _refusal):
        said = reader(queue_id, rest)
        if said is not None:
            return said
    if rest == "removed":
        return Said(events.REMOVED, queue_id, words="done, removed from the queue")
    if rest.startswith(("replace: ", "prepend: ", "ignore: ", "strip: ", "info: ")):
        return None  # what header checks did to a message tells nothing of its way
    return Said(events.NOTE, queue_id, words=rest)


def _identity(queue_id: str, text: str) -> Said | None:
    match = IDENTITY.fullmatch(text)
    if match is None:
        return None
    message_id = match["id"].strip()
    return Said(events.IDENTITY, queue_id, words=f"message-id={message_id}",
                message_id="" if message_id == "<>" else message_id)


def _taken(queue_id: str, text: str) -> Said | None:
    match = CLIENT.fullmatch(text)
    if match is not None:
        login = LOGIN.search(match["rest"])
        user = login["user"] if login else ""
        words = f"taken from {match['client']}" + (f", logged in as {user}" if user else "")
        words += f", first from {match['first']}" if match["first"] else ""
        return Said(events.CLIENT, queue_id, words=words, previous_id=match["before"] or "", user=user)
    match = PICKUP.fullmatch(text)
    if match is None:
        return None
    words = f"taken from a program of this node (uid {match['uid']})"
    return Said(events.LOCAL, queue_id, words=words, previous_id=match["before"] or "")


def _active(queue_id: str, text: str) -> Said | None:
    match = ACTIVE.fullmatch(text)
    if match is not None:
        words = f"from <{match['sender']}>, {match['size']} bytes, recipients: {match['count']}"
        return Said(events.ACTIVE, queue_id, words=words)
    match = EXPIRED.fullmatch(text)
    if match is not None:
        return Said(events.EXPIRED, queue_id, status=match["status"], words=f"{match['status']}, {match['words']}")
    return None


def _delivery(queue_id: str, text: str) -> Said | None:
    match = DELIVERY.fullmatch(text)
    if match is None:
        return None
    words = match["words"]
    queued, saved = QUEUED_AS.search(words), SAVED.search(words)
    return Said(events.DELIVERY, queue_id, recipient=match["to"], original=match["original"] or "",
                status=SOFT.get(match["status"], match["status"]), dsn=match["dsn"], words=words, relay=match["relay"],
                delay=float(match["delay"]), next_id=queued["id"] if queued else "",
                session=saved["session"] if saved else "")


def _child(queue_id: str, text: str) -> Said | None:
    match = CHILD.fullmatch(text)
    if match is None:
        return None
    return Said(events.BOUNCE, queue_id, words=f"{match['what']}: {match['id']}", next_id=match["id"])


def _refusal(queue_id: str, text: str) -> Said | None:
    match = HEADER.fullmatch(text) or REFUSAL.fullmatch(text)
    if match is None:
        return None
    words, recipient = match["words"], ""
    envelope = ENVELOPE.search(words)
    if envelope is not None:
        # Header checks say behind the envelope why.
        words, recipient = words[:envelope.start()] + (envelope["more"] or ""), envelope["to"] or ""
    told = CODE.fullmatch(words)
    assert told is not None  # noqa: S101 - it matches everything
    where = match.groupdict().get("stage")
    kind = {"discard": events.DISCARDED, "hold": events.HELD, "warn": events.NOTE}.get(
        match["how"].removeprefix("milter-"), events.REJECT)
    dsn = told["dsn"] or ""
    # A milter's refusal is logged without the SMTP code; the first digit of the DSN is the same.
    status = told["code"] or {"4": "4xx", "5": "5xx"}.get(dsn[:1], "5xx")
    return Said(kind, queue_id, recipient=recipient, status=status if kind == events.REJECT else "", dsn=dsn,
                words=f"{match['how']} at {where}: {told['words']}" if where else f"{match['how']}: {words}")
