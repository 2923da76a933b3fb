"""Glance's images API, version 2, as far as mailimg uses it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from mailimg.cloud import images
from mailimg.cloud.connection import Cloud, CloudError
from mailimg.cloud.images import CloudImage

SERVICE = "image"
PAGE = 200
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
# Seconds for Glance's answer when it has all bytes: a store that copies or hashes them again takes minutes.
STORE_PATIENCE = 1800.0
# A deletion that meets the end of its upload can be undone by it; it is looked at this often, and repeated.
DELETE_TRIES = 5
DELETE_PAUSE = 0.3


class Glance:
    """The images of a project."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def ours(self) -> list[CloudImage]:
        """The images that mailimg uploaded to this project, hidden ones too, oldest first."""
        owner = self.cloud.project
        found = [image for hidden in ("false", "true") for image in self._listed(owner, hidden)]
        # An image that is hidden between the two questions is in both answers.
        unique = {image.id: image for image in found
                  if image.owner == owner and image.identity and image.status != images.GONE}
        return sorted(unique.values(), key=lambda image: (image.created, image.id))

    def _listed(self, owner: str, hidden: str) -> Iterable[CloudImage]:
        marker = ""
        while True:
            path = f"/images?tag={images.TAG}&owner={owner}&os_hidden={hidden}&sort=created_at:asc,id:asc&limit={PAGE}"
            page = self.cloud.call(SERVICE, "GET", path + marker, what="list the images")["images"]
            yield from map(CloudImage.from_glance, page)
            if not page:
                return
            marker = f"&marker={page[-1]['id']}"

    def get(self, image_id: str, *, hurry: bool = False) -> CloudImage | None:
        """One image; None if there is none of that id, or not for us."""
        what = f"look at the image {image_id}"
        found = self.cloud.call(SERVICE, "GET", f"/images/{image_id}", what=what, missing=True, hurry=hurry)
        return None if found is None or found["status"] == images.GONE else CloudImage.from_glance(found)

    def create(self, body: Mapping[str, Any]) -> bool:
        """Create an image without data; False if its id is taken, or was by an image that is deleted."""
        try:
            self.cloud.call(SERVICE, "POST", "/images", dict(body), what=f"create the image {body['name']}")
        except CloudError as error:
            if error.status == 409:
                return False
            raise
        return True

    def fill(self, image_id: str, stream: Iterable[bytes], name: str) -> None:
        """Send an image's data, once; raises as `Cloud.send`."""
        self.cloud.send(SERVICE, f"/images/{image_id}/file", stream, what=f"send the data of {name}",
                        patience=STORE_PATIENCE)

    def change(self, image: CloudImage, values: Mapping[str, Any], remove: Iterable[str] = ()) -> bool:
        """Set fields and properties, remove others.

        Args:
            image: as it was seen a moment ago.
            values: `os_hidden`, `min_disk`, ... and properties.
            remove: properties; those that it has not are left out.

        Returns:
            False if it is not what it was a moment ago: somebody else changes it, or has deleted it.
        """
        steps = [{"op": "replace" if name in images.BASE else "add", "path": f"/{name}", "value": value}
                 for name, value in values.items()]
        steps += [{"op": "remove", "path": f"/{name}"} for name in remove if name in image.properties]
        if not steps:
            return True
        try:
            self.cloud.call(SERVICE, "PATCH", f"/images/{image.id}", steps, what=f"change the image {image.shown}",
                            headers=PATCH)
        except CloudError as error:
            if error.status in (404, 409):
                return False
            raise
        return True

    def delete(self, image_id: str, shown: str, *, hurry: bool = False) -> bool:
        """Delete an image, whatever becomes of an upload into it; False if it was not there.

        Args:
            hurry: as of `Cloud.call`.

        Raises:
            CloudError: it is protected, or its store says that it is in use.
        """
        existed = False
        for attempt in range(DELETE_TRIES):
            if self.get(image_id, hurry=hurry) is None:
                return existed
            existed = True
            if attempt:
                time.sleep(DELETE_PAUSE)
            self.cloud.call(SERVICE, "DELETE", f"/images/{image_id}", what=f"delete the image {shown}", missing=True,
                            hurry=hurry)
        if self.get(image_id, hurry=hurry) is not None:
            raise CloudError(f"delete the image {shown}: Glance took the order {DELETE_TRIES} times and still has it")
        return True
