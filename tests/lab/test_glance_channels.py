"""Channels and the end of images, in a real Glance: one current image a role, whoever promotes at whatever moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cloud.nova import Nova, serve
from glance_site import Operator, make_image

pytestmark = pytest.mark.lab


def place(operator: Operator) -> dict[str, tuple[str, bool, list[str]]]:
    """State, whether it is hidden, and channels of each image, by the role and the first characters of its id."""
    return {one["id"]: (one["state"], one["hidden"], one["channels"]) for one in operator.listed()}


def uploaded(operator: Operator, folder: Path, count: int, role: str = "smtp-in", **more: Any) -> list[str]:
    """Ids of new images of one role, oldest first."""
    images = [make_image(folder / f"{role}{number}", role, mib=1, **more) for number in range(count)]
    return [operator.upload(image)["id"] for image in images]


def test_one_is_current_and_older_ones_are_hidden(operator: Operator, tmp_path: Path) -> None:
    first, second, third = uploaded(operator, tmp_path, 3)
    (other,) = uploaded(operator, tmp_path, 1, "nfs")
    said = operator.good("promote", first)
    assert "is now the current image of smtp-in in stable; before: nothing" in said
    said = operator.good("promote", second)
    assert f"({first})\n" in said.splitlines(keepends=True)[0]
    assert said.splitlines()[1].startswith("  hidden: smtp-in-debian-12-")
    # The third is newer than the current one, and waits for its day.
    assert place(operator) == {first: ("old", True, []), second: ("current", False, ["stable"]),
                               third: ("ready", False, []), other: ("ready", False, [])}
    assert "is the current image of smtp-in in stable already" in operator.good("promote", second)
    # Back to the first.
    operator.good("promote", first)
    assert place(operator)[first] == ("current", False, ["stable"])
    assert place(operator)[second] == ("old", True, [])


def test_from_one_distribution_to_another(operator: Operator, tmp_path: Path) -> None:
    (old,) = uploaded(operator, tmp_path / "old", 1, distro="centos-7")
    (new,) = uploaded(operator, tmp_path / "new", 1)
    operator.good("promote", old)
    operator.good("promote", new)
    assert place(operator) == {old: ("old", True, []), new: ("current", False, ["stable"])}


def test_channels_do_not_disturb_each_other(operator: Operator, tmp_path: Path) -> None:
    first, second = uploaded(operator, tmp_path, 2)
    operator.good("promote", first, "--channel", "testing")
    operator.good("promote", first)
    assert place(operator)[first] == ("current", False, ["stable", "testing"])
    operator.good("promote", second, "--channel", "testing")
    # It lost one channel, and is still current in the other.
    assert place(operator) == {first: ("current", False, ["stable"]), second: ("current", False, ["testing"])}


def test_ways_to_name_an_image(operator: Operator, tmp_path: Path) -> None:
    image = make_image(tmp_path / "out")
    one = operator.upload(image)
    for name in (one["id"], one["name"], one["identity"][:8], image):
        assert one["id"] in operator.good("promote", name)
    second = operator.upload(make_image(tmp_path / "more"))
    done = operator.run("promote", one["id"], second["id"], "smtp-in-debian-1", "--channel", "stable")
    assert done.returncode == 2
    assert done.stderr.startswith("error: smtp-in-debian-1: no image of mailimg in this project")
    assert "error: several images of smtp-in: " in done.stderr
    assert "`mailimg images` lists them." in done.stderr
    assert operator.run("promote", one["id"], "--channel", "Stable!").returncode == 2
    lost = operator.run("promote", make_image(tmp_path / "never"))
    assert (lost.returncode, "is not in the cloud\nUpload it first" in lost.stderr) == (2, True)


def test_untested_images_are_not_promoted_by_mistake(operator: Operator, tmp_path: Path) -> None:
    one = operator.upload(make_image(tmp_path / "out", verify=None), "--untested")
    done = operator.run("promote", one["id"])
    assert (done.returncode, operator.states()) == (2, {one["id"]: "ready"})
    assert f"{one['name']} ({one['id']}): was uploaded untested" in done.stderr
    operator.good("promote", one["id"], "--untested")
    assert operator.states() == {one["id"]: "current"}


@pytest.mark.parametrize("turn", [0, 3])
def test_many_promote_at_once(operator: Operator, tmp_path: Path, turn: int) -> None:
    """Everyone who succeeds was current; in the end there is one, and all agree on it."""
    ids = uploaded(operator, tmp_path, 4)
    operator.good("promote", ids[turn])
    commands = {one: operator.start("promote", one) for one in ids}
    said = {one: command.communicate(timeout=240) for one, command in commands.items()}
    found = place(operator)
    current = [one for one, (state, _, _) in found.items() if state == "current"]
    assert len(current) == 1, said
    assert found[current[0]] == ("current", False, ["stable"])
    assert [found[one] for one in ids if one != current[0]] == [("old", True, [])] * 3
    assert commands[current[0]].returncode == 0, said[current[0]]
    for one, command in commands.items():
        assert command.returncode in (0, 1), said[one]
        if command.returncode:
            assert "at the same time, and that is current now" in said[one][1]


def test_retire(operator: Operator, tmp_path: Path) -> None:
    first, second = uploaded(operator, tmp_path, 2)
    operator.good("promote", first)
    operator.good("promote", second)
    with serve(Nova({"web": None, "mail-1": first, "mail-2": first, "other": "0" * 36})) as nova:
        operator.entry = {"compute_endpoint_override": nova.url}
        assert {one["id"]: one["servers"] for one in operator.listed()} == {first: ["mail-1", "mail-2"], second: []}
        done = operator.run("retire", second)
        assert done.returncode == 2
        assert f"({second}): is the current image of smtp-in in stable\nPromote another image first" in done.stderr
        done = operator.run("retire", first)
        assert done.returncode == 1
        assert "hidden, not deleted: 2 servers use it: mail-1, mail-2" in done.stdout
        assert place(operator)[first] == ("retired", True, [])
        nova.servers = {"mail-1": second}
        assert operator.good("retire", first).endswith(": deleted\n")
        assert list(operator.raw()) == [second]
        done = operator.run("retire", second, "--even-current", "--hide-only")
        assert (done.returncode, place(operator)) == (0, {second: ("retired", True, [])})
    # A retired image may come back.
    operator.entry = {}
    operator.good("promote", second)
    assert place(operator) == {second: ("current", False, ["stable"])}


@pytest.mark.parametrize(("entry", "why"), [
    ({"compute_service_type": "not-here"}, "the cloud has no compute service"),
    ({"compute_endpoint_override": "http://127.0.0.1:1/v2.1"}, "Unable to establish connection"),
])
def test_retire_without_nova(operator: Operator, tmp_path: Path, entry: dict[str, str], why: str) -> None:
    (one,) = uploaded(operator, tmp_path, 1)
    operator.entry = entry
    table = operator.run("images")
    assert " unknown" in table.stdout
    assert f"in use by: list the servers: {why}" in table.stderr
    assert operator.listed()[0]["servers"] is None
    done = operator.run("retire", one)
    assert done.returncode == 1
    assert "hidden, not deleted: whether servers use it is not known: list the servers" in done.stdout
    assert "Where Nova cannot tell: --ignore-unknown-servers." in done.stderr
    assert place(operator) == {one: ("retired", True, [])}
    assert operator.good("retire", one, "--ignore-unknown-servers").endswith(": deleted\n")
    assert operator.raw() == {}


def test_servers_of_other_projects_may_use_an_image_that_is_not_private(operator: Operator, tmp_path: Path) -> None:
    (one,) = uploaded(operator, tmp_path, 1)
    operator.patch(one, {"op": "replace", "path": "/visibility", "value": "shared"})
    with serve(Nova({})) as nova:
        operator.entry = {"compute_endpoint_override": nova.url}
        assert " 0+" in operator.good("images")
        done = operator.run("retire", one)
        assert done.returncode == 1
        assert "it is shared, and servers of other projects are not ours to see" in done.stdout
    with serve(Nova({"theirs": one}, admin=True)) as nova:
        operator.entry = {"compute_endpoint_override": nova.url}
        assert "1 server uses it: theirs" in operator.run("retire", one).stdout
        nova.servers = {}
        assert operator.good("retire", one).endswith(": deleted\n")


def test_a_protected_image_stays(operator: Operator, tmp_path: Path) -> None:
    (one,) = uploaded(operator, tmp_path, 1)
    operator.patch(one, {"op": "replace", "path": "/protected", "value": True})
    done = operator.run("retire", one, "--ignore-unknown-servers")
    assert done.returncode == 1
    assert f"({one}): image: 403 Image {one} is protected and cannot be deleted" in done.stderr
    assert operator.states() == {one: "retired"}
    operator.patch(one, {"op": "replace", "path": "/protected", "value": False})
