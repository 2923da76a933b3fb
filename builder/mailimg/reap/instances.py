"""What became of an instance, asked of Nova by its UUID, one by one: a list that lacks it proves nothing."""

from __future__ import annotations

from mailimg.cloud.connection import Cloud

# It is there (whatever its state); this project had it and deleted it; Nova knows nothing of it (any more).
THERE, DELETED, UNKNOWN = "there", "deleted", "unknown"

# From this version on Nova tells of the actions of servers that are deleted.
ACTIONS = {"X-OpenStack-Nova-API-Version": "2.21"}


def fate(cloud: Cloud, instance: str) -> str:
    """THERE, DELETED or UNKNOWN: that one may be another project's server, or one that Nova has long archived.

    Raises:
        CloudError: Nova does not say.
    """
    what = f"ask for server {instance}"
    if cloud.call("compute", "GET", f"/servers/{instance}", what=what, missing=True) is not None:
        return THERE
    path = f"/servers/{instance}/os-instance-actions"
    found = cloud.call("compute", "GET", path, what=what, missing=True, headers=ACTIONS)
    return DELETED if found and found["instanceActions"] else UNKNOWN
