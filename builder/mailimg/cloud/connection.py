"""The one module that knows openstacksdk: finds a cloud as every OpenStack user names it, logs in, calls services.

`clouds.yaml`, `secure.yaml` and the variables OS_* are read by openstacksdk, so what `openstack` takes is taken here.
It is imported when a cloud is asked for: commands that need none do not wait for it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version as package_version
from typing import TYPE_CHECKING, Any

from mailimg.cloud.words import said
from mailimg.errors import InputError, StepError

if TYPE_CHECKING:
    from openstack.connection import Connection

# Seconds until a service must take a connection, or give the next piece of an answer.
PATIENCE = 60.0
# The same when somebody has pressed Ctrl-C.
HURRY = 3.0
# What may pass by itself: a service that restarts, a proxy without a backend. Waits grow from half a second.
PASSING = (500, 502, 503, 504)
RETRIES = 4

WHERE_HINT = "Name a cloud of clouds.yaml with --os-cloud or OS_CLOUD, or set OS_AUTH_URL and the other OS_* variables."
LOGIN_HINT = "`openstack token issue` says whether the credentials are right."


class CloudError(StepError):
    """A service refused, or did not answer.

    Args:
        status: of the HTTP answer; 0 if there was none.
    """

    def __init__(self, message: str, hint: str = "", status: int = 0) -> None:
        super().__init__(message, hint)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether it may go better in a moment."""
        return self.status == 0 or self.status in PASSING


class LoginError(CloudError):
    """Keystone gives no token for what it was told; another attempt gets the same answer."""

    passing = False


class NoServiceError(CloudError):
    """The cloud's catalogue has no such service."""

    passing = False


class Cloud:
    """A project of a cloud, as the user that logged in; safe to use from several threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def project(self) -> str:
        """Id of the project."""
        return str(self._connection.current_project_id)

    @property
    def user(self) -> str:
        """Id of the user that logged in."""
        return str(self._connection.current_user_id)

    def has(self, kind: str) -> bool:
        """Whether the catalogue has a service of this type in the region; who logged in may ask."""
        return bool(self._endpoints(kind))

    @property
    def region(self) -> str:
        """The region that is worked in, named or not: where stacks are made."""
        found = self._endpoints("orchestration")
        return str(found[0].region_name if found else self._connection.config.get_region_name() or "")

    def _endpoints(self, kind: str) -> list[Any]:
        session, region = self._connection.session, self._connection.config.get_region_name(kind)
        catalogue = session.auth.get_access(session).service_catalog
        found = catalogue.get_endpoints_data(service_type=kind, region_name=region)
        return [one for several in found.values() for one in several]

    @property
    def name(self) -> str:
        """What clouds.yaml calls it, for messages."""
        return str(self._connection.config.full_name)

    @property
    def token(self) -> str:
        """The token that calls are made with."""
        return str(self._connection.session.get_token())

    def call(self, service: str, method: str, path: str, body: Any = None, *, what: str, missing: bool = False,
             headers: Mapping[str, str] | None = None, hurry: bool = False) -> Any:
        """One call, tried again when a service is away for a moment.

        Args:
            service: `image`, `compute`, `orchestration`, `load_balancer`, ...: openstacksdk's name.
            path: below the service's versioned endpoint, `/images`.
            body: JSON value to send.
            what: what this does for the user; begins the message of an error ("list the images").
            missing: give None for 404 instead of an error.
            hurry: try once, and not for long: somebody waits for us to end.

        Returns:
            The answer's JSON value; None if it has none.

        Raises:
            CloudError: refused, or no answer.
        """
        sent = None if body is None else json.dumps(body)
        kind = {"Content-Type": "application/json"} if body is not None else {}
        retries = 0 if hurry else RETRIES
        answer = self._request(service, method, path, what, data=sent, headers={**kind, **(headers or {})},
                               timeout=HURRY if hurry else PATIENCE, connect_retries=retries,
                               status_code_retries=retries, retriable_status_codes=list(PASSING))
        if missing and answer.status_code == 404:
            return None
        self._good(service, answer, what)
        # Heat takes an update with words instead of a value.
        return answer.json() if answer.content and "json" in answer.headers.get("Content-Type", "") else None

    def text(self, service: str, path: str, *, what: str) -> str:
        """A GET whose answer is text, such as a secret's payload; tried again and refused as `call`."""
        answer = self._request(service, "GET", path, what, headers={"Accept": "text/plain"}, timeout=PATIENCE,
                               connect_retries=RETRIES, status_code_retries=RETRIES,
                               retriable_status_codes=list(PASSING))
        self._good(service, answer, what)
        return str(answer.text)

    def send(self, service: str, path: str, stream: Iterable[bytes], *, what: str, patience: float) -> None:
        """PUT bytes, once: a stream cannot be sent again, so neither a refused token nor a lost connection is retried.

        Args:
            stream: with `read` and `__len__`; an exception that it raises ends the connection and comes out of here.
            patience: seconds for the answer, once all is sent.

        Raises:
            CloudError: refused, or cut off; 401 if the token has ended.
        """
        answer = self._request(service, "PUT", path, what, data=stream, timeout=(PATIENCE, patience),
                               headers={"Content-Type": "application/octet-stream"}, allow_reauth=False,
                               redirect=False, connect_retries=0, status_code_retries=0)
        self._good(service, answer, what)

    def log_in(self, *, valid: float = 0.0) -> None:
        """Get a token, unless there is one that holds for `valid` seconds.

        Raises:
            CloudError: Keystone refuses, or does not answer; who brought nothing but a token gets no other.
        """
        from keystoneauth1 import exceptions as ks
        from openstack import exceptions as sdk

        session, place = self._connection.session, self._connection.config.get_auth_args().get("auth_url", "?")
        try:
            access = session.auth.get_access(session)
            if access.will_expire_soon(valid):
                session.invalidate()
                session.get_token()
        except ks.HttpError as error:
            # Keystone says 404 of a token that has ended.
            raise LoginError(f"log in at {place}: {error.http_status} {line(error)}", LOGIN_HINT, 401) from error
        except (ks.ClientException, sdk.SDKException) as error:
            raise CloudError(f"log in at {place}: {line(error)}", LOGIN_HINT) from error

    def renew(self) -> None:
        """Forget the token and log in again; raises as `log_in`."""
        self._connection.session.invalidate()
        self.log_in()

    def _request(self, service: str, method: str, path: str, what: str, **options: Any) -> Any:
        from keystoneauth1 import exceptions as ks
        from openstack import exceptions as sdk

        try:
            return getattr(self._connection, service).request(path, method, skip_cache=True, **options)
        except (ks.EndpointNotFound, sdk.EndpointNotFound, sdk.NotSupported, sdk.ServiceDisabledException) as error:
            hint = "`openstack catalog list` says which services this cloud has, and in which region."
            raise NoServiceError(f"{what}: the cloud has no {service} service: {line(error)}", hint) from error
        except ks.HttpError as error:
            # What a service refuses is an answer here; only Keystone's refusals arrive as exceptions.
            raise LoginError(f"{what}: log in again: {error.http_status} {line(error)}", LOGIN_HINT, 401) from error
        except (ks.ClientException, sdk.SDKException) as error:
            raise CloudError(f"{what}: {line(error)}", "Is the network up? `openstack catalog list` names the URL.")\
                from error

    def _good(self, service: str, answer: Any, what: str) -> None:
        if answer.status_code >= 400:
            words = said(answer.text, str(answer.reason))
            hint = LOGIN_HINT if answer.status_code == 401 else ""
            raise CloudError(f"{what}: {service}: {answer.status_code} {words}", hint, answer.status_code)


def find(name: str | None) -> Cloud:
    """The cloud that is meant; nothing is asked of it yet.

    Args:
        name: in clouds.yaml; None for what OS_CLOUD or OS_* say, or the only cloud there is.

    Raises:
        InputError: there is no such cloud, or everything that is missing in what is said of it.
    """
    import openstack
    from keystoneauth1 import exceptions as ks
    from openstack import exceptions as sdk

    for logger in ("keystoneauth", "openstack", "urllib3"):
        # What went wrong comes as an exception; a person need not read it twice.
        logging.getLogger(logger).addHandler(logging.NullHandler())
    shown = "cloud" if name is None else f"cloud {name}"
    try:
        connection = openstack.connect(cloud=name, app_name="mailimg", app_version=package_version("mailimg"))
    except (sdk.ConfigException, ks.MissingRequiredOptions, ks.NoMatchingPlugin, OSError, ValueError) as error:
        raise InputError([f"{shown}: {line(error)}"], WHERE_HINT) from error
    problems = [f"{shown}: {problem}" for problem in lacking(str(connection.config.config.get("auth_type", "password")),
                                                             connection.config.get_auth_args())]
    if problems:
        raise InputError(problems, WHERE_HINT)
    return Cloud(connection)


def lacking(kind: str, given: Mapping[str, Any]) -> list[str]:
    """What a login by password lacks; keystoneauth says it late and one by one. Other kinds are left to it.

    Args:
        kind: `auth_type`.
        given: `auth`.
    """
    if kind not in ("password", "v3password"):
        return []
    wanted = {("auth_url",): "OS_AUTH_URL", ("username", "user_id"): "OS_USERNAME", ("password",): "OS_PASSWORD"}
    return [f"auth.{names[0]} ({variable}) is missing" for names, variable in wanted.items()
            if not any(given.get(name) for name in names)]


def line(error: BaseException) -> str:
    """An exception in one line; of a connection that failed, where to and why."""
    text = " ".join(str(error).split()) or type(error).__name__
    pool = re.search(r": HTTPS?ConnectionPool", text)
    reasons = re.findall(r"(?:\[Errno -?\d+\] |Error\(\d+, ['\"])([^'\"()]+)", text)
    return f"{text[:pool.start()]}: {reasons[-1].strip()}" if pool and reasons else text
