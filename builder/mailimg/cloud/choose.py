"""Which image in the cloud somebody means: by id, name, identity, or the file that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mailimg import manifest
from mailimg.cloud.images import CloudImage
from mailimg.documents import nearest
from mailimg.errors import InputError

# Characters of an id or identity that may stand for all of it.
LEAST = 8


def choose(text: str, known: Sequence[CloudImage]) -> CloudImage:
    """The image of ours that is meant.

    Args:
        text: id, name, the first 8 or more characters of id or identity, or the path of an image file.

    Raises:
        InputError: none, or several.
    """
    if Path(text).is_file():
        identity = manifest.read(Path(text))["identity"]
        found = [image for image in known if image.identity == identity]
        if not found:
            raise InputError([f"{text}: is not in the cloud"], "Upload it first: `mailimg upload`.")
        return found[0]
    found = [image for image in known if text in (image.id, image.name)]
    if not found and len(text) >= LEAST:
        found = [image for image in known if image.id.startswith(text) or image.identity.startswith(text)]
    if not found:
        like = nearest(text, [image.name for image in known])
        raise InputError([f"{text}: no image of mailimg in this project{like}"], "`mailimg images` lists them.")
    if len(found) > 1:
        raise InputError([f"{text}: may be any of {', '.join(image.shown for image in found)}"], "Name its id.")
    return found[0]
