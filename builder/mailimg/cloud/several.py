"""Several uploads at once, and their end when somebody interrupts them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from queue import Empty, SimpleQueue

from rich.markup import escape

from mailimg import process
from mailimg.cloud import uploader
from mailimg.cloud.connection import CloudError
from mailimg.cloud.glance import Glance
from mailimg.cloud.images import CloudImage
from mailimg.cloud.ready import Job
from mailimg.cloud.upload import Done, Upload, sweep
from mailimg.errors import InputError, MailimgError, StepError
from mailimg.progress import Display

# Uploads at once: one seldom fills the line (TLS and Glance's checksums take a core each), many starve each other.
USUAL_JOBS = 3
# Seconds that threads have to end their uploads themselves, before the main thread removes the images.
GRACE = 3.0
POLL = 0.2


def upload_all(glance: Glance, jobs: Sequence[Job], display: Display, *, at_once: int, abandoned: bool)\
        -> list[Done | MailimgError]:
    """Upload images, some at a time; one that fails does not stop the others.

    Returns:
        For each job what became of it, in their order.

    Raises:
        StepError: what earlier runs left could not be looked for.
    """
    me = uploader.mine()
    known = glance.ours()
    for image in sweep(glance, me, known, datetime.now(UTC), abandoned=abandoned):
        display.note(escape(f"removed what an interrupted upload left: {image.shown}"))
        known.remove(image)
    stop = threading.Event()
    work = Upload(glance, me, stop, wait=stop.wait)
    results: list[Future[Done]] = [Future() for _ in jobs]
    waiting: SimpleQueue[int] = SimpleQueue()
    for number in range(len(jobs)):
        waiting.put(number)

    def worker() -> None:
        with suppress(Empty):
            while not stop.is_set():
                number = waiting.get_nowait()
                one(work, jobs[number], known, display, results[number])

    # Daemons: one that waits for Glance's last answer must not keep an interrupted command from ending.
    threads = [threading.Thread(target=worker, name=f"upload-{number}", daemon=True)
               for number in range(min(at_once, len(jobs)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(POLL)
    except KeyboardInterrupt:
        with process.undisturbed():
            stop.set()
            deadline = time.monotonic() + GRACE
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            left = remove(glance, work)
        if left:
            words = "could not be removed; the next `mailimg upload` removes it"
            raise KeyboardInterrupt(f"{', '.join(left)} {words}") from None
        raise
    return [outcome(result) for result in results]


def one(work: Upload, job: Job, known: Sequence[CloudImage], display: Display, result: Future[Done]) -> None:
    """One upload in a thread; its end, whatever it is, goes to the main thread."""
    try:
        with display.task(job.image.name) as task:
            result.set_result(work.put(job, known, task))
    except BaseException as error:  # noqa: BLE001 - raised again by whoever asks for the result
        result.set_exception(error)


def outcome(result: Future[Done]) -> Done | MailimgError:
    """What became of one; raises what no upload should raise."""
    error = result.exception()
    if error is None:
        return result.result()
    if isinstance(error, OSError):
        return StepError(f"read the image: {error.strerror}: {error.filename}")
    if isinstance(error, MailimgError):
        return error
    raise error


def remove(glance: Glance, work: Upload) -> list[str]:
    """Delete the images of uploads whose threads have not ended; returns those that could not be."""
    left = []
    for image_id, name in work.unfinished.left().items():
        try:
            glance.delete(image_id, name, hurry=True)
        except CloudError:
            left.append(f"{name} ({image_id})")
    return left


def failed(jobs: Sequence[Job], results: Sequence[Done | MailimgError]) -> MailimgError | None:
    """All failures as one error; what is wrong with the files themselves is wrong input."""
    bad = [(job, result) for job, result in zip(jobs, results, strict=True) if isinstance(result, MailimgError)]
    if not bad:
        return None
    hint = "\n".join(dict.fromkeys(result.hint for _, result in bad if result.hint))
    wrong = [result for _, result in bad if isinstance(result, InputError)]
    if len(wrong) == len(bad):
        return InputError([problem for result in wrong for problem in result.problems], hint)
    if len(bad) == 1:
        return StepError(f"{bad[0][0].image.name}: {bad[0][1].message}", hint)
    return StepError(f"{len(bad)} of {len(jobs)} images were not uploaded", hint,
                     [f"{job.image.name}: {result.message}" for job, result in bad])
