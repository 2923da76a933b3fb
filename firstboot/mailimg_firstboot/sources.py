"""Where an instance looks for its metadata: seed directory, config drive, metadata service; the first that is there.

"Absent" (no such directory, no such drive, 404) and "broken" (cut off, no answer) are different things: what is absent
is looked for in the next place, what is broken is an error that names the place. Only the service is asked again: it
may be late, files of a drive do not change.
"""

from typing import Any, Callable, Dict, Optional

from mailimg_firstboot import drive, metadata
from mailimg_firstboot.errors import FirstbootError, TransientError
from mailimg_firstboot.host import Host
from mailimg_firstboot.waiting import Clock, keep_trying

SEED = "/var/lib/cloud/seed/config_drive/openstack/latest/"
SERVICE = "http://169.254.169.254/openstack/latest/"
NAMES = ["meta_data.json", "user_data", "vendor_data.json"]

# Seconds that the service may be silent in one read, and that one file may take in all.
SILENCE = 10.0
FILE_TIME = 30.0


def find(
    host: Host, clock: Clock, patience: float, note: Callable[[str], None], wait: Callable[[str], None],
    url: str = SERVICE, opener: Any = None,
) -> metadata.Metadata:
    """The metadata of this instance.

    Args:
        host: the machine.
        clock: measures and waits.
        patience: seconds that a silent metadata service is asked again.
        note: is told where the metadata was found.
        wait: is told of every wait.
        url: of the service, with a slash at its end.
        opener: what opens URLs; by default `make_opener`.

    Raises:
        DocumentError: there is metadata but no usable site document in it.
        FirstbootError: no metadata, or it is broken.
    """
    files: Dict[str, Optional[bytes]] = {name: host.read(SEED + name) for name in NAMES}
    if files["meta_data.json"] is not None:
        note("metadata: seed directory {}".format(SEED))
        return _parse(files, "the seed directory " + SEED)
    device = drive.find(host)
    if device is not None:
        note("metadata: config drive {}".format(device))
        read = drive.read(host, device, NAMES)
        return _parse({name: read.get(name) for name in NAMES}, "the config drive " + device)
    note("metadata: no seed directory, no drive labelled {}; asking {}".format(drive.LABEL, url))
    service = Service(url, clock, opener)
    return keep_trying(service.read, clock, patience, wait)


def _parse(files: Dict[str, Optional[bytes]], place: str) -> metadata.Metadata:
    meta_data = files["meta_data.json"]
    if meta_data is None:
        raise FirstbootError("{}: no openstack/latest/meta_data.json".format(place), "It is no config drive of Nova.")
    try:
        return metadata.parse(meta_data, files["user_data"], files["vendor_data.json"])
    except metadata.BrokenMetadataError as error:
        hint = "Rebuild the server: a config drive is written once, when the server is created."
        raise FirstbootError("{}: {}".format(place, error.message), hint) from error


class Service:
    """The metadata service, without proxies and without leaving its host."""

    def __init__(self, url: str, clock: Clock, opener: Any = None) -> None:
        self._url = url
        self._clock = clock
        self._opener = opener or make_opener()

    def read(self) -> metadata.Metadata:
        """One attempt at all files.

        Raises:
            TransientError: no answer, a server error, a file cut off, or no metadata for this instance yet.
            DocumentError: the files are whole, but no site document is in them.
        """
        meta_data = self.get("meta_data.json")
        if meta_data is None:
            raise TransientError("metadata service {} has no meta_data.json for this instance".format(self._url),
                                 "Is the server's port known to the metadata agent of its network?")
        try:
            return metadata.parse(meta_data, self.get("user_data"), self.get("vendor_data.json"))
        except metadata.BrokenMetadataError as error:
            raise TransientError("metadata service {}: {}".format(self._url, error.message), error.hint) from error

    def get(self, name: str) -> Optional[bytes]:
        """One file; None when the service says that there is none (404)."""
        import http.client
        import urllib.error

        what = "get {}{}".format(self._url, name)
        try:
            with self._opener.open(self._url + name, timeout=SILENCE) as answer:
                return self._body(answer, what)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                return None
            if error.code in (408, 429) or error.code >= 500:
                raise TransientError("{}: {} {}".format(what, error.code, error.reason)) from error
            raise FirstbootError("{}: {} {}".format(what, error.code, error.reason),
                                 "The service refuses this instance; asking again would not help.") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise TransientError("{}: {}".format(what, words),
                                 "Has the instance an address and a route to the service? `ip route`") from error

    def _body(self, answer: Any, what: str) -> bytes:
        """All bytes of an answer that is neither too long nor too slow, and as long as it said."""
        body, begun = b"", self._clock.now()
        while True:
            piece = answer.read(65536)
            if not piece:
                break
            body += piece
            if len(body) > metadata.MAX_BYTES:
                raise FirstbootError("{}: more than {} bytes".format(what, metadata.MAX_BYTES))
            if self._clock.now() - begun > FILE_TIME:
                raise TransientError("{}: not complete after {:.0f} s".format(what, FILE_TIME))
        promised = answer.headers.get("Content-Length")
        if promised is not None and promised.isdigit() and int(promised) != len(body):
            raise TransientError("{}: cut off after {} of {} bytes".format(what, len(body), promised))
        return body


def make_opener(*handlers: Any) -> Any:
    """What opens URLs: no proxies (the service is on the link), redirects only within the same host."""
    import urllib.error
    import urllib.parse
    import urllib.request

    class SameHost(urllib.request.HTTPRedirectHandler):
        """Follows a redirect only if it stays where we asked."""

        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
            if (old.scheme, old.netloc) != (new.scheme, new.netloc):
                words = "redirected to another host, " + new.netloc
                raise urllib.error.HTTPError(req.full_url, code, words, headers, fp)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    return urllib.request.build_opener(urllib.request.ProxyHandler({}), SameHost(), *handlers)
