"""A small OpenStack of real services on loopback: what tests of the cloud side talk to.

    with cloud.openstack(cache) as rig:
        project = rig.project()
        balancer = project.load_balancer("mx", {"smtp": 25})
        credential = project.credential([...])

Keystone, Octavia (its data plane does nothing) and Barbican run; Glance and Heat when they are asked for. Without a
broker, a database server or root; SQLite, free ports, TLS with a CA of its own. There is no Nova and no Neutron:
subnet ids are made up, and `operating_status` stays OFFLINE.
"""

from __future__ import annotations

from cloud.rig import ALL, USUAL, Rig, openstack

__all__ = ["ALL", "USUAL", "Rig", "openstack"]
