"""The layer's certificate: fetched and checked before anything is rendered, or the kept one in its place.

The last certificate that passed every check is kept on the node. A new one that does not pass never takes its place,
and while the source is away the node serves with it; both are warned of, each time.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional

from mailimg_firstboot.errors import GaveUpError, StepError, TransientError
from mailimg_firstboot.host import Host
from mailimg_firstboot.rolefile import RoleFile
from mailimg_firstboot.secret import Secret
from mailimg_firstboot.tls import bundle as bundles
from mailimg_firstboot.tls import checks, forms, ordering
from mailimg_firstboot.tls.bundle import Bundle
from mailimg_firstboot.tls.download import UntrustedError
from mailimg_firstboot.waiting import Clock, keep_trying

# Key first, then the chain. A single file, so that the two can never be of different certificates.
KEPT = "/var/lib/mailimg/tls/kept.pem"

# Seconds that a source is waited for by a node that can serve with what it has; the timer asks again.
SHORT_PATIENCE = 10.0

HINT = "Correct it at its source; then `mailimg-firstboot apply`, or `renew` on a node that serves. See also `date`."


class Certificate(NamedTuple):
    """What a run goes on with.

    Args:
        source: where `tls` says that it comes from.
        refused: why the source's own was not taken and this is the kept one; None: it is the source's.
    """

    bundle: Bundle
    seen: checks.Seen
    source: str
    refused: Optional[str]

    def warnings(self, now: float, days: int) -> List[str]:
        """Sentences for the operator, `days` before it ends and if it is the kept one."""
        found = []
        if self.refused:
            found.append("certificate: NOT RENEWED, serving with the kept one, valid until {}: {}".format(
                checks.stamp(self.seen.ends), self.refused))
        ending = checks.ending(self.seen.ends, now, days)
        if ending:
            found.append("certificate: {} {}".format(", ".join(self.seen.names) or "(no names)", ending))
        return found

    def status(self, now: float, days: int) -> Dict[str, Any]:
        """What status.json holds of it."""
        return {"names": self.seen.names, "not_after": checks.stamp(self.seen.ends), "source": self.source,
                "checked": checks.stamp(now), "kept": self.refused is not None, "warn_days": days,
                "warning": "; ".join(self.warnings(now, days)) or None}


def obtain(
    host: Host, clock: Clock, site: Dict[str, Any], role: RoleFile, patience: float, wait: Callable[[str], None],
    hurried: float = SHORT_PATIENCE,
) -> Optional[Certificate]:
    """The certificate to serve with; None for a node that needs none. Writes nothing.

    Args:
        site: checked, secrets resolved.
        patience: seconds that a source without an answer is waited for.
        wait: is told before each wait.
        hurried: the same for a node that has a kept certificate which is good.

    Raises:
        GaveUpError: the source did not answer, and nothing good is kept.
        StepError: what it gave does not pass the checks, or it refuses, and nothing good is kept.
    """
    tls = forms.wanted(site, role)
    if tls is None:
        return None
    source = forms.source(tls)
    held = kept(host)
    seen = checks.look(held, tls["names"], lambda: _trusted(host, tls, role)) if held else None
    good = seen is not None and not seen.problems and not checks.untimely(seen, clock.epoch())
    try:
        return keep_trying(lambda: _attempt(host, clock, site, role), clock,
                           min(patience, hurried) if good else patience, wait)
    except (StepError, GaveUpError) as error:
        if held is None or seen is None or seen.problems or checks.untimely(seen, clock.epoch()):
            raise
        return Certificate(held, seen, source, error.message)


def kept(host: Host) -> Optional[Bundle]:
    """The kept certificate, or None."""
    content = host.read(KEPT)
    if not content:
        return None
    text = content.decode("ascii", "replace")
    at = text.find("-----BEGIN CERTIFICATE-----")
    return Bundle(text[at:], Secret(text[:at])) if at > 0 else None


def kept_content(one: Bundle) -> bytes:
    """What `KEPT` holds of a certificate."""
    return "\n".join([one.key.reveal().strip(), one.certificate.strip(), ""]).encode("ascii")


def _attempt(host: Host, clock: Clock, site: Dict[str, Any], role: RoleFile) -> Certificate:
    """Fetch it once and check it."""
    tls = site["tls"]
    source = forms.source(tls)
    try:
        found = _fetch(host, site, role)
    except UntrustedError as error:
        if error.time and not host.clock_synchronised():
            raise TransientError(error.message + "; this node's clock is not synchronised yet", error.hint) from error
        raise
    except ValueError as error:
        raise StepError("certificate from {}: {}".format(source, error), HINT) from None
    seen = checks.look(found, tls["names"], lambda: _trusted(host, tls, role))
    if seen.problems:
        raise StepError("certificate from {}: {}".format(source, "; ".join(seen.problems)), HINT)
    words = checks.untimely(seen, clock.epoch())
    if words:
        words = "certificate from {}: {}".format(source, words)
        if not host.clock_synchronised():
            raise TransientError(words + "; this node's clock is not synchronised yet", HINT)
        raise StepError(words, HINT)
    return Certificate(found, seen, source, None)


def _fetch(host: Host, site: Dict[str, Any], role: RoleFile) -> Bundle:
    """The certificate in one form, whatever the form of its source; ValueError where it has none that is known."""
    tls = site["tls"]
    if "container" in tls:
        got = host.cloud.secrets(site, role).certificate(tls["container"].partition(":")[2])
        parts = [got.certificate] + ([got.intermediates] if got.intermediates else [])
        return Bundle(bundles.chain(*parts), bundles.key(got.private_key, got.passphrase))
    if "url" not in tls:
        return Bundle(tls["certificate"], tls["key"])
    content = host.tls.download(tls["url"], tls["ca"], _system_bundle(role))
    password = tls.get("password")
    if not bundles.is_archive(content):
        return Bundle(bundles.chain(content), bundles.key(content, password and password.reveal().encode("utf-8")))
    content = host.tls.unpack(content, password)
    key = bundles.key(content)
    return Bundle(ordering.sorted_chain(bundles.chain(content), key), key)


def _trusted(host: Host, tls: Dict[str, Any], role: RoleFile) -> str:
    """The authorities that a chain may end at, in PEM."""
    if tls["ca"] != "system":
        return str(tls["ca"])
    place = _system_bundle(role)
    content = host.read(place) if place else None
    if content is None:
        raise StepError("read the system's trust store {}: it is not there".format(place or "(facts.trust.bundle)"),
                        "The image must bring it; or give tls.ca.")
    return content.decode("ascii", "ignore")


def _system_bundle(role: RoleFile) -> str:
    return str(role.facts.get("trust", {}).get("bundle", ""))
