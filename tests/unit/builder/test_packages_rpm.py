"""The list of packages that an RPM tree keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailimg import packages
from mailimg.errors import StepError
from mailimg.packages import Package

LIST = (
    "postfix\t2:2.10.1-9.el7\tx86_64\tpostfix-2.10.1-9.el7.src.rpm\t12850000\n"
    "kernel\t3.10.0-1160.el7\tx86_64\tkernel-3.10.0-1160.el7.src.rpm\t64000000\n"
    "dovecot-pigeonhole\t1:2.2.36-8.el7\tx86_64\tdovecot-2.2.36-8.el7.src.rpm\t2048\n"
    "odd\t1-1\tnoarch\t(none)\t0\n"
)


def test_packages_by_name_with_what_they_were_built_from(tmp_path: Path) -> None:
    path = tmp_path / packages.RPM_LIST
    path.parent.mkdir(parents=True)
    path.write_text(LIST)
    assert packages.READERS["yum"](tmp_path) == [
        Package("dovecot-pigeonhole", "1:2.2.36-8.el7", "x86_64", "dovecot", "2.2.36-8.el7", 2),
        Package("kernel", "3.10.0-1160.el7", "x86_64", "kernel", "3.10.0-1160.el7", 62500),
        Package("odd", "1-1", "noarch", "odd", "1-1", 0),
        Package("postfix", "2:2.10.1-9.el7", "x86_64", "postfix", "2.10.1-9.el7", 12548),
    ]


def test_a_tree_without_its_list(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"read the list of packages .*: No such file or directory"):
        packages.read_rpm(tmp_path)
