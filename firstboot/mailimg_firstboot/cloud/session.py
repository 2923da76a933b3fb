"""A connection to the cloud's APIs, as the application credential of the site document.

keystoneauth1 does the authentication; 5.0.0 (Debian 12), 5.1.3 (the last for Python 3.6) and later ones are used alike.
A token that the service no longer takes is replaced once; nothing else is tried again here: what may pass by itself is
a TransientError, for `waiting.keep_trying`. No error holds a token or the credential's secret.
"""

import contextlib
import json
import os
import re
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple, Optional, Sequence

from mailimg_firstboot.errors import StepError, TransientError
from mailimg_firstboot.secret import Secret

# Seconds for a connection, and for each silence in an answer: a loaded Octavia takes several for a change.
TIMEOUT = 20.0

# What of an API's own words stands in a message.
SHOWN = 200

# A version at the end of a catalogue's URL; paths are given with theirs, because access rules match them literally.
VERSION = re.compile(r"/v[0-9]+(?:\.[0-9]+)?/?$")

JSON = "application/json"


class ConflictError(TransientError):
    """409: under change by somebody else, or there already; the next look tells which."""


class NotFoundError(StepError):
    """404: there is no such thing in the credential's project."""


class BadRequestError(StepError):
    """400: the API does not understand the call."""


class Settings(NamedTuple):
    """The key `cloud` of a site document.

    Args:
        ca: PEM, or `system`.
        bundle: file of the system's trust store.
        endpoints: URLs by service type, in place of the catalogue's.
    """

    auth_url: str
    credential: str
    secret: Secret
    region: Optional[str]
    interface: str
    ca: str
    bundle: str
    endpoints: Dict[str, str]


def settings(site: Dict[str, Any], facts: Dict[str, Dict[str, Any]]) -> Settings:
    """The settings of a checked site document whose secrets of `cloud` are resolved.

    Args:
        facts: of the distribution; `trust.bundle` is the system's trust store.
    """
    cloud = site["cloud"]
    return Settings(
        cloud["auth_url"], cloud["application_credential_id"], cloud["application_credential_secret"],
        cloud.get("region"), cloud["interface"], cloud["ca"], str(facts.get("trust", {}).get("bundle", "")),
        cloud["endpoints"])


class Answer(NamedTuple):
    """What an API said to a call that it took."""

    status: int
    content: bytes

    def json(self, what: str) -> Any:
        """Its JSON value.

        Raises:
            TransientError: it is none; something between us and the API answered.
        """
        try:
            return json.loads(self.content.decode("utf-8"))
        except ValueError:
            raise TransientError("{}: the answer is not JSON".format(what)) from None


class Session:
    """An account in a project; it authenticates with the first call.

    Args:
        state: what `state` gave to an earlier process: its token is used for as long as it is good. It is a secret.
    """

    def __init__(self, chosen: Settings, state: Optional[str] = None) -> None:
        self._settings = chosen
        self._state = state
        self._endpoints = dict(chosen.endpoints)
        self._auth: Any = None
        self._session: Any = None
        self._trust: Optional[int] = None
        # One call at a time: whether the library's objects stand being shared is not documented.
        self._lock = threading.RLock()

    def __del__(self) -> None:
        if self._trust is not None:
            os.close(self._trust)

    def call(
        self, service: str, method: str, path: str, names: Sequence[str], what: str, query: str = "",
        body: Optional[Dict[str, Any]] = None, accept: str = JSON,
    ) -> Answer:
        """One call.

        Args:
            service: its type in the catalogue, such as load-balancer.
            method: GET, POST, PUT or DELETE.
            path: after host, prefix and nothing else, with `*` for each of `names`: as an access rule has it.
            names: ids that stand for the `*`.
            what: what this is done for; begins every message.
            query: what follows the path, encoded, with its question mark.
            body: becomes JSON.
            accept: the media type that is wanted.

        Raises:
            ConflictError: 409.
            NotFoundError: 404.
            TransientError: no answer, 408, 429, or a server error.
            StepError: refused, or an answer that trying again would not change.
        """
        with self._asking(what):
            url = self._endpoint(service, what) + _filled(path, names) + query
            answer = self._session.request(
                url, method, json=body, headers={"Accept": accept}, redirect=False, raise_exc=False, log=False)
        status, content = int(answer.status_code), bytes(answer.content)
        if 200 <= status < 300:
            return Answer(status, content)
        said = "{}: {} {}".format(what, status, _fault(content) or answer.reason or "")
        raise _refusal(status, said.strip(), "{{service: {}, method: {}, path: {}}}".format(service, method, path))

    def project(self, what: str) -> str:
        """Id of the credential's project. Errors as `call`."""
        with self._asking(what):
            return str(self._auth.get_access(self._session).project_id)

    def state(self) -> Optional[str]:
        """What another `Session` of the same settings can go on with; None before the first call."""
        return str(self._auth.get_auth_state()) if self._auth is not None else None

    def token(self) -> str:
        """The token that the next call will carry; for tests that take it away."""
        self._open()
        return str(self._session.get_token())

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """The library's objects, for one caller at a time; what they raise becomes an error of ours."""
        try:
            from keystoneauth1 import exceptions
        except ImportError as error:
            raise StepError("{}: this image has no {}".format(what, error.name),
                            "Build it anew; the element mailimg-agent-deps brings the agent's libraries.") from error
        try:
            with self._lock:
                self._open()
                yield
        except exceptions.ClientException as error:
            # `from None`: the library's words hold URLs and requests, which nobody has checked for secrets.
            raise _failure(what, error, self._settings) from None

    def _open(self) -> None:
        """Make the library's objects; importing it takes longer than the rest of the agent."""
        if self._session is not None:
            return
        import requests
        from keystoneauth1.identity import v3
        from keystoneauth1.session import Session as Library

        chosen = self._settings
        self._auth = v3.ApplicationCredential(
            versioned(chosen.auth_url), application_credential_id=chosen.credential,
            application_credential_secret=chosen.secret.reveal())
        self._auth.set_auth_state(self._state)
        plain = requests.Session()
        # Neither proxies nor a .netrc of the caller's environment: they could take the credential elsewhere.
        plain.trust_env = False
        self._session = Library(auth=self._auth, session=plain, verify=self._verify(), timeout=TIMEOUT)

    def _verify(self) -> Any:
        """What certificates must chain to, as a file: requests takes nothing else."""
        if self._settings.ca == "system":
            # The library's own bundle is not the system's.
            return self._settings.bundle or True
        # Late: it imports random (see cli).
        import tempfile

        # Loses its name at once, so that a killed run leaves nothing; open for as long as this object lives.
        self._trust, name = tempfile.mkstemp(prefix="mailimg-ca-")
        Path(name).unlink()
        os.write(self._trust, self._settings.ca.encode("ascii"))
        return "/proc/self/fd/{}".format(self._trust)

    def _endpoint(self, service: str, what: str) -> str:
        if service not in self._endpoints:
            catalogue = self._auth.get_access(self._session).service_catalog
            urls = sorted(set(catalogue.get_urls(
                service_type=service, interface=self._settings.interface, region_name=self._settings.region)))
            if len(urls) != 1:
                raise StepError("{}: the catalogue has {} {} endpoint for {}{}".format(
                    what, "more than one" if urls else "no", self._settings.interface, service,
                    ": " + ", ".join(urls) if urls else ""),
                    "See `openstack catalog list`; set cloud.region, cloud.interface or cloud.endpoints.")
            self._endpoints[service] = urls[0]
        base = self._endpoints[service].rstrip("/")
        # Heat's has the project behind its version.
        mine = "/{}".format(self._auth.get_access(self._session).project_id)
        return VERSION.sub("", base[:-len(mine)] if base.endswith(mine) else base)


def versioned(auth_url: str) -> str:
    """Keystone's URL with the version that application credentials exist in."""
    return VERSION.sub("", auth_url.rstrip("/")) + "/v3"


def _filled(path: str, names: Sequence[str]) -> str:
    for name in names:
        path = path.replace("*", name, 1)
    return path


def _refusal(status: int, said: str, rule: str) -> Exception:
    """The error for a status that is not 2xx."""
    if status == 404:
        return NotFoundError(said)
    if status == 409:
        return ConflictError(said)
    if status in (408, 429) or status >= 500:
        return TransientError(said)
    if status in (401, 403):
        # A token that is not good enough was replaced before: what is left is what the credential may not do.
        return StepError(said, (
            "The application credential needs the access rule {} (or none at all) and a role that allows it. "
            "See `openstack application credential show` and `openstack access rule list`.").format(rule))
    if status == 400:
        return BadRequestError(said)
    if 300 <= status < 400:
        return StepError(said, "The API redirects, and a token is not sent elsewhere: set cloud.endpoints.")
    return StepError(said)


def _failure(what: str, error: Any, chosen: Settings) -> Exception:
    """The error for an exception of keystoneauth1: no answer, or Keystone did not let us in."""
    from keystoneauth1 import exceptions

    if isinstance(error, exceptions.SSLError) and re.search("certificate|match", str(error)):
        return StepError("{}: the API's certificate does not chain to cloud.ca, or is of another name".format(what),
                         "Give the CA's certificates as cloud.ca. A wrong clock has the same effect: `date`.")
    if isinstance(error, exceptions.ConnectionError):
        return TransientError("{}: {}".format(what, _reason(error)), "Has the instance a route to the API?")
    status = getattr(error, "http_status", 0)
    said = "{}: authenticate at {}: {}".format(what, chosen.auth_url, status or type(error).__name__)
    # Of one that was deleted, Keystone says 404, as it does where it is not.
    if status in (401, 403) or (status == 404 and "application credential" in str(error).lower()):
        return StepError(said + " the application credential {} is not accepted".format(chosen.credential),
                         "Its secret is wrong, it has expired, or it (or its user) was deleted.")
    if status in (408, 429) or status >= 500 or isinstance(error, exceptions.InvalidResponse):
        return TransientError(said)
    return StepError(said, "Is cloud.auth_url that of Keystone, version 3?")


def _reason(error: BaseException) -> str:
    """Why there is no answer, in the words of whatever is at the bottom of an exception."""
    cause: Optional[BaseException] = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        if "timed out" in str(cause) or "Timeout" in type(cause).__name__:
            return "no answer within {:.0f} s".format(TIMEOUT)
        cause = cause.__cause__ or cause.__context__
    return "the connection broke"


def _fault(content: bytes) -> str:
    """An API's own words for an error, on one line; Octavia, Neutron and Barbican each have a form of their own."""
    try:
        fault = json.loads(content.decode("utf-8"))
    except ValueError:
        return ""
    for key in ("NeutronError", "error"):
        if isinstance(fault, dict) and key in fault:
            fault = fault[key]
    if isinstance(fault, dict):
        fault = next((fault[key] for key in ("faultstring", "description", "message") if fault.get(key)), "")
    words = re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", str(fault)).strip()
    return words if len(words) <= SHOWN else words[:SHOWN] + "..."
