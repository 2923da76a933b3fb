"""The project of the tests: what an operator prepares before instances boot, and looks at afterwards."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloud.client import Client

if TYPE_CHECKING:
    from cloud.rig import Rig

# There is no Neutron: nobody looks whether it exists.
SUBNET = "7f0f7a7e-0d5c-4b64-9a0f-31b0f8a7c001"

# Seconds that a load balancer may be under change.
SETTLE_TIMEOUT = 60.0


@dataclass(frozen=True)
class Credential:
    """An application credential."""

    id: str
    secret: str


@dataclass(frozen=True)
class LoadBalancer:
    """A load balancer; `pools` are ids by the listeners' names."""

    id: str
    pools: dict[str, str]


class Project:
    """A project, as its user sees it."""

    def __init__(self, rig: Rig, me: Client) -> None:
        self.rig = rig
        self.me = me

    def credential(self, rules: Sequence[Mapping[str, str]] | None = None) -> Credential:
        """A new application credential, limited to access rules if there are any."""
        wanted: dict[str, Any] = {"name": f"c-{uuid.uuid4()}"}
        if rules is not None:
            wanted["access_rules"] = [dict(rule) for rule in rules]
        path = f"/users/{self.me.user}/application_credentials"
        made = self.me.post("identity", path, {"application_credential": wanted})["application_credential"]
        return Credential(made["id"], made["secret"])

    def withdraw(self, credential: Credential) -> None:
        """Delete an application credential; its tokens end with it."""
        self.me.request("identity", "DELETE", f"/users/{self.me.user}/application_credentials/{credential.id}")

    def revoke(self, token: str) -> None:
        """End a token; Keystone cannot end one that has access rules (it says 404)."""
        self.me.request("identity", "DELETE", "/auth/tokens", headers={"X-Subject-Token": token})

    def load_balancer(self, name: str, ports: Mapping[str, int]) -> LoadBalancer:
        """A load balancer with a listener and a pool, both of its name, for each port."""
        body = {"loadbalancer": {"name": name, "vip_subnet_id": SUBNET}}
        made = self.me.post("load-balancer", "/v2.0/lbaas/loadbalancers", body)["loadbalancer"]["id"]
        pools = {}
        for one, port in ports.items():
            self.settle(made)
            listener = self.me.post("load-balancer", "/v2.0/lbaas/listeners", {"listener": {
                "name": one, "protocol": "TCP", "protocol_port": port, "loadbalancer_id": made}})["listener"]["id"]
            self.settle(made)
            pools[one] = self.me.post("load-balancer", "/v2.0/lbaas/pools", {"pool": {
                "name": f"{name}-{one}", "protocol": "TCP", "lb_algorithm": "LEAST_CONNECTIONS",
                "listener_id": listener}})["pool"]["id"]
        self.settle(made)
        return LoadBalancer(made, pools)

    def lonely_pool(self, balancer: LoadBalancer, name: str) -> str:
        """A pool without a listener; its name may be that of another."""
        made = self.me.post("load-balancer", "/v2.0/lbaas/pools", {"pool": {
            "name": name, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "loadbalancer_id": balancer.id}})
        self.settle(balancer.id)
        return str(made["pool"]["id"])

    def settle(self, balancer: str) -> None:
        """Wait until a load balancer may be changed."""
        deadline = time.monotonic() + SETTLE_TIMEOUT
        while time.monotonic() < deadline:
            found = self.me.get("load-balancer", f"/v2.0/lbaas/loadbalancers/{balancer}")["loadbalancer"]
            if found["provisioning_status"] == "ACTIVE":
                return
            time.sleep(0.05)
        raise RuntimeError(f"load balancer {balancer} is {found['provisioning_status']}")

    def members(self, pool: str) -> list[dict[str, Any]]:
        """The members of a pool, as Octavia shows them."""
        found: list[dict[str, Any]] = self.me.get("load-balancer", f"/v2.0/lbaas/pools/{pool}/members")["members"]
        return found

    def add_member(self, balancer: LoadBalancer, pool: str, address: str, port: int, **more: Any) -> str:
        """A member by the operator's hand; returns its id."""
        body = {"member": {"address": address, "protocol_port": port, **more}}
        made = self.me.post("load-balancer", f"/v2.0/lbaas/pools/{pool}/members", body)["member"]["id"]
        self.settle(balancer.id)
        return str(made)

    def secret(self, payload: bytes, kind: str = "opaque", text: bool = True) -> str:
        """A secret in Barbican, as text or as bytes; returns its UUID."""
        body: dict[str, Any] = {"name": kind, "secret_type": kind}
        if text:
            body.update(payload=payload.decode(), payload_content_type="text/plain")
        else:
            body.update(payload=base64.b64encode(payload).decode(), payload_content_type="application/octet-stream",
                        payload_content_encoding="base64")
        return str(self.me.post("key-manager", "/v1/secrets", body)["secret_ref"]).rpartition("/")[2]

    def container(self, **parts: str) -> str:
        """A certificate container; `parts` are secrets' UUIDs (certificate, private_key, intermediates, ...)."""
        base = f"{self.rig_url()}/v1/secrets/"
        refs = [{"name": name, "secret_ref": base + one} for name, one in parts.items()]
        body = {"name": "tls", "type": "certificate", "secret_refs": refs}
        return str(self.me.post("key-manager", "/v1/containers", body)["container_ref"]).rpartition("/")[2]

    def rig_url(self) -> str:
        """Where Barbican is asked."""
        catalogue = self.me.auth.get_access(self.me.session).service_catalog
        return str(catalogue.url_for(service_type="key-manager", interface="public"))
