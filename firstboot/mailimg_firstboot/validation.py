"""The check of a site document as at boot, on the machine of who writes it: no secret and no cloud is at hand there."""

import base64
import re
from typing import Any, Dict, List, NamedTuple

from mailimg_firstboot import cautions, metadata, node, rendering, secret, site
from mailimg_firstboot.errors import DocumentError
from mailimg_firstboot.rolefile import RoleFile
from mailimg_firstboot.tls import forms

# What a document is checked for, when there is no server yet.
SOME_INSTANCE = "00000000-0000-4000-8000-000000000000"

# Nova's limit for user data, in characters after base64 (its API reference, "Create Server").
USER_DATA = 65535

# User data of other kinds. Other YAML is taken for a site document: it may be one whose first key is misspelt.
OTHER = re.compile(br"(?i)#!|#include|#part-handler|#cloud-|## template:|content-type:|mime-version:|\x1f\x8b")


class Findings(NamedTuple):
    """What is wrong with a document, what is doubtful, and what to do about the first."""

    problems: List[str]
    warnings: List[str]
    hint: str

    def document(self) -> Dict[str, Any]:
        """The findings as `validate --json` prints them."""
        return dict(self._asdict())


def validate(role: RoleFile, content: bytes, name: str, template_dir: str) -> Findings:
    """Check a site document, alone or in user data, for the instances of a role.

    Every file of the role is rendered, with a mask for each secret that does not stand in the document: a `file:`
    reference need not exist here. A certificate is not fetched.

    Args:
        content: of the file: YAML, or user data as Nova takes it (a MIME message with a part
            text/x-mailimg-site; either may be gzip'ed).
        name: how messages call the file.
    """
    try:
        document = document_of(content, name)
        checked = site.load(document, role)
        me = node.make(role.role + "-1", SOME_INSTANCE, checked, role)
        rendering.render_all(role, forms.unfetched(secret.mask(checked, literal=True)), me, template_dir)
    except DocumentError as error:
        return Findings(list(error.problems), [], error.hint)
    warnings = secret.literals(checked) + cautions.of(role, checked)
    encoded = len(base64.b64encode(content))
    if encoded > USER_DATA:
        warnings.append("{}: {} characters in base64; Nova takes {} of user data: gzip it, or leave out what this role "
                        "does not need".format(name, encoded, USER_DATA))
    return Findings([], warnings, "")


def document_of(content: bytes, name: str) -> Any:
    """The site document in a file, not yet checked.

    Raises:
        DocumentError: it is no YAML, or user data without a site document.
    """
    found = metadata.from_user_data(content, name)
    if found is not None:
        return found
    if OTHER.match(content.lstrip()):
        raise DocumentError(["{}: user data without a site document".format(name)], metadata.HINT)
    return site.parse(content, name)
