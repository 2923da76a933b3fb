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


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize("role", POSTFIX_ROLES)
def test_only_parameters_of_the_oldest_postfix(role: str, distro: str) -> None:
    main, master = postfix_files(role, distro, level="")
    services = {row[0] for row in master}
    for name in main:
        transport = next((name[: -len(end)] for end in PER_TRANSPORT if name.endswith(end)), None)
        assert name in KNOWN or transport in services, f"main.cf: {name} is unknown to Postfix 2.10.1"
    for row in master:
        for name in overrides(row):
            assert name in KNOWN, f"master.cf: {row[0]}: {name} is unknown to Postfix 2.10.1"


@pytest.mark.parametrize("role", POSTFIX_ROLES)
def test_newer_parameters_stand_behind_the_compatibility_level(role: str) -> None:
    old, _ = postfix_files(role, DISTROS[0], level="")
    new, _ = postfix_files(role, DISTROS[0], level="3.6")
    assert new.items() >= old.items()
    assert {"compatibility_level", "smtputf8_enable"} <= new.keys() - old.keys()


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize("role", POSTFIX_ROLES)
def test_master_cf(role: str, distro: str) -> None:
    main, master = postfix_files(role, distro)
    names = [(row[0], row[1]) for row in master]
    assert len(set(names)) == len(names)
    for row in master:
        assert len(row) >= 8, row
        assert row[1] in {"inet", "unix", "fifo", "pass"}, f"{row[0]}: a type that Postfix 2.10.1 does not have"
        # Nothing fills a chroot jail on an instance; since 2.11 the default differs between versions.
        assert row[4] == "n", f"{row[0]}: chroot must be said: n"
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


def test_smtp_in_relays_for_nobody() -> None:
    """The load balancer is inside `networks`: a permit before reject_unauth_destination would open the relay to all."""
    main, master = postfix_files("smtp-in", DISTROS[0])
    assert main["smtpd_relay_restrictions"].split() == ["reject_unauth_destination"]
    asked = main["smtpd_recipient_restrictions"].split()
    assert "permit_mynetworks" not in asked[: asked.index("reject_unlisted_recipient")]
    open_to_all = [row for row in master if row[1] == "inet" and not row[0].startswith("127.0.0.1:")]
    assert [row[0] for row in open_to_all] == ["smtp"]
    assert overrides(open_to_all[0]) == ["receive_override_options"]


def test_smtp_in_opens_one_connection_for_each_filter_process() -> None:
    main, master = postfix_files("smtp-in", DISTROS[0])
    workers = main["smtp-amavis_destination_concurrency_limit"]
    assert next(row[6] for row in master if row[0] == "smtp-amavis") == workers
    setting = f"$max_servers = {workers};".encode()
    assert sum(setting in one.content for one in render("smtp-in", DISTROS[0])) == 1


def test_smtp_out_relays_after_a_login_only() -> None:
    """On every port: neither the server networks nor a null sender stand for one."""
    main, master = postfix_files("smtp-out", DISTROS[0])
    assert main["smtpd_relay_restrictions"].split() == ["permit_sasl_authenticated", "reject"]
    assert "permit_mynetworks" not in " ".join(main.values())
    assert main["smtpd_tls_auth_only"] == "yes"
    assert main["milter_default_action"] == "tempfail"
    for row in master:
        if row[1] == "inet":
            assert {name for name in overrides(row) if name.startswith("smtpd")} <= {
                "smtpd_tls_security_level", "smtpd_tls_wrappermode"}


def test_mailboxes_take_mail_from_servers_only() -> None:
    main, _ = postfix_files("pop-imap-lda", DISTROS[0])
    assert main["smtpd_client_restrictions"].split() == ["permit_mynetworks", "reject"]
    assert main["smtpd_relay_restrictions"].split() == ["reject_unauth_destination"]
    assert main["message_size_limit"] == "27262976"
