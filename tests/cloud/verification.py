"""The rig as `mailimg verify --cloud` is told of it."""

from __future__ import annotations

from typing import Any

from cloud.project import Project
from cloud.rig import Rig
from mailimg.peers import addresses as at
from mailimg_firstboot.cloud import barbican, octavia


def described(rig: Rig, project: Project, pools: dict[str, str]) -> dict[str, Any]:
    """The cloud as an operator describes it; the node reaches the services by ports of the bridge."""
    credential = project.credential([*octavia.Octavia.rules, *barbican.RULES])
    ports = rig.services.ports

    def url(name: str) -> str:
        return f"https://{at.HOST4}:{ports[name]}"

    return {
        "cloud": {
            "auth_url": url("keystone") + "/v3", "application_credential_id": credential.id,
            "application_credential_secret": f"literal:{credential.secret}", "ca": rig.ca,
            "endpoints": {"load-balancer": url("octavia"), "key-manager": url("barbican")},
        },
        "balancer": {"pools": pools},
        "token": project.me.auth.get_token(project.me.session),
        "reach": {ports[name]: f"127.0.0.1:{ports[name]}" for name in ("keystone", "octavia", "barbican")},
    }
