"""Configuration files from templates: values in, bytes out; nothing is read but the templates.

    role = rolefile.load(open("/etc/mailimg/role.json", "rb").read())
    site_ = site.load(site.parse(text, "site.yaml"), role)
    site_ = secret.resolve(site_, read_file).site       # or secret.mask(site_): shows no secret
    files = render_all(role, site_, node.make("mx-1", "5f0c...", site_, role), "/usr/share/mailimg/templates")

Template names: `site`, `param`, `facts`, `node` (docs/contract.md). A secret of the site document is only there for
files that role.json marks `secret`; any other template that uses it fails.
"""

import ipaddress
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from mailimg_firstboot import membership
from mailimg_firstboot import site as sites
from mailimg_firstboot.errors import DocumentError
from mailimg_firstboot.node import Node
from mailimg_firstboot.rolefile import RoleFile, TemplateFile
from mailimg_firstboot.secret import CONTROL, MASK, Secret

# Schemes whose hash is salted and slow enough to stand in a file, and that the Dovecot of every image knows.
CRYPTED = re.compile(r"^(?:\{(?:CRYPT|SHA256-CRYPT|SHA512-CRYPT|BLF-CRYPT)\})?"
                     r"\$(?:2[aby]|5|6)\$[A-Za-z0-9./$=]{20,200}$(?!\n)")


# Files of every role, by the site key that asks for them; the templates stand beside this module.
COMMON = {
    "join": [
        TemplateFile("krb5.conf.j2", "/etc/krb5.conf", "root", "root", 0o644, "sssd", False),
        # sssd takes no other mode.
        TemplateFile("sssd.conf.j2", "/etc/sssd/sssd.conf", "root", "root", 0o600, "sssd", False),
    ],
}


class RenderedFile(NamedTuple):
    """A file as it must be on the instance; `content` of a secret one does not show in its repr."""

    path: str
    content: bytes
    owner: str
    group: str
    mode: int
    service: Optional[str]
    secret: bool

    def __repr__(self) -> str:
        shown = MASK if self.secret else "{} bytes".format(len(self.content))
        return "RenderedFile({!r}, {}, {}:{} {:04o})".format(self.path, shown, self.owner, self.group, self.mode)


def render_all(role: RoleFile, site: Dict[str, Any], node: Node, template_dir: str) -> List[RenderedFile]:
    """Render every file of the role, in the order of role.json, and then those that every role has (`COMMON`).

    Args:
        role: checked role.json.
        site: checked site document whose secrets are `Secret`s (`secret.resolve` or `secret.mask`).
        node: the instance.
        template_dir: folder of the templates.

    Raises:
        DocumentError: with the problem of every template that cannot be rendered.
    """
    env = environment(template_dir)
    names: Dict[str, Any] = {
        "param": sites.parameters(site, role),
        "facts": role.facts,
        "node": node._asdict(),
    }
    hidden = _open(site, (), lambda path, _: env.undefined(
        hint="{} is a secret: only a file with `secret: true` may hold it".format("site." + ".".join(path))))
    shown = _open(site, (), lambda _, value: value.reveal())
    files: List[RenderedFile] = []
    problems: List[str] = []
    for one in role.files:
        opened = shown if one.secret else hidden
        for copy, each in copies(one, opened):
            try:
                files.append(_render(env, copy, dict(names, site=opened, **each)))
            except DocumentError as error:
                problems.extend(error.problems)
    if problems:
        raise DocumentError(problems, "The templates belong to the role: roles/{}/templates.".format(role.role))
    return files + common(site, node)


def common(site: Dict[str, Any], node: Node) -> List[RenderedFile]:
    """The files that do not depend on the role."""
    env = environment(str(Path(__file__).with_name("templates")))
    names = {"node": node._asdict(), "member": membership.of(site, node)}
    return [_render(env, one, names) for key, group in COMMON.items() if key in site for one in group]


def copies(one: TemplateFile, site: Dict[str, Any]) -> List[Tuple[TemplateFile, Dict[str, Any]]]:
    """The files that one entry of role.json asks for, each with what its template gets beside the common names."""
    if one.each is None:
        return [(one, {})]
    name, _, key = one.each.partition(".")
    return [(one._replace(path=one.path.replace("@", str(entry[key]).lower())), {"each": entry})
            for entry in site.get(name) or []]


def _render(env: Any, one: TemplateFile, names: Dict[str, Any]) -> RenderedFile:
    import jinja2

    try:
        text = env.get_template(one.template).render(names)
    except jinja2.TemplateNotFound as error:
        raise DocumentError(["{}: template {} is not there".format(one.path, error.name)]) from None
    except jinja2.TemplateSyntaxError as error:
        raise DocumentError(["{} line {}: {}".format(one.template, error.lineno, error.message)]) from None
    except (jinja2.TemplateError, ValueError, TypeError, ZeroDivisionError) as error:
        # The words of a ValueError can quote the value it is about, which in a secret file may be the secret.
        words = type(error).__name__ if one.secret and not isinstance(error, jinja2.UndefinedError) else str(error)
        raise DocumentError(["{} (for {}): {}".format(one.template, one.path, words)]) from None
    return RenderedFile(one.path, text.encode("utf-8"), one.owner, one.group, one.mode, one.service, one.secret)


def environment(template_dir: str) -> Any:
    """The Jinja2 environment of the templates (docs/contract.md)."""
    import jinja2  # late: `status` and a wrong document need no templates

    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template_dir),
        undefined=jinja2.StrictUndefined,
        finalize=_plain,
        autoescape=False,  # noqa: S701 - configuration files are not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters.update(FILTERS)
    env.tests["rooted"] = rooted
    return env


def _open(value: Any, path: Any, replace: Callable[[Any, Secret], Any]) -> Any:
    """A copy of the site document with `replace(path, secret)` in the place of each secret."""
    if isinstance(value, Secret):
        return replace(path, value)
    if isinstance(value, dict):
        return {key: _open(child, (*path, key), replace) for key, child in value.items()}
    if isinstance(value, list):
        return [_open(child, (*path, str(index)), replace) for index, child in enumerate(value)]
    return value


def _plain(value: Any) -> Any:
    """Let only text and numbers into a file: `None`, `True` or `[...]` in one is always a mistake of the template."""
    if value is None or isinstance(value, (bool, list, tuple, dict, Secret)):
        raise TypeError("{} cannot stand in a file as it is; test it, or use a filter (yes_no, join, lines)".format(
            "nothing (None)" if value is None else "a " + type(value).__name__))
    return value


def _line(value: Any, what: str) -> str:
    """The value as text that cannot end a line; `value` may be undefined, which its own error says."""
    text = str(value)
    if CONTROL.search(text):
        raise ValueError("{}: a control character in a value".format(what))
    return text


def postfix(value: Any) -> str:
    """A value of main.cf: `$` would begin a parameter's name."""
    return _line(value, "postfix").replace("$", "$$")


def postfix_network(value: Any) -> str:
    """A network of mynetworks or a cidr_table: IPv6 stands in brackets for the former's list syntax."""
    network = ipaddress.ip_network(str(value))
    if network.version == 6:
        return "[{}]/{}".format(network.network_address, network.prefixlen)
    return str(network)


def perl(value: Any) -> str:
    """A Perl string in single quotes (amavisd.conf): only backslash and the quote itself have a meaning there."""
    return "'{}'".format(_line(value, "perl").replace("\\", "\\\\").replace("'", "\\'"))


def plist(value: Any) -> str:
    """A string of a property list (sogo.conf), which is read in an encoding of its reader's choice: all in ASCII."""
    units = _line(value, "plist").replace("\\", "\\\\").replace('"', '\\"').encode("utf-16-be")
    codes = [units[at] << 8 | units[at + 1] for at in range(0, len(units), 2)]
    return '"{}"'.format("".join(chr(code) if code < 0x80 else "\\U{:04x}".format(code) for code in codes))


def ldap_value(value: Any) -> str:
    """A value inside an LDAP search filter (RFC 4515, section 3)."""
    return re.sub(r"[\\*()\x00]", lambda found: "\\{:02x}".format(ord(found.group())), str(value))


def regex(value: Any) -> str:
    """A literal inside a PCRE or POSIX extended expression; the slash is the delimiter of Postfix tables."""
    return re.sub(r"([\\.^$|?*+()\[\]{}/])", r"\\\1", _line(value, "regex"))


def yes_no(value: Any) -> str:
    """`yes` or `no`, as Postfix and ClamAV write a truth value; anything else but a truth value is an error."""
    if not isinstance(value, bool):
        raise TypeError("yes_no: {} is not true or false".format(type(value).__name__))
    return "yes" if value else "no"


def pem(value: Any) -> str:
    """Certificates as a file: with the newline at the end that YAML's `|-` takes away."""
    return str(value).rstrip("\n") + "\n"


def rooted(value: Any) -> bool:
    """Whether a certificate's chain ends at itself; words in the place of one that was not fetched do not."""
    # Late: most roles have no such question.
    from mailimg_firstboot.tls import bundle, checks

    try:
        last = bundle.load(str(value))[-1]
    except ValueError:
        return False
    return checks.signed_by(last, last)


def dovecot(value: Any) -> str:
    """A value of Dovecot's configuration in double quotes: blanks, `#` and quotes in it have no meaning then."""
    return '"{}"'.format(_line(value, "dovecot").replace("\\", "\\\\").replace('"', '\\"'))


def crypted(value: Any) -> str:
    """A hashed password of a passwd-file; a plain one would be compared as it stands, so it is an error.

    The words of the error do not hold the value.
    """
    text = _line(value, "crypted")
    if text != MASK and not CRYPTED.match(text):
        raise ValueError("crypted: not a hashed password such as {SHA512-CRYPT}$6$...; `doveadm pw` makes one")
    return text


def lines(values: Iterable[Any], indent: int = 4) -> str:
    """Each value on a line of its own, indented: a continued value of main.cf."""
    return "".join("\n" + " " * indent + _line(value, "lines") for value in values)


FILTERS: Dict[str, Callable[..., str]] = {
    "postfix": postfix,
    "postfix_network": postfix_network,
    "perl": perl,
    "plist": plist,
    "ldap_value": ldap_value,
    "regex": regex,
    "yes_no": yes_no,
    "pem": pem,
    "dovecot": dovecot,
    "crypted": crypted,
    "lines": lines,
}
