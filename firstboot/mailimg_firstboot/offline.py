"""What would be written, from documents at hand: for those who write roles and site documents. Changes no machine."""

import os
from pathlib import Path
from typing import Dict, List

from mailimg_firstboot import encoding, node, rendering, secret, site
from mailimg_firstboot.errors import FirstbootError
from mailimg_firstboot.rendering import RenderedFile
from mailimg_firstboot.rolefile import RoleFile
from mailimg_firstboot.tls import forms


def render(
    role: RoleFile, document: Dict[str, object], hostname: str, instance: str, template_dir: str, masked: bool
) -> List[RenderedFile]:
    """All files of a role for a site document that is not yet checked; a certificate is not fetched.

    Args:
        masked: put `secret.MASK` in the place of every secret, so that none needs to be at hand.

    Raises:
        DocumentError: the document, a secret or a template is wrong.
    """
    checked = site.load(document, role)
    full = secret.mask(checked) if masked else secret.resolve(checked, _secret_file).site
    return rendering.render_all(role, forms.unfetched(full), node.make(hostname, instance, checked, role), template_dir)


def shown(files: List[RenderedFile]) -> str:
    """The files as text, each under a line with its path, owner and mode."""
    return "\n".join("==> {} {}:{} {:04o}{}\n{}".format(
        one.path, one.owner, one.group, one.mode, " secret" if one.secret else "", one.content.decode("utf-8"),
    ) for one in files)


def write(files: List[RenderedFile], folder: str) -> None:
    """Write the files below a folder, as the caller's own; secret ones closed to everybody else.

    Raises:
        FirstbootError: one cannot be written.
    """
    for one in files:
        target = Path(folder) / encoding.path(one.path.lstrip("/"))
        mode = one.mode & 0o700 if one.secret else one.mode
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(str(target), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as stream:
                os.fchmod(handle, mode)
                stream.write(one.content)
        except OSError as error:
            raise FirstbootError("write {}: {}".format(target, error.strerror)) from error


def _secret_file(path: str) -> bytes:
    return Path(encoding.path(path)).read_bytes()
