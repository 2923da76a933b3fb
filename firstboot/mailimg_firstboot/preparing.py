"""What is decided before anything is done: the goal of a run, from role.json and the instance's metadata."""

from typing import Any, Callable, Dict, NamedTuple, Tuple

from mailimg_firstboot import cautions, certificates, node, rendering, rolefile, secret, site, sources
from mailimg_firstboot.errors import DocumentError
from mailimg_firstboot.host import Host
from mailimg_firstboot.tls import forms
from mailimg_firstboot.waiting import Clock, keep_trying
from mailimg_firstboot.work import Work


class Options(NamedTuple):
    """Where a run finds its documents, and how many seconds it waits for a late metadata service or another source.

    Args:
        certificate_patience: the wait for a certificate of a node that can serve with the kept one.
        leaving: no certificate is fetched.
        anyway: serve although the server's metadata says that the node is to leave.
    """

    role_file: str = "/etc/mailimg/role.json"
    templates: str = "/usr/share/mailimg/templates"
    patience: float = 300.0
    url: str = sources.SERVICE
    certificate_patience: float = certificates.SHORT_PATIENCE
    anyway: bool = False
    leaving: bool = False


def read_role(host: Host, options: Options) -> rolefile.RoleFile:
    """role.json of the image.

    Raises:
        DocumentError: it is missing or wrong.
    """
    content = host.read(options.role_file)
    if content is None:
        raise DocumentError(["{}: missing".format(options.role_file)],
                            "This is no image of `mailimg build`, or --role-file names another place.")
    return rolefile.load(content, options.role_file)


def prepare(
    host: Host, clock: Clock, role: rolefile.RoleFile, options: Options, note: Callable[[str], None],
    wait: Callable[[str], None], warn: Callable[[str], None],
) -> Work:
    """Everything that is decided before anything is done: metadata, site document, secrets, files.

    Raises:
        DocumentError: a document is wrong.
        FirstbootError: there is no metadata.
    """
    found = sources.find(host, clock, options.patience, note, wait, options.url)
    checked = site.load(found.document, role)
    me = node.make(found.hostname, found.instance, checked, role)

    def from_barbican(document: Dict[str, Any], reference: str) -> bytes:
        return host.cloud.secrets(document, role).payload(reference)

    # Barbican may be late as the metadata service may.
    resolved = keep_trying(lambda: secret.resolve(checked, lambda path: _secret_file(host, path), from_barbican),
                           clock, options.patience, wait)
    full = resolved.site
    found_one = None if options.leaving else certificates.obtain(
        host, clock, full, role, options.patience, wait, options.certificate_patience)
    said = found_one.warnings(clock.epoch(), full["tls"]["warn_days"]) if found_one else []
    for words in resolved.warnings + cautions.of(role, full) + said:
        warn(words)
    full = forms.filled(full, found_one.bundle) if found_one else forms.unfetched(full)
    files = rendering.render_all(role, full, me, str(host.path(options.templates)))
    return Work(role, full, me, files, found.order, found_one)


def settings(
    host: Host, clock: Clock, role: rolefile.RoleFile, options: Options, key: str = "cloud",
) -> Tuple[Dict[str, Any], node.Node]:
    """The checked site document, with only the secrets below one key resolved, and whose it is. Errors as `prepare`.

    For whoever only asks the cloud, or tells Heat, something: nothing is rendered, told or fetched for it.
    """
    found = sources.find(host, clock, options.patience, _quiet, _quiet, options.url)
    checked = site.load(found.document, role)
    wanted = {key: checked[key]} if key in checked else {}
    opened = secret.resolve(wanted, lambda path: _secret_file(host, path)).site
    return dict(checked, **opened), node.make(found.hostname, found.instance, checked, role)


def _quiet(_words: str) -> None:
    """Who looks every half minute does not say so."""


def _secret_file(host: Host, path: str) -> bytes:
    content = host.read(path)
    if content is None:
        raise FileNotFoundError(2, "no such file")
    return content
