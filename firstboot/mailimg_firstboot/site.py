"""The site document: from YAML text to a checked mapping with every default filled in.

`parse` reads one document, `load` checks what the sources made together against site.schema.json and against the role
of the image. Both name every problem they find, not only the first. Nothing here reads a clock, the machine or the
network.
"""

import copy
import ipaddress
import math
import re
from typing import Any, Dict, Iterator, List, Set, Tuple

from mailimg_firstboot import membership, schema, site_cloud
from mailimg_firstboot.errors import DocumentError
from mailimg_firstboot.rolefile import RoleFile
from mailimg_firstboot.tls import forms

HINT = "Correct the document; `mailimg site validate FILE --role ROLE` makes the same check before the boot."

# A server network wider than this is a mistake that would open the relay to strangers.
WIDEST = {4: 8, 6: 16}

# Virtual addresses that servers talk TLS to, unless the site says `tls: none`.
CHECKED = ("smtp_out", "imap", "sieve")
ADDRESS = re.compile(r"[0-9.]+$")


def parse(text: bytes, name: str) -> Any:
    """The value of one YAML document.

    Beyond plain YAML it refuses a key that stands twice, a key that is not text (`on:` is a truth value), aliases and
    values that no file can hold: each would quietly become something else. Messages never quote the text, which may
    hold a secret.

    Raises:
        DocumentError: the text is not one such document.
    """
    import yaml  # late: see `schema.problems`

    problems: List[str] = []

    class Loader(yaml.SafeLoader):  # type: ignore[misc,unused-ignore]  # untyped where the stubs are missing
        """SafeLoader that says what it would have passed over."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Dict[Any, Any]:
            seen: Set[str] = set()
            for key_node, _ in node.value:
                at = "{}: line {}".format(name, key_node.start_mark.line + 1)
                if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
                    problems.append("{}: a key is not text; put it into quotes".format(at))
                    return {}
                if key_node.value in seen:
                    problems.append("{}: key {} stands there twice".format(at, key_node.value))
                seen.add(key_node.value)
            return dict(super().construct_mapping(node, deep))

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                at = self.peek_event().start_mark  # type: ignore[no-untyped-call,unused-ignore]
                raise yaml.MarkedYAMLError(problem="aliases (*name) are not taken", problem_mark=at)
            return super().compose_node(parent, index)

    try:
        value = yaml.load(text.decode("utf-8"), Loader)  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError:
        raise DocumentError(["{}: not UTF-8 text".format(name)], HINT) from None
    except yaml.MarkedYAMLError as error:
        line = " line {}:".format(error.problem_mark.line + 1) if error.problem_mark else ""
        raise DocumentError(["{}:{} not YAML: {}".format(name, line, error.problem)], HINT) from None
    except yaml.YAMLError:
        raise DocumentError(["{}: not YAML: a character that may not stand there".format(name)], HINT) from None
    except (ValueError, RecursionError):
        raise DocumentError(["{}: not YAML: a value that cannot be read".format(name)], HINT) from None
    problems.extend("{}: {}: {}".format(name, schema.where(path), words) for path, words in _odd(value, ()))
    if problems:
        raise DocumentError(problems, HINT)
    return value


def load(document: Dict[str, Any], role: RoleFile) -> Dict[str, Any]:
    """Check a site document for an instance of `role` and fill in the defaults.

    Raises:
        DocumentError: with every problem, each as `site: path: what is wrong`.
    """
    root = schema.load("site.schema.json")
    problems = schema.problems(document, root, "site")
    if problems and not isinstance(document, dict):
        raise DocumentError(problems, HINT)
    guard = document.get("role")
    if isinstance(guard, str) and guard != role.role:
        problems.append("site: role: the document is for {}, this is an instance of {}".format(guard, role.role))
    problems.extend("site: {}: missing; role {} cannot serve without it".format(key, role.role)
                    for key in role.site if not _there(document, key))
    if document.get("selinux") == "enforcing" and "selinux" not in role.facts:
        problems.append("site: selinux: enforcing, but the images of {} have no SELinux".format(role.distro))
    problems.extend(_tuning_problems(document, role))
    # What follows looks into values, which only makes sense where their form is right.
    bad = {problem.split(": ")[1] for problem in problems}
    problems.extend("site: {}: {}".format(at, words) for at, words in _meaning(document, bad, role))
    problems.extend("site: {}: {}".format(at, words) for at, words in site_cloud.problems(document, root, role)
                    if at not in bad)
    problems.extend("site: " + words for words in forms.problems(document))
    if problems:
        raise DocumentError(problems, HINT)
    full = dict(schema.with_defaults(document, root, root))
    if "directory" in full:
        full["directory"].setdefault("tls", _tls_of(full["directory"]))
    return full


def parameters(site: Dict[str, Any], role: RoleFile) -> Dict[str, Any]:
    """The role's parameters: the defaults of role.json, overridden by `tuning.<role>` of a checked document."""
    values = {name: copy.deepcopy(one["default"]) for name, one in role.parameters.items()}
    values.update(copy.deepcopy(site.get("tuning", {}).get(role.role, {})))
    return values


def _tuning_problems(document: Dict[str, Any], role: RoleFile) -> List[str]:
    tuning = document.get("tuning")
    mine = tuning.get(role.role) if isinstance(tuning, dict) else None
    if not isinstance(mine, dict):
        return []
    asked = {"type": "object", "additionalProperties": False, "properties": role.parameters}
    found = schema.problems(mine, asked, "")
    return ["site: tuning.{}.{}".format(role.role, problem) for problem in found]


def _meaning(document: Dict[str, Any], bad: Set[str], role: RoleFile) -> Iterator[Tuple[str, str]]:
    """What a schema cannot say, as (path, words); `bad` holds the paths that are known to be wrong."""
    for index, text in enumerate(_list(document.get("networks"))):
        at = "networks[{}]".format(index)
        if at not in bad and isinstance(text, str):
            words = _network_problem(text)
            if words:
                yield at, words
    directory = document.get("directory")
    if isinstance(directory, dict):
        yield from _directory_meaning(directory, bad)
    yield from _vips_meaning(document, role)
    if isinstance(document.get("join"), dict):
        yield from _join_meaning(document["join"])
    siblings = document["leave"].get("siblings") if isinstance(document.get("leave"), dict) else None
    if isinstance(siblings, dict) and ("login" in siblings) != ("password" in siblings):
        yield "leave.siblings", "login and password go together"
    yield from _dkim_meaning(document)
    yield from _twice(document, "masters", "login")


def _directory_meaning(directory: Dict[str, Any], bad: Set[str]) -> Iterator[Tuple[str, str]]:
    urls = [url for url in _list(directory.get("urls")) if isinstance(url, str)]
    kinds = {url.partition("://")[0] for url in urls}
    tls = directory.get("tls")
    if kinds == {"ldap", "ldaps"}:
        yield "directory.urls", "ldap:// and ldaps:// are mixed; give one kind"
    elif kinds == {"ldaps"} and tls in ("starttls", "none"):
        yield "directory.tls", "{} does not go with ldaps:// URLs; leave it out".format(tls)
    elif kinds == {"ldap"} and tls == "ldaps":
        yield "directory.tls", "ldaps needs ldaps:// URLs"
    if tls != "none" and "ca" not in directory:
        yield "directory.ca", "missing; give the PEM certificates of the directory's CA, or `system`"
    for index, url in enumerate(urls):
        port = url.rstrip("/").rpartition(":")[2]
        if port.isdigit() and not 1 <= int(port) <= 65535 and "directory.urls[{}]".format(index) not in bad:
            yield "directory.urls[{}]".format(index), "{} is no TCP port".format(port)


def _vips_meaning(document: Dict[str, Any], role: RoleFile) -> Iterator[Tuple[str, str]]:
    """What cannot be checked is not safe, and what the image cannot speak would keep mail for ever."""
    vips = document.get("vips")
    for name, vip in sorted(vips.items()) if isinstance(vips, dict) else ():
        # Without `host` or with a wrong `tls` the schema has said so.
        if _has_text(vip, "host") and ADDRESS.match(vip["host"]) and name in CHECKED and vip.get("tls") != "none":
            yield "vips.{}.host".format(name), "an address; TLS needs the name that stands in its certificate"
    postfix = role.facts.get("postfix", {})
    if (_has_text(_at(document, "vips.smtp_out"), "tls") and document["vips"]["smtp_out"]["tls"] == "implicit"
            and "vips.smtp_out" in role.site and postfix and not postfix.get("compatibility_level")):
        yield "vips.smtp_out.tls", "implicit, but Postfix of {} reaches others by starttls only".format(role.distro)


def _join_meaning(join: Dict[str, Any]) -> Iterator[Tuple[str, str]]:
    """Who joins, and where to."""
    if ("user" in join) == ("one_time_password" in join):
        yield "join", "give either user and password, or one_time_password"
    elif ("user" in join) != ("password" in join):
        yield "join.password", "goes with join.user" if "password" in join else "missing; join.user needs it"
    if _has_text(join, "realm") and _has_text(join, "ou"):
        base = membership.base(join["realm"])
        if not re.sub(r"\s*,\s*", ",", join["ou"]).lower().endswith("," + base.lower()):
            yield "join.ou", "{} is not below {}".format(join["ou"], base)


def _dkim_meaning(document: Dict[str, Any]) -> Iterator[Tuple[str, str]]:
    """A mail domain without a key would send unsigned mail, and nobody would notice."""
    if not isinstance(document.get("dkim"), list):
        return
    yield from _twice(document, "dkim", "domain")
    signed = {one.get("domain", "").lower() for one in document["dkim"] if _has_text(one, "domain")}
    ours = {one.lower() for one in _list(document.get("domains")) if isinstance(one, str)}
    for domain in sorted(ours - signed):
        yield "dkim", "no key for {}; each of `domains` needs one".format(domain)
    for index, one in enumerate(document["dkim"]):
        if _has_text(one, "domain") and one["domain"].lower() not in ours:
            yield "dkim[{}].domain".format(index), "{} is not among `domains`".format(one["domain"])


def _twice(document: Dict[str, Any], name: str, key: str) -> Iterator[Tuple[str, str]]:
    """Entries of a list that have the same name, in whatever case."""
    seen: Set[str] = set()
    for index, one in enumerate(_list(document.get(name))):
        if _has_text(one, key):
            if one[key].lower() in seen:
                yield "{}[{}].{}".format(name, index, key), "{} stands there twice".format(one[key])
            seen.add(one[key].lower())


def _has_text(one: Any, key: str) -> bool:
    return isinstance(one, dict) and isinstance(one.get(key), str)


def _network_problem(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        try:
            wider = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return "{} is not a network".format(text)
        return "{} is an address inside a network; do you mean {}?".format(text, wider)
    if network.prefixlen < WIDEST[network.version]:
        return "{} is wider than /{}: every host in it could relay mail".format(text, WIDEST[network.version])
    return ""


def _tls_of(directory: Dict[str, Any]) -> str:
    return "ldaps" if directory["urls"][0].startswith("ldaps://") else "starttls"


def _at(document: Any, key: str) -> Any:
    """The value at a dotted key, None when it is not there."""
    for part in key.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _there(document: Any, key: str) -> bool:
    """Whether a dotted key stands in a document; an empty value does, and is the schema's to refuse."""
    way, _, last = key.rpartition(".")
    holder = _at(document, way) if way else document
    return isinstance(holder, dict) and last in holder


def _list(value: Any) -> List[Any]:
    return value if isinstance(value, list) else []


def _odd(value: Any, path: Tuple[Any, ...]) -> Iterator[Tuple[Tuple[Any, ...], str]]:
    """Numbers without end and halves of characters, which YAML can write and no schema sees."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path, "not a finite number"
    elif isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        yield path, "not Unicode text"
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _odd(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _odd(child, (*path, index))
