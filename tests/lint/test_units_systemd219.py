"""Units for CentOS 7: what hooks and the agent bring there holds nothing that systemd 219 does not know."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import ROOT, below, hooks, shown
from systemd219 import DIRECTIVES, problems
from written_units import FOLDER, Unit, lines_for, written

AGENT = below("firstboot/systemd")
FOUND = [(hook, unit) for hook in hooks() for unit in written(hook.read_text(encoding="utf-8"), "centos")]


def name(value: object) -> str:
    return shown(value) if isinstance(value, Path) else str(getattr(value, "path", value))


@pytest.mark.parametrize(("hook", "unit"), FOUND, ids=name)
def test_units_of_hooks(hook: Path, unit: Unit) -> None:
    assert problems(unit.path, unit.text) == [], shown(hook)


@pytest.mark.parametrize("path", AGENT, ids=shown)
def test_units_of_the_agent(path: Path) -> None:
    assert problems(f"/usr/lib/systemd/system/{path.name}", path.read_text(encoding="utf-8")) == []


def test_the_search_finds_them() -> None:
    units = {unit.path.removeprefix("/etc/systemd/system/") for _, unit in FOUND}
    assert {
        "amavisd.service",
        "clamav-freshclam.service",
        "clamav-milter.service",
        "clamd@mailimg.service.d/mailimg.conf",
        "cloud-final.service.d/mailimg.conf",
        "dovecot.service.d/mailimg.conf",
        "mailimg-filter-sweep.timer",
        "mailimg-sogo-$1.timer",
        "network.service.d/mailimg.conf",
        "nfs-config.service.d/mailimg.conf",
        "opendkim.service",
        "saslauthd.service",
        "sogod.service.d/mailimg.conf",
    } <= units
    assert not units & {"mailimg-network-ra.service", "ssh.service.d/mailimg.conf", "sogo.service.d/mailimg.conf"}
    assert AGENT
    for _, unit in FOUND:
        assert unit.text.startswith("["), f"{unit.path} is no unit"


@pytest.mark.parametrize("hook", sorted({hook for hook, _ in FOUND}), ids=shown)
def test_a_newer_directive_in_a_hook_is_found(hook: Path) -> None:
    """In each unit of each hook, as if somebody had put it in."""
    text = hook.read_text(encoding="utf-8")
    for section in ("[Unit]", "[Service]", "[Timer]"):
        text = text.replace(f"\n{section}\n", f"\n{section}\nStateDirectory=newer\n")
        text = text.replace(f"'{section}\\n", f"'{section}\\nStateDirectory=newer\\n")
    for unit in written(text, "centos"):
        assert [line for line in problems(unit.path, unit.text) if "StateDirectory" in line], unit.path


def test_what_debian_has_and_centos_does_not() -> None:
    """The `+` of MariaDB's drop-in: known to systemd 252, and written on Debian alone."""
    text = (ROOT / "elements/mariadb/post-install.d/50-mariadb-data").read_text(encoding="utf-8")
    (unit,) = written(text, "debian")
    assert any("ExecStartPre=+" in line for line in problems(unit.path, unit.text))
    assert written(text, "centos") == []


@pytest.mark.parametrize(
    "line",
    [
        "[Service]\nDynamicUser=yes",
        "[Service]\nReadWritePaths=/var",
        "[Service]\nProtectKernelTunables=yes",
        "[Service]\nProtectSystem=strict",
        "[Service]\nProtectHome=tmpfs",
        "[Service]\nStandardOutput=append:/var/log/x",
        "[Service]\nType=exec",
        "[Service]\nExecStart=+/usr/bin/x",
        "[Service]\nExecStart=!/usr/bin/x",
        "[Service]\nExecStart=:/usr/bin/x",
        "[Service]\nExecStart=x",
        "[Service]\nPIDFile=",
        "[Service]\nTimeoutStartSec=infinity",
        "[Service]\nRuntimeDirectory=a/b",
        "[Service]\nSystemCallFilter=@system-service",
        "[Service]\nMemoryMax=1G",
        "[Service]\nCapabilityBoundingSet=CAP_CHOWN CAP_BPF",
        "[Service]\nRestrictAddressFamilies=none",
        "[Unit]\nStartLimitIntervalSec=5",
        "[Unit]\nStartLimitInterval=5",
        "[Timer]\nFixedRandomDelay=yes",
        "[Timer]\nOnCalendar=*-*-* 04:00 Europe/Rome",
        "[Timer]\nOnCalendar=Mon..Fri 04:00",
        "[Socket]\nPassPacketInfo=yes",
        "[Container]\nImage=x",
        "[Service]\nNoNewPrivileges",
        "NoNewPrivileges=yes",
    ],
)
def test_what_is_newer_is_refused(line: str) -> None:
    assert problems("/etc/systemd/system/x.service", line + "\n")


@pytest.mark.parametrize(
    "text",
    [
        "[Service]\nStartLimitInterval=5\nStartLimitBurst=3\n",
        "[Service]\nExecStartPre=-/usr/bin/x\nExecStart=@/usr/bin/x y\nExecReload=\n",
        "# why\n[Service]\nProtectSystem=full\nMemoryLimit=1G\nReadOnlyDirectories=-/boot\n",
        "[Service]\nExecStart=/usr/bin/x \\\n    --long\nCapabilityBoundingSet=\n",
        "[Timer]\nOnCalendar=*:0/15\nRandomizedDelaySec=60\nPersistent=yes\n[Install]\nWantedBy=timers.target\n",
    ],
)
def test_what_219_has_passes(text: str) -> None:
    assert problems("/etc/systemd/system/x.service", text) == []


@pytest.mark.parametrize("folder", ["service.d", "mailimg-.service.d"])
def test_drop_ins_for_many_units_are_newer(folder: str) -> None:
    assert problems(f"/etc/systemd/system/{folder}/x.conf", "[Service]\nPrivateTmp=yes\n")


HOOK = """#!/bin/bash
cat > /etc/systemd/system/all.service <<'UNIT'
[Service]
esac
UNIT
case "$DISTRO_NAME" in
    debian|ubuntu) here=1 ;;
    centos)
        printf '[Service]\\nUser=a\\n' \\
            > /etc/systemd/system/centos.service
        if [ -e x ]; then
            exit 0
        fi
        ;;
    *)
        echo no > /etc/systemd/system/other.txt
        exit 1
        ;;
esac
if [ "$DISTRO_NAME" = debian ]; then
    cat > "/etc/systemd/system/$unit.service" <<UNIT
User=$1
fi
UNIT
else
    echo '[Unit]' > /etc/systemd/system/else.service
fi
if [ "$DISTRO_NAME" != debian ]; then
    exit 0
fi
echo '[Unit]' > /etc/systemd/system/last.service
"""


def test_branches_of_a_hook_are_followed() -> None:
    assert written(HOOK, "centos") == [
        Unit("/etc/systemd/system/all.service", "[Service]\nesac\n"),
        Unit("/etc/systemd/system/centos.service", "[Service]\nUser=a\n"),
        Unit("/etc/systemd/system/else.service", "[Unit]"),
    ]
    assert written(HOOK, "debian") == [
        Unit("/etc/systemd/system/all.service", "[Service]\nesac\n"),
        Unit("/etc/systemd/system/$unit.service", "User=/given-1\nfi\n"),
        Unit("/etc/systemd/system/last.service", "[Unit]"),
    ]


def test_a_unit_in_another_form_is_an_error() -> None:
    with pytest.raises(AssertionError, match="in a form that is not checked: tee"):
        written(f"tee < x > /etc/{FOLDER}x.service\n", "centos")


@pytest.mark.parametrize("hook", hooks(), ids=shown)
def test_hooks_branch_in_forms_that_are_read(hook: Path) -> None:
    """No line that is left over for a distribution asks for the distribution itself."""
    text = hook.read_text(encoding="utf-8")
    for distribution in ("debian", "centos"):
        left = [line for line in lines_for(text, distribution) if "$DISTRO_NAME" in line and "echo" not in line]
        assert left == [], left


def test_the_list_is_that_of_219() -> None:
    assert {"Service.StartLimitInterval", "EXEC.ReadOnlyDirectories", "Timer.RandomizedDelaySec"} <= DIRECTIVES
    assert not {"EXEC.StateDirectory", "EXEC.ReadOnlyPaths", "Unit.StartLimitIntervalSec"} & DIRECTIVES
