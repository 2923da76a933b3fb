"""What tests ask the services with: keystoneauth1, as a person with a password, or with an application credential."""

from __future__ import annotations

from typing import Any

from keystoneauth1.identity import v3
from keystoneauth1.session import Session

TIMEOUT = 60.0


class Client:
    """An account in a project.

    Args:
        auth: keystoneauth1's plug-in.
        ca: file with the CA's certificate.
    """

    def __init__(self, auth: Any, ca: str) -> None:
        self.auth = auth
        self.session = Session(auth=auth, verify=ca, timeout=TIMEOUT)

    @classmethod
    def with_password(cls, keystone: str, name: str, password: str, project: str, ca: str) -> Client:
        """A user of the domain Default."""
        return cls(v3.Password(f"{keystone}/v3", username=name, password=password, project_name=project,
                               user_domain_name="Default", project_domain_name="Default"), ca)

    def request(self, service: str, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """One call; `service` is a type of the catalogue.

        Raises:
            keystoneauth1.exceptions.http.HttpError: a status from 400.
        """
        base = self.auth.get_access(self.session).service_catalog.url_for(service_type=service, interface="public")
        return self.session.request(base + path, method, json=body, **options)

    def get(self, service: str, path: str) -> Any:
        """The JSON value of a GET."""
        return self.request(service, "GET", path).json()

    def post(self, service: str, path: str, body: Any) -> Any:
        """The JSON value that a POST answers."""
        return self.request(service, "POST", path, body).json()

    @property
    def user(self) -> str:
        """The account's id."""
        return str(self.auth.get_access(self.session).user_id)
