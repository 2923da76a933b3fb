"""The recipe of the domain of a verification."""

from __future__ import annotations

import base64
from pathlib import Path

from mailimg.peers import addresses as at
from mailimg.peers import directory, domain
from mailimg.peers.authority import Certificate


def entries() -> dict[str, list[str]]:
    """The lines of each entry, by DN."""
    text = domain.ldif(directory.USERS, directory.GROUPS, "people's", "joiner's")
    blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    return {block[0].removeprefix("dn: "): block[1:] for block in blocks}


def test_people_are_those_of_the_other_directory() -> None:
    found = entries()
    for user in directory.USERS:
        lines = found[domain.dn_of(user.login)]
        assert {f"mail: {user.mail}", f"info: {user.quota}", f"sAMAccountName: {user.login}"} <= set(lines)
    for group in directory.GROUPS:
        members = [f"member: {domain.dn_of(name)}" for name in group.members]
        assert set(members) <= set(found[domain.dn_of(group.name)])


def test_a_list_stands_after_the_lists_in_it() -> None:
    order = list(entries())
    assert order.index(domain.dn_of("team")) < order.index(domain.dn_of("all"))


def test_passwords_are_in_the_form_that_the_directory_takes() -> None:
    line = next(line for line in entries()[domain.dn_of(domain.JOINER)] if line.startswith("unicodePwd:: "))
    assert base64.b64decode(line.partition(":: ")[2]).decode("utf-16-le") == '"joiner\'s"'


def test_the_joiner_may_only_make_computers_and_the_computers_only_go() -> None:
    joiner, computers = domain.recipe("a", "b", "c")[-2:]
    assert joiner == f"(OA;CI;CC;{domain.COMPUTER};;SID of {domain.JOINER})"
    assert computers == f"(OA;CIIO;SD;;{domain.COMPUTER};PS)"


def test_samba_stays_on_its_own_address_and_in_its_own_folder(tmp_path: Path) -> None:
    text = domain.config(tmp_path, Certificate(tmp_path / "c.pem", tmp_path / "c.key", ""), tmp_path / "ca.pem")
    settings = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)
    assert settings["interfaces"] == at.DC4
    assert settings["bind interfaces only"] == "yes"
    for name, value in settings.items():
        if name.endswith(("directory", "dir")):
            assert Path(value).is_relative_to(tmp_path), name
    assert settings["tls certfile"] == str(tmp_path / "c.pem")
