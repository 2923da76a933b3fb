"""The calls that servers of a role make, as access rules of an application credential: these and no others.

Paths are matched literally by Keystone: `*` is one part of a path. They are the agent's (docs/contract.md, "Pools").
"""

from __future__ import annotations

import yaml

Rule = dict[str, str]

BALANCER, SECRETS = "load-balancer", "key-manager"
MEMBERS = "/v2.0/lbaas/pools/*/members"

# What a server asks Heat: whether it is to leave; and what it says when it has. By the deployment's own id: the signal
# of a resource goes to whoever has its name now, which is the successor's while a server is replaced.
LEAVING: tuple[Rule, ...] = (
    {"service": "orchestration", "method": "GET", "path": "/v1/*/software_deployments"},
    {"service": "orchestration", "method": "PUT", "path": "/v1/*/software_deployments/*"},
)


def rules(content: str) -> tuple[Rule, ...]:
    """What the user data of a role makes its servers call.

    Pools and secrets are named by `*`: pools have no id before the credential is there, and a secret that is replaced
    must not cost a new credential, which would replace every server.

    Args:
        content: user data of the role.
    """
    document = yaml.safe_load(content)
    found: list[Rule] = list(LEAVING)
    if "balancer" in document:
        found += [_rule(BALANCER, method, MEMBERS) for method in ("GET", "POST")]
        found += [_rule(BALANCER, method, MEMBERS + "/*") for method in ("PUT", "DELETE")]
    if "barbican:" in content:
        found.append(_rule(SECRETS, "GET", "/v1/secrets/*/payload"))
    if "container" in document.get("tls", {}):
        found.append(_rule(SECRETS, "GET", "/v1/containers/*"))
    return tuple(found)


def _rule(service: str, method: str, path: str) -> Rule:
    return {"service": service, "method": method, "path": path}
