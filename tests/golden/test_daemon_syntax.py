"""What every role writes for Postfix holds for the oldest Postfix of an image (2.10.1), and fits together."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from examples import RESOURCES, render

from mailimg import roles

KNOWN = frozenset((Path(__file__).parents[1] / "data" / "postfix-2.10.1-parameters.txt").read_text().split())
# Parameters that exist for each transport of master.cf, with the transport's name in front.
PER_TRANSPORT = (
    "_destination_concurrency_limit",
    "_destination_recipient_limit",
    "_destination_rate_delay",
    "_time_limit",
)
# Table types that are read as they are: nothing runs postmap on an instance.
READ_AS_THEY_ARE = frozenset({"texthash", "cidr", "regexp", "ldap", "proxy", "static", "unix"})

TYPES = frozenset({"inet", "unix", "fifo", "pass"})
# Programs of Postfix 2.10's daemon directory; a newer one is postlogd.
PROGRAMS = frozenset({
    "anvil", "bounce", "cleanup", "discard", "dnsblog", "error", "flush", "lmtp", "local", "oqmgr", "pickup", "pipe",
    "postscreen", "proxymap", "qmgr", "qmqpd", "scache", "showq", "smtp", "smtpd", "spawn", "tlsmgr", "tlsproxy",
    "trivial-rewrite", "verify", "virtual"})

POSTFIX_ROLES = [
    name for name in roles.role_names(RESOURCES) if (RESOURCES.roles / name / "templates" / "main.cf.j2").is_file()
]
DISTROS = roles.distro_names(RESOURCES)


def logical_lines(content: bytes) -> list[str]:
    """Lines of main.cf or master.cf with their continuations, without comments."""
    found: list[str] = []
    for line in content.decode().splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace():
            found[-1] += " " + line.strip()
        else:
            found.append(line.strip())
    return found


def postfix_files(role: str, distro: str, level: str | None = None) -> tuple[dict[str, str], list[list[str]]]:
    """main.cf as a mapping and master.cf as rows; `level` replaces the distribution's compatibility level."""
    facts = {} if level is None else {"postfix": {"compatibility_level": level}}
    files = {Path(one.path).name: one.content for one in render(role, distro, facts)}
    main: dict[str, str] = {}
    for line in logical_lines(files["main.cf"]):
        name, equals, value = line.partition("=")
        assert equals, line
        assert name.strip() not in main, f"{name} is set twice"
        main[name.strip()] = value.strip()
    return main, [line.split() for line in logical_lines(files["master.cf"])]


def overrides(row: list[str]) -> list[str]:
    """Names after `-o` in a row of master.cf."""
    return [word.partition("=")[0] for before, word in pairwise(row) if before == "-o"]


def unknown_parameters(main: dict[str, str], master: list[list[str]]) -> list[str]:
    """Names in both files that Postfix 2.10.1 does not know."""
    services = {row[0] for row in master}
    found = []
    for name in main:
        transport = next((name[: -len(end)] for end in PER_TRANSPORT if name.endswith(end)), None)
        if name not in KNOWN and transport not in services:
            found.append(name)
    return found + [f"{row[0]}: {name}" for row in master for name in overrides(row) if name not in KNOWN]


def odd_rows(master: list[list[str]]) -> list[str]:
    """Rows of master.cf that the master of Postfix 2.10.1 does not read, each with what is wrong."""
    found = []
    for row in master:
        name, kind, private, unprivileged, chroot, wakeup, limit, program = row[:8]
        options = row[8:]
        plain = program == "spawn"
        while options[:1] == ["-o"] and re.fullmatch(r"[a-z0-9_-]+=\S*", options[1]):
            options = options[2:]
        wrong = {
            "type": kind not in TYPES,
            "private": private not in {"y", "n", "-"},
            "unpriv": unprivileged not in {"y", "n", "-"},
            # Nothing fills a chroot jail on an instance; the default differs between versions.
            "chroot": chroot != "n",
            "wakeup": not re.fullmatch(r"-|[0-9]+\??", wakeup),
            "maxproc": not re.fullmatch(r"-|[0-9]+", limit),
            "command": program not in PROGRAMS,
            "arguments": bool(options) and not plain,
        }
        found += [f"{name}: {column}" for column, bad in wrong.items() if bad]
    return found


@pytest.mark.parametrize("role", POSTFIX_ROLES)
def test_centos_7_has_only_parameters_of_postfix_2_10(role: str) -> None:
    main, master = postfix_files(role, "centos-7")
    assert unknown_parameters(main, master) == []
    assert odd_rows(master) == []


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize("role", POSTFIX_ROLES)
def test_only_parameters_of_the_oldest_postfix(role: str, distro: str) -> None:
    assert unknown_parameters(*postfix_files(role, distro, level="")) == []


@pytest.mark.parametrize("role", POSTFIX_ROLES)
def test_a_newer_parameter_is_found(role: str) -> None:
    """Both where a template has it outside of the branch of newer versions, and where the fact is wrong."""
    main, master = postfix_files(role, "centos-7")
    for name in ("smtputf8_enable", "smtp_tls_connection_reuse", "tls_config_file", "maillog_file"):
        assert unknown_parameters({**main, name: "x"}, master) == [name]
    newer = [*master, [*master[0][:8], "-o", "smtpd_forbid_bare_newline=yes"]]
    assert unknown_parameters(main, newer) == ["smtp: smtpd_forbid_bare_newline"]
    assert "compatibility_level" in unknown_parameters(*postfix_files(role, "centos-7", level="3.6"))


@pytest.mark.parametrize(("column", "value", "name"), [
    (1, "unix-dgram", "type"), (2, "?", "private"), (4, "-", "chroot"), (5, "1m", "wakeup"), (6, "many", "maxproc"),
    (7, "postlogd", "command")])
def test_a_newer_row_is_found(column: int, value: str, name: str) -> None:
    _, master = postfix_files("smtp-out", "centos-7")
    assert odd_rows([*master[:-1], [*master[-1][:column], value, *master[-1][column + 1:]]]) == [f"scache: {name}"]
    # Braces round an option came with Postfix 3.0.
    assert odd_rows([*master, [*master[0][:8], "-o", "{", "smtpd_banner", "=", "x", "}"]]) == ["smtp: arguments"]


@pytest.mark.parametrize("role", POSTFIX_ROLES)
def test_newer_parameters_stand_behind_the_compatibility_level(role: str) -> None:
    old, _ = postfix_files(role, DISTROS[0], level="")
    new, _ = postfix_files(role, DISTROS[0], level="3.6")
    assert {"compatibility_level", "smtputf8_enable"} <= new.keys() - old.keys()
    # What stands only on the other side makes up for weak defaults of the old version.
    assert {name for name in old if new.get(name) != old[name]} <= {
        "smtp_tls_protocols", "smtp_tls_ciphers", "smtpd_tls_ciphers", "smtpd_tls_exclude_ciphers"}


@pytest.mark.parametrize("role", POSTFIX_ROLES)
def test_no_weak_cipher_where_the_defaults_are_old(role: str) -> None:
    """Postfix 2.10: `export` ciphers, and SSLv3 towards others, unless it is told otherwise."""
    main, _ = postfix_files(role, "centos-7")
    if main["smtp_tls_security_level"] == "may":
        assert main["smtp_tls_protocols"].split(", ") == ["!SSLv2", "!SSLv3"]
        assert main["smtp_tls_ciphers"] == "medium"
    if "smtpd_tls_cert_file" in main:
        assert main["smtpd_tls_protocols"].split(", ") == ["!SSLv2", "!SSLv3", "!TLSv1", "!TLSv1.1"]
        assert main["smtpd_tls_ciphers"] == "high"
        assert {"aNULL", "EXPORT", "RC4", "kRSA", "kEDH"} <= set(main["smtpd_tls_exclude_ciphers"].split(", "))


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize("role", POSTFIX_ROLES)
def test_master_cf(role: str, distro: str) -> None:
    main, master = postfix_files(role, distro)
    names = [(row[0], row[1]) for row in master]
    assert len(set(names)) == len(names)
    for row in master:
        assert len(row) >= 8, row
    assert odd_rows(master) == []
    services = {row[0] for row in master}
    needed = {"cleanup", "qmgr", "rewrite", "bounce", "defer", "trace", "error", "retry", "anvil", "proxymap", "pickup"}
    assert needed <= services
    named = re.findall(r"-o cleanup_service_name=(\S+)", "\n".join(" ".join(row) for row in master))
    assert set(named) <= services
    if main.get("content_filter"):
        assert main["content_filter"].partition(":")[0] in services


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize("role", POSTFIX_ROLES)
def test_tables_need_no_postmap(role: str, distro: str) -> None:
    main, _ = postfix_files(role, distro)
    for name, value in main.items():
        for kind in re.findall(r"(?:^|[\s,:])([a-z]+):/", value):
            assert kind in READ_AS_THEY_ARE, f"main.cf: {name}: {kind}: tables need postmap"


@pytest.mark.parametrize("distro", DISTROS)
def test_smtp_in_relays_for_nobody(distro: str) -> None:
    """The load balancer is inside `networks`: a permit before reject_unauth_destination would open the relay to all."""
    main, master = postfix_files("smtp-in", distro)
    assert main["smtpd_relay_restrictions"].split() == ["reject_unauth_destination"]
    asked = main["smtpd_recipient_restrictions"].split()
    assert "permit_mynetworks" not in asked[: asked.index("reject_unlisted_recipient")]
    open_to_all = [row for row in master if row[1] == "inet" and not row[0].startswith("127.0.0.1:")]
    assert [row[0] for row in open_to_all] == ["smtp"]
    assert overrides(open_to_all[0]) == ["receive_override_options"]


@pytest.mark.parametrize("distro", DISTROS)
def test_smtp_in_opens_one_connection_for_each_filter_process(distro: str) -> None:
    main, master = postfix_files("smtp-in", distro)
    workers = main["smtp-amavis_destination_concurrency_limit"]
    assert next(row[6] for row in master if row[0] == "smtp-amavis") == workers
    setting = f"$max_servers = {workers};".encode()
    assert sum(setting in one.content for one in render("smtp-in", distro)) == 1


@pytest.mark.parametrize("distro", DISTROS)
def test_smtp_out_relays_after_a_login_only(distro: str) -> None:
    """On every port: neither the server networks nor a null sender stand for one."""
    main, master = postfix_files("smtp-out", distro)
    assert main["smtpd_relay_restrictions"].split() == ["permit_sasl_authenticated", "reject"]
    assert "permit_mynetworks" not in " ".join(main.values())
    assert main["smtpd_tls_auth_only"] == "yes"
    assert main["milter_default_action"] == "tempfail"
    for row in master:
        if row[1] == "inet":
            assert {name for name in overrides(row) if name.startswith("smtpd")} <= {
                "smtpd_tls_security_level", "smtpd_tls_wrappermode"}


@pytest.mark.parametrize("distro", DISTROS)
def test_mailboxes_take_mail_from_servers_only(distro: str) -> None:
    main, _ = postfix_files("pop-imap-lda", distro)
    assert main["smtpd_client_restrictions"].split() == ["permit_mynetworks", "reject"]
    assert main["smtpd_relay_restrictions"].split() == ["reject_unauth_destination"]
    assert main["message_size_limit"] == "27262976"
