"""One image file into Glance: once for each identity, whole or not at all.

An image is created hidden, with `mailimg_state=uploading` and who uploads it. Only when Glance's checksum is that of
the file does it become `ready`. Whatever ends an upload before that deletes the image; what SIGKILL or a lost machine
leaves is known by its state and removed by the next run (`sweep`). A truncated upload can be `active` in some stores:
Glance's own status proves nothing.
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from mailimg.cloud import images, source, uploader
from mailimg.cloud.connection import CloudError, LoginError
from mailimg.cloud.glance import Glance
from mailimg.cloud.images import CloudImage
from mailimg.cloud.others import Meanwhile, busy, untagged
from mailimg.cloud.ready import Job, same_bytes
from mailimg.errors import StepError
from mailimg.progress import Task

# Times an upload is begun when connection or token are lost on the way, and the seconds before each.
PAUSES = (0.0, 2.0, 8.0)
# A token that ends sooner is replaced before gigabytes are sent with it: some stores ask for it again at the end.
TOKEN_SECONDS = 900.0
# Ids that deletions have used up; an image is rarely uploaded more often.
GENERATIONS = 200
NAMESPACE = uuid.UUID("b4bd52c5-95f9-4d2c-9c7c-9f3dbb8c07a1")

REFUSED_HINT = {
    413: "The project's quota, Glance's limit for one image, or its store is exhausted: make room (`mailimg retire`),"
         " or ask the cloud's operator.",
    415: "Glance looked into the data and found another format than was declared: is the image intact? Build it again.",
    403: "Your role in the project may not create images, or may not set these properties.",
}


@dataclass(frozen=True)
class Done:
    """What became of one image.

    Args:
        what: `uploaded`, `present` (nothing to do) or `changed` (it was there; properties were set).
        changed: properties that were set on an image that was there: name -> (before, now).
        seconds: for all of it; reading and sending are in it.
    """

    job: Job
    image: CloudImage
    what: str
    changed: dict[str, tuple[object, object]]
    seconds: float


class Unfinished:
    """Ids of images that this process has begun and not finished; the main thread deletes them when threads cannot."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._turn = threading.Lock()

    def add(self, image_id: str, name: str) -> None:
        """About to be created."""
        with self._turn:
            self._names[image_id] = name

    def settled(self, image_id: str) -> None:
        """Finished, or deleted, or never made."""
        with self._turn:
            self._names.pop(image_id, None)

    def left(self) -> dict[str, str]:
        """Names by ids."""
        with self._turn:
            return dict(self._names)


class Upload:
    """Uploads images of one project.

    Args:
        stop: set when the command is interrupted.
    """

    def __init__(self, glance: Glance, me: uploader.Mark, stop: threading.Event, *, wait: Callable[[float], object],
                 pauses: Sequence[float] = PAUSES) -> None:
        self.glance = glance
        self.me = me
        self.stop = stop
        self.unfinished = Unfinished()
        self._wait = wait
        self._pauses = pauses

    def put(self, job: Job, known: Sequence[CloudImage], task: Task) -> Done:
        """Bring one image to be in Glance as it shall be.

        Args:
            known: our images, swept.

        Raises:
            StepError: with what failed; the image is not there, or, if it was, as it was.
        """
        begun = time.monotonic()
        present = there(job, known)
        if present is not None:
            return self._present(job, present, begun)
        task.update("reading")
        read = source.hashes(job.image, self.stop)
        same_bytes(job, read)
        for number, pause in enumerate(self._pauses, 1):
            self._wait(pause)
            try:
                made = self._once(job, read, task)
            except CloudError as error:
                ended = error.status == 401 and not isinstance(error, LoginError)
                if number == len(self._pauses) or not (error.passing or ended) or self.stop.is_set():
                    hints = (error.hint, REFUSED_HINT.get(error.status, ""), self._left(job))
                    raise CloudError(error.message, "\n".join(filter(None, hints)), error.status) from error
                task.update(f"again, {error.message}")
                if ended:
                    self.glance.cloud.renew()
            except Meanwhile as other:
                return self._present(job, other.image, begun)
            else:
                self._left(job)
                return Done(job, made, "uploaded", {}, time.monotonic() - begun)
        raise AssertionError("not reached: the last attempt returns or raises")

    def _present(self, job: Job, present: CloudImage, begun: float) -> Done:
        changed = self._hold(job, present)
        return Done(job, present, "changed" if changed else "present", changed, time.monotonic() - begun)

    def _left(self, job: Job) -> str:
        """Try once more to remove what attempts have left; words for what cannot be."""
        for image_id, name in self.unfinished.left().items():
            if name == job.wanted.name and not self._discard(image_id, name):
                return f"The image {image_id} could not be removed; the next `mailimg upload` removes it."
        return ""

    def _hold(self, job: Job, present: CloudImage) -> dict[str, tuple[object, object]]:
        """Give an image that is there the properties that its file has now."""
        differences = job.wanted.differences(present)
        if differences and not self.glance.change(present, {name: pair[1] for name, pair in differences.items()}):
            raise StepError(f"change the image {present.shown}: somebody else changes it now", "Run it again.")
        return differences

    def _once(self, job: Job, read: dict[str, str], task: Task) -> CloudImage:
        """Create, send, check, publish; whatever comes in between, nothing unfinished stays."""
        self.glance.cloud.log_in(valid=TOKEN_SECONDS)
        task.update("creating")
        image_id = self._create(job)
        try:
            task.update("sending")
            stream = source.Stream(job.image, partial(report, task, job.image.stat().st_size), self.stop)
            try:
                self.glance.fill(image_id, stream, job.wanted.name)
            finally:
                stream.close()
            task.update("checking")
            found = self._checked(job, image_id, read)
            # Its answer does not count: an order that was tried again finds its own work done.
            self.glance.change(found, {images.STATE: images.READY, "os_hidden": False}, [images.UPLOADER])
        except BaseException:
            self._discard(image_id, job.wanted.name)
            raise
        self.unfinished.settled(image_id)
        return self._published(job, found)

    def _create(self, job: Job) -> str:
        """A new image's id: it follows from identity and project, so that two who begin at once make one image.

        Raises:
            StepError: somebody else uploads the image at this moment, or it is there and not known as ours.
            Meanwhile: somebody else has uploaded it.
        """
        for generation in range(GENERATIONS):
            image_id = str(uuid.uuid5(NAMESPACE, f"{self.glance.cloud.project} {job.wanted.identity} {generation}"))
            self.unfinished.add(image_id, job.wanted.name)
            if self.glance.create(job.wanted.body(image_id, str(self.me))):
                return image_id
            self.unfinished.settled(image_id)
            # Glance keeps the ids of deleted images: only one that can be seen is somebody's.
            found = self.glance.get(image_id)
            if found is not None and found.properties.get(images.UPLOADER) == str(self.me):
                # A try without an answer, or one that could not be undone. What Glance has of it may be without its
                # tag (it writes the two one after the other), and then no list would show it.
                self.unfinished.add(image_id, job.wanted.name)
                self._discard(image_id, job.wanted.name)
                continue
            if found is not None and found.identity == job.wanted.identity:
                if found.state == images.UPLOADING:
                    raise busy(job, found)
                present = there(job, self.glance.ours())
                raise untagged(job, found) if present is None else Meanwhile(present)
        raise StepError(f"create the image {job.wanted.name}: {GENERATIONS} ids of it are used up by deleted images",
                        "Ask the cloud's operator to purge deleted images (glance-manage db purge).")

    def _checked(self, job: Job, image_id: str, read: dict[str, str]) -> CloudImage:
        """The image, when Glance has exactly the bytes that were read.

        Raises:
            StepError: it has others, or cannot tell.
        """
        found = self.glance.get(image_id)
        what = f"check the data of {job.wanted.name}"
        if found is None:
            raise StepError(f"{what}: somebody deleted the image {image_id} meanwhile")
        if found.status != "active":
            raise StepError(f"{what}: Glance says that the image is {found.status}, not active")
        if found.size != job.image.stat().st_size:
            raise StepError(f"{what}: {job.image.stat().st_size} bytes were sent, Glance has {found.size}")
        algorithm = found.hash_algorithm
        if algorithm not in read and algorithm in hashlib.algorithms_available:
            with job.image.open("rb") as file:
                read = {**read, algorithm: hashlib.file_digest(file, algorithm).hexdigest()}
        if algorithm not in read:
            raise StepError(f"{what}: Glance tells no checksum to compare (os_hash_algo: {algorithm or 'none'})",
                            "Glance 17 (2018) or later is needed.")
        if read[algorithm] != found.hash_value:
            raise StepError(f"{what}: Glance has other bytes than were read ({algorithm} differs)",
                            "Was the file changed meanwhile? Else memory, disk or network are at fault.")
        return found

    def _published(self, job: Job, found: CloudImage) -> CloudImage:
        """A checked image, as others see it now."""
        made = self.glance.get(found.id)
        if made is None or made.state != images.READY or job.wanted.differences(made):
            raise StepError(f"publish the image {found.shown}: somebody else changes it at the same time",
                            "Look with `mailimg images`, and run this again.")
        return made

    def _discard(self, image_id: str, name: str) -> bool:
        """Delete what was begun; False if that cannot be done now."""
        try:
            self.glance.delete(image_id, name)
        except CloudError:
            # It is still among the unfinished, and whoever looks there says so.
            return False
        self.unfinished.settled(image_id)
        return True


def there(job: Job, known: Sequence[CloudImage]) -> CloudImage | None:
    """The finished image of a file's identity, or None.

    Raises:
        StepError: it is being uploaded, or it cannot be used as it is.
    """
    same = [image for image in known if image.identity == job.wanted.identity]
    finished = [image for image in same if image.state != images.UPLOADING]
    for image in finished:
        if image.status != "active":
            raise StepError(f"{job.wanted.name}: the image {image.id} is there, but {image.status}",
                            f"`openstack image set --activate {image.id}`, or delete it and upload it again.")
        if image.properties.get(images.SHA256) != job.wanted.sha256:
            raise StepError(f"{job.wanted.name}: the image {image.id} has the same identity and another checksum",
                            "The same inputs gave other bytes: which of the two is right? Retire it, or build again.")
    if not finished and same:
        raise busy(job, same[0])
    return finished[0] if finished else None


def sweep(glance: Glance, me: uploader.Mark, known: Sequence[CloudImage], now: datetime, *, abandoned: bool)\
        -> list[CloudImage]:
    """Delete what interrupted uploads left: images of ours, still `uploading`, whose uploader is gone.

    Args:
        known: our images.
        abandoned: also those of other machines that cannot be asked.

    Returns:
        Those that were deleted.
    """
    left = [(image, image.properties.get(images.UPLOADER, "")) for image in known if image.state == images.UPLOADING]
    dead = [image for image, mark in left
            if mark != str(me) and uploader.gone(mark, me, image.created, now, abandoned=abandoned)]
    return [image for image in dead if glance.delete(image.id, image.shown)]


def report(task: Task, total: int, done: int) -> None:
    """Bytes for the progress bar; all of them: Glance is at work now."""
    task.amount(done, total)
    if done == total:
        task.update("waiting for Glance")

