"""Two projects of one user, and two users of one project, with the same stack name in a real Keystone and Barbican."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cloud
import pytest
from cloud.client import Client
from cloud.seeding import ROLES, SITE, Identity
from cloud.settings import PASSWORD, REGION
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from mailimg.cloud import connection
from mailimg.cloud.connection import Cloud
from mailimg.stack import access
from mailimg.stack.credentials import Credential, Credentials
from mailimg.store import DEFAULT_ROOT

pytestmark = pytest.mark.lab

Login = Callable[[str, str], Cloud]
OTHER = "other"


@pytest.fixture(scope="module")
def rig() -> Iterator[cloud.Rig]:
    with cloud.openstack(Path(os.environ.get("MAILIMG_STORE", DEFAULT_ROOT)) / "cache", *cloud.USUAL) as made:
        admin = Identity(Client.with_password(made.keystone, "admin", PASSWORD, "admin", made.services.ca))
        project = admin.make("project", name=OTHER, domain_id="default")
        user = admin.make("user", name=OTHER, password=PASSWORD, domain_id="default")
        site, me = admin.find("projects", SITE), admin.find("users", SITE)
        assert site is not None
        assert me is not None
        for role in ROLES:
            found = admin.find("roles", role)
            assert found is not None
            admin.grant("projects", project, me, found)
            admin.grant("projects", site, user, found)
        yield made


@pytest.fixture
def login(rig: cloud.Rig, monkeypatch: pytest.MonkeyPatch) -> Login:
    """Log in as a user to a project."""

    def logged_in(user: str, project: str) -> Cloud:
        for name, value in {
            "AUTH_URL": rig.auth_url, "USERNAME": user, "PASSWORD": PASSWORD, "PROJECT_NAME": project,
            "USER_DOMAIN_NAME": "Default", "PROJECT_DOMAIN_NAME": "Default", "REGION_NAME": REGION,
            "CACERT": rig.services.ca,
        }.items():
            monkeypatch.setenv(f"OS_{name}", value)
        found = connection.find(None)
        found.log_in()
        return found

    return logged_in


def ensure(of: Cloud) -> Credential:
    return Credentials(of, "mail").ensure("smtp-in", access.LEAVING)


def opened(of: Cloud, one: Credential) -> str:
    """Its secret."""
    return of.text("key_manager", f"/secrets/{one.reference.rpartition('/')[2]}/payload", what="open a secret")


@pytest.mark.parametrize(("user", "project"), [(SITE, OTHER), (OTHER, SITE)], ids=["project", "user"])
def test_each_has_its_own(rig: cloud.Rig, login: Login, user: str, project: str) -> None:
    mine, theirs = login(SITE, SITE), login(user, project)
    first = ensure(mine)
    secret = opened(mine, first)
    # Without the filters the second finds the first, or that its name is taken; and takes it away in the end.
    second = ensure(theirs)
    assert opened(theirs, second) != secret
    assert ensure(mine) == first
    assert ensure(theirs) == second
    for one, of in ((first, mine), (second, theirs)):
        # What Heat puts into user data is what Keystone takes.
        v3.ApplicationCredential(rig.auth_url, application_credential_id=one.id,
                                 application_credential_secret=opened(of, one)).get_access(
                                     Session(verify=rig.services.ca))
    assert len(Credentials(theirs, "mail").drop()) == 2
    assert ensure(mine) == first
    assert opened(mine, first) == secret
    assert len(Credentials(mine, "mail").drop()) == 2
    assert Credentials(mine, "mail").drop() == []
