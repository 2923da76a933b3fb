"""The law of the steps: ask, act, ask again; and what each step says."""

from pathlib import Path
from typing import Callable, Dict, Tuple

import pytest
from firstboot_certificates import made
from firstboot_domain import JOIN
from firstboot_machine import PASSWORD, SITE, FakeHost, machine, picture, with_keys, work
from firstboot_pools import POOLED
from firstboot_store import STORED_KEYS

from mailimg_firstboot import graph, leaving
from mailimg_firstboot.engine import STEPS
from mailimg_firstboot.errors import StepError, TolerableError
from mailimg_firstboot.stepping import Step, parts
from mailimg_firstboot.steps import clock, departure, health, hostname, render, services
from mailimg_firstboot.work import Work

# Steps that only watch: the world, not `apply`, makes the difference go away.
WATCHERS: Dict[str, Tuple[Callable[[FakeHost], None], Callable[[FakeHost], None]]] = {
    "timesync": (lambda host: setattr(host, "synchronised", False), lambda host: setattr(host, "synchronised", True)),
    "health": (lambda host: host.answers.update(smtp="no answer"), lambda host: host.answers.clear()),
}


def run_before(step: Step, host: FakeHost, goal: Work) -> None:
    """What stands before a step is done when it begins."""
    for one in STEPS[: STEPS.index(step)]:
        one.apply(host, goal)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_law(step: Step, tmp_path: Path) -> None:
    # A database server is a service that an earlier step starts: there undoing the services is never undoing nothing.
    store = step.name != "services"
    host = machine(tmp_path, store, step.name in ("aside", "assignment"))
    document = with_keys(SITE, leave={"at_shutdown": True}, **STORED_KEYS, **POOLED,
                         balancer__address="10.0.0.7") if store else SITE
    goal = work(host, with_keys(document, join=JOIN) if step.name == "join" else document)
    goal = goal._replace(certificate=made())
    break_world, mend_world = WATCHERS.get(step.name, (lambda _: None, lambda _: None))
    break_world(host)
    run_before(step, host, goal)

    before = picture(host)
    assert step.check(host, goal), "a fresh machine differs from the goal"
    assert picture(host) == before, "check changes nothing"
    step.undo(host, goal)
    left = picture(host)
    left["orders"] = before["orders"]
    assert left == before, "undo is safe if nothing was applied"
    step.apply(host, goal)
    mend_world(host)
    assert step.check(host, goal) is None
    after = picture(host)
    step.apply(host, goal)
    assert picture(host) == after, "a second apply changes nothing"
    step.undo(host, goal)
    break_world(host)
    assert step.check(host, goal), "after undo the machine differs again"
    step.undo(host, goal)


def test_order_is_meaning() -> None:
    graph_of = parts(STEPS)
    assert graph.problems(graph_of) == []
    needed = {step.name for step in STEPS if step.needed}
    assert graph.ancestors(graph_of, "balancer") == needed - {"balancer"}, "announced when everything else holds"
    assert graph.ancestors(graph_of, "services") == needed - {"assignment", "balancer", "departure", "health",
                                                                      "services"}
    assert "join" not in graph.ancestors(graph_of, "databases"), "these run at the same time"


@pytest.mark.parametrize("name", ["volume", "storage", "join", "databases", "aside", "assignment"])
def test_a_role_without_it_is_clean(name: str, tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = work(host)
    step = next(one for one in STEPS if one.name == name)
    before = picture(host)
    assert step.check(host, goal) is None
    step.apply(host, goal)
    step.undo(host, goal)
    assert picture(host) == before


def test_hostname_writes_names_and_keeps_the_rest_of_hosts(tmp_path: Path) -> None:
    host = machine(tmp_path)
    hostname.apply(host, work(host))
    assert host.read("/etc/hostname") == b"mx-1\n"
    assert host.read("/etc/hosts") == (
        b"127.0.0.1 localhost\n127.0.1.1 mx-1.cloud.example.org mx-1\n::1 localhost\n")
    assert host.name == "mx-1"


@pytest.mark.parametrize(("before", "after"), [
    ("", "127.0.1.1 mx-1.example.org mx-1\n"),
    ("::1 localhost\n", "::1 localhost\n127.0.1.1 mx-1.example.org mx-1\n"),
    ("127.0.1.1 old\n127.0.0.1 localhost\n127.0.1.1 older\n",
     "127.0.1.1 mx-1.example.org mx-1\n127.0.0.1 localhost\n"),
    ("127.0.0.1\tlocalhost\n# 127.0.1.1 x", "127.0.0.1\tlocalhost\n127.0.1.1 mx-1.example.org mx-1\n# 127.0.1.1 x\n"),
])
def test_hosts_line(before: str, after: str) -> None:
    assert hostname.with_own_line(before, "mx-1.example.org", "mx-1") == after
    assert hostname.with_own_line(after, "mx-1.example.org", "mx-1") == after


def test_hostname_keeps_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.path("/etc/hosts").write_bytes(b"10.0.0.9 caf\xe9\n")
    hostname.apply(host, work(host))
    assert b"10.0.0.9 caf\xe9\n" in (host.read("/etc/hosts") or b"")


def test_clock_without_servers_changes_nothing(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = work(host, with_keys(SITE, time__servers=[]))
    before = picture(host)
    assert clock.check(host, goal) is None
    clock.apply(host, goal)
    assert picture(host) == before


def test_clock_replaces_the_servers_of_chrony_3(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.write("/etc/chrony.conf", b"server 0.pool.example.net iburst\npool p.example.net\ndriftfile /x\n")
    goal = work(host)
    goal.role.facts["chrony"] = {"unit": "chronyd.service", "config": "/etc/chrony.conf"}
    clock.apply(host, goal)
    assert host.read("/etc/chrony.conf") == (
        f"driftfile /x\n{clock.MARK}\nserver ntp1.example.org iburst\n".encode())
    assert clock.check(host, goal) is None
    assert host.systemd.orders == ["restart chronyd.service"]
    clock.undo(host, goal)
    assert host.read("/etc/chrony.conf") == b"driftfile /x\n"


def test_clock_needs_facts(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = work(host)
    goal.role.facts["chrony"] = {"unit": "chrony.service"}
    with pytest.raises(StepError, match=r"facts\.chrony names no unit, or neither sources_dir nor config"):
        clock.check(host, goal)


def test_timesync_does_not_wait_where_nothing_was_asked(tmp_path: Path) -> None:
    host = machine(tmp_path)
    step = next(one for one in STEPS if one.name == "timesync")
    with pytest.raises(TolerableError, match=r"names no time\.servers"):
        step.apply(host, work(host, with_keys(SITE, time__servers=[])))


def test_timesync_does_not_wait_for_a_chrony_that_cannot_run(tmp_path: Path) -> None:
    host = machine(tmp_path)
    step = next(one for one in STEPS if one.name == "timesync")
    with pytest.raises(TolerableError, match=r"and chrony\.service is inactive \(dead\)"):
        step.apply(host, work(host))
    host.systemd.start("chrony.service")
    step.apply(host, work(host))


def test_render_names_every_difference_but_no_secret(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = work(host)
    render.apply(host, goal)
    host.path("/etc/clamav/clamd.conf").unlink()
    host.path("/etc/postfix/main.cf").write_text("myhostname = other\n")
    host.path("/etc/postfix/recipients.cf").write_text("bind_pw = other\n")
    host.path("/etc/postfix/recipients.cf").chmod(0o644)
    words = render.check(host, goal)
    assert words == (
        "/etc/clamav/clamd.conf: absent; "
        "/etc/postfix/recipients.cf: content differs, mode 0644 instead of 0640; "
        "/etc/postfix/main.cf: content differs (1 lines go, 3 come)")
    assert PASSWORD not in repr(goal.files)


def test_render_undo_keeps_what_somebody_changed(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = work(host)
    render.apply(host, goal)
    host.path("/etc/postfix/main.cf").write_text("mine\n")
    render.undo(host, goal)
    assert host.read("/etc/postfix/main.cf") == b"mine\n"
    assert host.read("/etc/postfix/recipients.cf") is None


def test_render_replaces_a_link(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.write("/etc/elsewhere", b"untouched")
    host.path("/etc/postfix").mkdir()
    host.path("/etc/postfix/main.cf").symlink_to("../elsewhere")
    goal = work(host)
    assert "/etc/postfix/main.cf: not a regular file" in (render.check(host, goal) or "")
    render.apply(host, goal)
    assert render.check(host, goal) is None
    assert host.read("/etc/elsewhere") == b"untouched"


def test_render_says_which_account_is_missing(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = work(host)
    host.path("/etc/group").write_text("root:x:0:\n")
    with pytest.raises(StepError, match="no group postfix on this machine"):
        render.apply(host, goal)


def test_services_start_in_order_and_stop_the_network_first(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = work(host)
    services.apply(host, goal)
    services.undo(host, goal)
    assert host.systemd.orders == [
        "start clamav-daemon.service", "start postfix@-.service",
        "stop postfix@-.service", "stop clamav-daemon.service"]


def test_a_socket_that_would_start_a_service_again_goes_before_it(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = work(host)
    host.systemd.sockets["clamav-daemon.service"] = "clamav-daemon.socket"
    services.apply(host, goal)
    host.systemd.running.pop("clamav-daemon.service")
    host.systemd.running.pop("postfix@-.service")
    assert leaving.running(host, goal) == "clamd run", "at the next connection"
    services.undo(host, goal)
    assert host.systemd.orders[-2:] == ["stop clamav-daemon.socket", "stop clamav-daemon.service"]
    assert leaving.running(host, goal) is None


def test_services_reload_only_whose_files_changed(tmp_path: Path) -> None:
    host = machine(tmp_path)
    render.apply(host, work(host))
    services.apply(host, work(host))
    changed = work(host, with_keys(SITE, tuning={"smtp-in": {"amavis_workers": 3}}))
    render.apply(host, changed)
    assert services.check(host, changed) == "clamd: runs with other files than there are now"
    host.systemd.orders.clear()
    services.apply(host, changed)
    assert host.systemd.orders == ["reload-or-restart clamav-daemon.service"]


def test_services_reload_what_was_started_by_somebody_else(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.systemd.start("postfix@-.service")
    assert "postfix: runs with other files than there are now" in (services.check(host, work(host)) or "")


def test_services_say_that_a_unit_is_missing(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.systemd.unknown.add("clamav-daemon.service")
    goal = work(host)
    assert "clamd: clamav-daemon.service is no unit of this image" in (services.check(host, goal) or "")
    with pytest.raises(StepError, match=r"start clamd: clamav-daemon\.service is no unit of this image"):
        services.apply(host, goal)
    assert host.systemd.orders == [], "postfix is not started without the filter before it"


def test_services_notice_a_unit_that_systemd_only_calls_started(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.systemd.refuse.add("clamav-daemon.service")
    with pytest.raises(StepError, match=r"start clamd: clamav-daemon.service is inactive \(dead\)") as caught:
        services.apply(host, work(host))
    assert caught.value.hint == "See `systemctl status {0}` and `journalctl -u {0}`.".format("clamav-daemon.service")


def test_health_names_every_check_that_fails(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.answers = {"clamd": "no answer: Connection refused", "smtp": "greeted with 554"}
    assert health.check(host, work(host)) == (
        "clamd (unix /run/clamav/clamd.ctl): no answer: Connection refused; smtp (smtp 127.0.0.1:25): greeted with 554")


@pytest.mark.parametrize(("pools", "seconds"), [({}, 600), ({"deadline": 1350}, 2700)])
def test_a_shutdown_waits_for_pools_as_long_as_leaving_them_may(pools: Dict[str, int], seconds: int,
                                                                tmp_path: Path) -> None:
    pooled = {**POOLED, "balancer": {**POOLED["balancer"], **pools}}
    goal = work(machine(tmp_path), with_keys(SITE, **pooled))
    waits = sum(goal.site["leave"][name] for name in ("deadline", "flush", "handover"))
    assert "TimeoutStopSec={}\n".format(waits + seconds + 300) in departure.wanted(goal).decode()
    alone = departure.wanted(work(machine(tmp_path / "alone"))).decode()
    assert "TimeoutStopSec={}\n".format(waits + 900) in alone, "as it was before pools counted"
