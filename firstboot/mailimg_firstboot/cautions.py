"""What a site document leaves undone on this image though nothing in it is wrong: said as warnings of each run."""

from typing import Any, Dict, List

from mailimg_firstboot.rolefile import RoleFile


def of(role: RoleFile, site: Dict[str, Any]) -> List[str]:
    """Sentences for the operator; `site` is checked and has its defaults."""
    found: List[str] = []
    if any(service.name == "freshclam" and service.wanted(site) for service in role.services):
        updates = site["filter"]["freshclam"]
        if updates["enabled"] and not updates["mirror"] and not role.facts["freshclam"].get("public", True):
            found.append("filter.freshclam.mirror: none, and ClamAV's own servers refuse the version of this image: "
                         "the virus database is not updated; name a private mirror, or say `enabled: false`")
    if site.get("cloud", {}).get("auth_url", "").startswith("http://"):
        found.append("cloud.auth_url: the application credential's secret travels unprotected; give an https:// URL")
    return found
