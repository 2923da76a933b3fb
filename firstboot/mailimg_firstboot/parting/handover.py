"""What is left in the queue goes to a sibling through the layer's virtual address: sender and recipients as they are.

Postfix itself hands it over, so a message leaves the queue when, and only when, the sibling has taken it. Meanwhile no
refusal becomes a bounce (`soft_bounce`). The way cannot lead back here: this node is drained, and its ports are closed.
A sibling that asks for no login takes mail for the platform's domains only, as it does from everybody; for the rest the
node's own routes stay.
"""

from typing import Any, Dict, Optional

from mailimg_firstboot import mta, postfix
from mailimg_firstboot.errors import StepError
from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work


def check(host: Host, work: Work) -> Optional[str]:
    """Look into the queue."""
    left = mta.queue(host, work)
    return postfix.words(left) if left else None


def apply(host: Host, work: Work) -> None:
    """Turn all routes to the sibling and send everything, held mail included.

    Raises:
        StepError: the site names no siblings, or Postfix' programs failed.
    """
    mine, left = mta.of(work), mta.queue(host, work)
    if mine is None or not left:
        return
    siblings = work.site["leave"].get("siblings")
    if siblings is None:
        raise StepError("{}, and the site names nobody who could take it (leave.siblings)".format(postfix.words(left)),
                        "Give leave.siblings, or deliver it by hand: `postqueue -p`. `leave --force` leaves it behind.")
    for path, content in files(work, siblings).items():
        if host.read(path) != content:
            host.write(path, content, mode=0o600 if path == mta.LOGIN else 0o644)
    wanted = settings(siblings, str(work.role.facts.get("trust", {}).get("bundle", "")))
    # Mail that waits for the content filter knows only the way to it. The sibling filters what it takes. The mark comes
    # before the change, so that a run that was cut off between them is not forgotten.
    if host.postfix.setting(mine.config, "content_filter"):
        host.write(mta.REQUEUE, b"")
        wanted["content_filter"] = ""
    mta.change(host, work, mine, wanted)
    mta.take(host, work, mine, start=True)
    if host.read(mta.REQUEUE) is not None:
        before = {one.id for one in mta.queue(host, work)}
        host.postfix.requeue(mine.config)
        # What was being delivered just now is still to come.
        if not before & {one.id for one in mta.queue(host, work) if one.queue != "maildrop"}:
            host.remove(mta.REQUEUE)
    if any(one.queue == "hold" for one in left):
        host.postfix.release(mine.config)
    host.postfix.flush(mine.config)


def undo(host: Host, work: Work) -> None:
    """Back to the node's own routes; mail that was handed over stays so."""
    mta.restore(host, work)


def files(work: Work, siblings: Dict[str, Any]) -> Dict[str, bytes]:
    """The tables that Postfix reads, by path."""
    hop = _hop(siblings)
    if "login" not in siblings:
        rows = ["{} smtp:{}".format(one.lower(), hop) for one in work.site.get("domains", [])]
        return {mta.TRANSPORT: _text(*rows)}
    made = {
        mta.TRANSPORT: _text("* smtp:{}".format(hop)),
        mta.LOGIN: _text("{} {}:{}".format(hop, siblings["login"], siblings["password"].reveal())),
        mta.POLICY: _text("{} {}".format(hop, "secure match=nexthop" if "ca" in siblings else "encrypt")),
    }
    if siblings.get("ca", "system") != "system":
        made[mta.TRUST] = siblings["ca"].encode("ascii")
    return made


def settings(siblings: Dict[str, Any], bundle: str) -> Dict[str, str]:
    """What is changed in main.cf; `bundle` is the system's trust store."""
    made = {"transport_maps": "texthash:" + mta.TRANSPORT, "soft_bounce": "yes"}
    if "login" in siblings:
        made.update({
            "smtp_sasl_auth_enable": "yes",
            "smtp_sasl_password_maps": "texthash:" + mta.LOGIN,
            "smtp_sasl_security_options": "noanonymous",
            "smtp_sasl_tls_security_options": "noanonymous",
            "smtp_tls_policy_maps": "texthash:" + mta.POLICY,
        })
    if "ca" in siblings:
        made["smtp_tls_CAfile"] = bundle if siblings["ca"] == "system" else mta.TRUST
    return made


def _hop(siblings: Dict[str, Any]) -> str:
    return "[{}]:{}".format(siblings["host"], siblings["port"])


def _text(*rows: str) -> bytes:
    return "".join(row + "\n" for row in rows).encode("utf-8")
