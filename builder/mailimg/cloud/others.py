"""Somebody else at the same image at the same moment."""

from __future__ import annotations

from mailimg.cloud import images, uploader
from mailimg.cloud.images import CloudImage
from mailimg.cloud.ready import Job
from mailimg.errors import StepError


class Meanwhile(Exception):  # noqa: N818 - no error: the image is there
    """Somebody else was faster."""

    def __init__(self, image: CloudImage) -> None:
        super().__init__(image.shown)
        self.image = image


def busy(job: Job, found: CloudImage) -> StepError:
    """Somebody else uploads the same image."""
    mark = uploader.Mark.read(found.properties.get(images.UPLOADER, ""))
    who = f"process {mark.pid} on {mark.host}" if mark is not None else "somebody"
    return StepError(f"{job.wanted.name}: {who} uploads it since {found.created} ({found.id})",
                     "Wait for its end and run this again; if that machine is dead, say --abandoned.")


def untagged(job: Job, found: CloudImage) -> StepError:
    """A finished image that no list of ours shows."""
    return StepError(f"{job.wanted.name}: the image {found.id} is there, but somebody took its tag {images.TAG!r}",
                     f"`openstack image set --tag {images.TAG} {found.id}`; mailimg knows its images by it.")
