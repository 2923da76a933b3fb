"""Heat is told how a boot ended, where the site gives the URL of a wait condition's handle (`signal`).

OS::Heat::WaitConditionHandle takes a POST of JSON: with a token in X-Auth-Token, or at a URL that is signed itself. The
URL is therefore never shown.
"""

import json
from typing import Any, Callable, Dict

from mailimg_firstboot.errors import FirstbootError, TransientError
from mailimg_firstboot.waiting import Clock, keep_trying

# Seconds in all for Heat to take it, and for one silence.
PATIENCE = 60.0
SILENCE = 15.0

# Characters of a reason: it stands in Heat's events, which are short.
SHOWN = 200


def send(site: Dict[str, Any], bundle: str, instance: str, ok: bool, reason: str, clock: Clock,
         warn: Callable[[str], None], patience: float = PATIENCE) -> None:
    """Signal SUCCESS or FAILURE; what goes wrong is a warning, for the node's state does not depend on it.

    Args:
        site: the resolved site document; without `signal` nothing is sent.
        bundle: the system's trust store; empty: the library's default.
        instance: makes repeated signals of one instance one.
        patience: seconds after which no new attempt begins.
    """
    if "signal" not in site:
        return
    body = json.dumps({"status": "SUCCESS" if ok else "FAILURE", "reason": reason[:SHOWN], "data": instance,
                       "id": instance}).encode("utf-8")
    try:
        keep_trying(lambda: _post(site, bundle, body), clock, patience, lambda _: None)
    except FirstbootError as error:
        warn("{}: Heat does not know how this boot ended".format(error.message))


def _post(site: Dict[str, Any], bundle: str, body: bytes) -> None:
    import http.client
    import ssl
    import urllib.error
    import urllib.request

    signal = site["signal"]
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if "token" in signal:
        headers["X-Auth-Token"] = signal["token"].reveal()
    trust = signal.get("ca", site.get("cloud", {}).get("ca", "system"))
    # Proxies and redirects could take the token elsewhere.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), _stay(urllib.request),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(
            cafile=bundle or None if trust == "system" else None, cadata=None if trust == "system" else trust)))
    request = urllib.request.Request(signal["url"], body, headers, method="POST")  # noqa: S310 - the schema allows http(s)
    try:
        with opener.open(request, timeout=SILENCE):
            return
    except urllib.error.HTTPError as error:
        error.close()
        words = "signal: {} {}".format(error.code, error.reason)
        if error.code in (408, 429) or error.code >= 500:
            raise TransientError(words) from None
        raise FirstbootError(words) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise TransientError("signal: {}".format(words)) from None


def _stay(library: Any) -> Any:
    class Stay(library.HTTPRedirectHandler):  # type: ignore[misc]
        """Follows no redirect."""

        def redirect_request(self, *_args: Any) -> None:
            return None

    return Stay()
