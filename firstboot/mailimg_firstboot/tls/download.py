"""A file from an HTTPS server whose authority is given: no proxies, no redirects, no more than a certificate needs."""

import re
import time
from typing import Any, Optional

from mailimg_firstboot.errors import StepError, TransientError

# Seconds of silence in an answer, and for the whole of it.
SILENCE = 20.0
WHOLE = 60.0

# A chain of ten with its key is 30 KiB.
MAX_BYTES = 1 << 20


class UntrustedError(StepError):
    """The server is not who it must be; `time`: the dates of its certificate are, or may be, why."""

    def __init__(self, message: str, hint: str, time: bool) -> None:
        super().__init__(message, hint)
        self.time = time


def get(url: str, ca: Optional[str], bundle: Optional[str]) -> bytes:
    """The bytes behind a URL.

    Args:
        url: https.
        ca: PEM certificates that the server's must chain to; None: the system's.
        bundle: file of the system's trust store; None: where the interpreter's OpenSSL has it.

    Raises:
        TransientError: no answer, a server error, or an answer cut off.
        UntrustedError: the server's certificate does not chain to `ca`, or is of another name or time.
        StepError: the server refuses, redirects, or sends more than `MAX_BYTES`.
    """
    import http.client
    import ssl
    import urllib.error

    what = "get {}".format(url)
    try:
        with _opener(ca, bundle).open(url, timeout=SILENCE) as answer:
            return _body(answer, what)
    except urllib.error.HTTPError as error:
        error.close()
        words = "{}: {} {}".format(what, error.code, error.reason)
        if error.code in (408, 429) or error.code >= 500:
            raise TransientError(words) from None
        hint = "The server redirects: give the last URL." if 300 <= error.code < 400 else "Is tls.url right?"
        raise StepError(words, hint) from None
    # HTTPException: what is no HTTP, or ends in the middle of it. In Python 3.6 CertificateError is no OSError.
    except (OSError, http.client.HTTPException, ssl.CertificateError) as error:
        reason = getattr(error, "reason", error)
        said = str(reason)
        # Python 3.6 has no class of its own for this.
        if isinstance(reason, (ssl.SSLError, ssl.CertificateError)) and re.search("(?i)certificate.verify|match", said):
            words = "{}: the server's certificate does not chain to tls.ca, or is of another name".format(what)
            dates = re.search("expired|not yet valid", said)
            # Python 3.6 does not say why, but for names: dates may be the reason.
            blind = re.search(r"verify failed \(", said) is not None
            if dates:
                words = "{}: the server's own certificate is {}".format(what, dates.group())
            elif blind:
                words += ", or is not valid now"
            raise UntrustedError(words, "Give its authority as tls.ca. A wrong clock has the same effect: `date`.",
                                 dates is not None or blind) from None
        words = getattr(reason, "strerror", None) or said or type(reason).__name__
        raise TransientError("{}: {}".format(what, words), "Has the instance a route to the server?") from None


def _opener(ca: Optional[str], bundle: Optional[str]) -> Any:
    import ssl
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        """Follows no redirect: what is pinned is this server."""

        def redirect_request(self, *_arguments: Any) -> None:
            return None

    try:
        context = ssl.create_default_context(cadata=ca) if ca else ssl.create_default_context(cafile=bundle)
    except (OSError, ValueError) as error:
        raise StepError("tls.ca: {}".format(getattr(error, "strerror", None) or error)) from None
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), Stay(), urllib.request.HTTPSHandler(context=context))


def _body(answer: Any, what: str) -> bytes:
    body, begun = b"", time.monotonic()
    while True:
        piece = answer.read(65536)
        if not piece:
            break
        body += piece
        if len(body) > MAX_BYTES:
            raise StepError("{}: more than {} bytes".format(what, MAX_BYTES), "Is tls.url that of a certificate?")
        if time.monotonic() - begun > WHOLE:
            raise TransientError("{}: not complete after {:.0f} s".format(what, WHOLE))
    promised = answer.headers.get("Content-Length")
    if promised is not None and promised.isdigit() and int(promised) != len(body):
        raise TransientError("{}: cut off after {} of {} bytes".format(what, len(body), promised))
    return body
