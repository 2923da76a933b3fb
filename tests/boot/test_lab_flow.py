"""The whole platform in containers: it comes up, carries mail, is looked at and disturbed."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest
from conftest import Lab

from mailimg.lab import checks, start

pytestmark = pytest.mark.boot


def test_mail_flows(lab: Lab) -> None:
    result = lab.proved("flow")
    ((_, group),) = checks.find(["flow"])
    assert [one["name"] for one in result["checks"]] == [name for name, _ in group.checks()]


def test_its_state_is_told(lab: Lab) -> None:
    told = json.loads(lab.run("status", "--json").stdout)
    assert told["phase"] == "up"
    assert {node["state"] for node in told["nodes"].values()} == {"ready"}
    assert all(told["peers"].values())
    assert set(told["peers"]) == {peer.name for peer in start.plan_of(lab.state).peers}
    for name, node in told["nodes"].items():
        assert 10 < node["memory_mib"] < 2000, name
    assert f"lab {lab.name}: up; process {told['supervisor']}" in lab.run("status").stdout


def test_every_node_is_one_of_the_domain(lab: Lab) -> None:
    for node in start.plan_of(lab.state).nodes:
        told = lab.run("shell", node.name, "id", "anna").stdout
        assert "(team)" in told, node.name


def test_a_shell_hands_on_output_and_status(lab: Lab) -> None:
    told = lab.run("shell", "smtp-in", "sh", "-c", "uname -n; whoami; exit 7", code=7)
    assert told.stdout.split() == ["smtp-in-1", "root"]
    assert "there is no node 'pop-imap-lda'" in lab.run("shell", "pop-imap-lda", "true", code=2).stderr


def test_logs_of_nodes_and_peers(lab: Lab) -> None:
    assert "postfix/smtpd" in lab.run("logs", "smtp-in").stdout
    assert "mailimg: ready smtp-in" in lab.run("logs", "--console", "smtp-in").stdout
    assert "smtp-in.smtp" in lab.run("logs", "balancer").stdout
    assert "example.org" in lab.run("logs", "dns").stdout
    assert "there is no node 'moon'" in lab.run("logs", "moon", code=2).stderr


def test_wrong_groups_are_all_named_before_the_lab_is_looked_for(lab: Lab) -> None:
    told = lab.run("test", "--only", "flow,foo,bar", "--name", "there-is-none", code=2)
    assert "--only foo: there are no such checks" in told.stderr
    assert "--only bar: there are no such checks" in told.stderr


def test_a_second_one_of_the_name_is_refused(lab: Lab) -> None:
    told = subprocess.run(lab.up_argv(), capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert f"error: lab {lab.name}: runs already (phase up)" in told.stderr


def test_a_node_that_lost_power_comes_back_with_its_disk(lab: Lab) -> None:
    lab.run("shell", "smtp-out", "sh", "-c", "echo kept > /var/lib/mark && sync")
    lab.run("stop", "--hard", "smtp-out-1", "sender")
    told = json.loads(lab.run("status", "--json", code=1).stdout)
    assert (told["nodes"]["smtp-out-1"]["state"], told["peers"]["sender"]) == ("off", False)
    lab.run("start", "smtp-out-1", "sender")
    assert lab.run("shell", "smtp-out", "cat", "/var/lib/mark").stdout == "kept\n"
    assert "smtp-out-1 runs" in lab.run("start", "smtp-out-1", code=1).stderr
    lab.run("status")


def test_a_node_that_is_shut_down_comes_back(lab: Lab) -> None:
    lab.run("stop", "pop-imap-lda-2")
    lab.run("start", "pop-imap-lda-2")
    lab.run("status")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_interrupted_checks_give_back_what_they_took(lab: Lab, number: int, code: int) -> None:
    """Also when nobody is left who could ask them to."""
    argv = ["/usr/bin/env", "--default-signal=INT", *lab.argv("test", "--only", "faults")]
    running = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def becomes(there: bool) -> bool:
        deadline = time.monotonic() + 90
        while lab.state.read()["peers"]["domain"] is not there:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    assert becomes(False), "the first check takes the domain away"
    running.send_signal(number)
    assert running.wait(120) == code
    assert becomes(True)
    assert running.stderr
    if number == signal.SIGINT:
        assert "the lab runs on, and has back what a check had taken away" in running.stderr.read()
    running.stderr.close()
    lab.run("status")
