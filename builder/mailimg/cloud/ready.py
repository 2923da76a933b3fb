"""Which image files may go into a cloud; everything that is wrong with any of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mailimg import manifest
from mailimg.cloud import source
from mailimg.cloud.describe import Wanted, failures, proofs, wanted
from mailimg.cloud.images import UNTESTED
from mailimg.errors import InputError, Problems

TESTED_HINT = "Run `mailimg verify IMAGE`, or say --untested."
IN_CONTAINER = ["nspawn"]


@dataclass(frozen=True)
class Job:
    """An image file that may be uploaded.

    Args:
        warnings: what whoever uploads it must be told.
    """

    image: Path
    wanted: Wanted
    warnings: tuple[str, ...]


def jobs(paths: Sequence[Path], *, untested: bool) -> list[Job]:
    """Look at image files and their manifests; the files are not read in full.

    Args:
        untested: also take images that `mailimg verify` has not passed.

    Raises:
        InputError: with every problem of every image.
    """
    problems = Problems()
    found: dict[str, Job] = {}
    for path in dict.fromkeys(paths):
        job = problems.of(partial(look, path, untested))
        if job is not None:
            # The same image under two names is one image.
            found.setdefault(job.wanted.identity, job)
    problems.stop()
    return list(found.values())


def look(path: Path, untested: bool) -> Job:
    """One image file; raises as `jobs`."""
    document = manifest.read(path)
    if "cloud" not in document:
        raise InputError([f"{path}: its manifest is of an earlier mailimg and says nothing of a cloud"],
                         "Run `mailimg build` again; an image that stays as it is gets a new manifest.")
    if not path.is_file():
        raise InputError([f"{path}: there is no such image, only its manifest"])
    size, form = path.stat().st_size, document["image"]["format"]
    if size != document["image"]["bytes"] or not source.looks_like(path, form):
        words = f"has {size} bytes" if source.looks_like(path, form) else f"is no {form}"
        raise InputError([f"{path}: {words}: is not the file its manifest describes"], "Build it again.")
    failed, passed = failures(document), proofs(document)
    warnings = []
    if failed or not passed:
        problem = f"verification failed ({'; '.join(failed)})" if failed else "was never verified"
        if not untested:
            raise InputError([f"{path}: {problem}"], TESTED_HINT)
        warnings.append(f"{path}: {UNTESTED.upper()}: {problem}; servers that boot it may not work")
    elif passed == IN_CONTAINER:
        warnings.append(f"{path}: verified in a container only: kernel, boot loader and disk were not")
    return Job(path, wanted(document), tuple(warnings))


def same_bytes(job: Job, read: dict[str, str]) -> None:
    """Hold a file's hashes against its manifest.

    Raises:
        InputError: it is another file.
    """
    if read["sha256"] != job.wanted.sha256:
        raise InputError([f"{job.image}: is not the file its manifest describes"], "Build it again.")


def in_folder(folder: Path) -> list[Path]:
    """The images of a folder: all files with a manifest beside them.

    Raises:
        InputError: there is none.
    """
    ending = manifest.manifest_path(Path("x")).name[1:]
    found = [path.with_name(path.name.removesuffix(ending)) for path in sorted(folder.glob(f"*{ending}"))]
    if not found:
        hint = "Build one with `mailimg build`, or name another folder with --from."
        raise InputError([f"{folder}: there is no image in it"], hint)
    return found
