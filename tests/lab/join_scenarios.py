"""What can happen between a node and its domain; each function plays it out and returns what was seen."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from mailimg.verify import addresses as at
from mailimg.verify.domain import OU_PEOPLE, OU_PRESET, OU_SERVERS, PLAIN
from mailimg_firstboot.membership import computer

if TYPE_CHECKING:
    from join_inside import World

ROLE = "smtp-in"
ONCE = "Once-upon-1"

# Seconds that a controller is away while a node boots.
AWAY = 20.0


def whole(world: World) -> dict[str, Any]:
    """Join as the unit does it at boot, again, then leave twice; nothing shows a secret."""
    uuid = world.instance()
    name = computer(ROLE, uuid)
    world.by_user(uuid)
    others = world.computers()
    secret = world.dc.joiner_password
    with world.watched(secret) as seen:
        world.node.run(["systemctl", "start", "mailimg-firstboot.service"])
    told: dict[str, Any] = {"name": name, "uuid": uuid, "seen": seen, "account": world.account(name)}
    told["status"] = world.node.run(["cat", "/run/mailimg/status.json"]).stdout
    told["modes"] = world.node.run(["stat", "-c", "%n %a %U", "/etc/krb5.keytab", "/etc/sssd/sssd.conf",
                                    "/etc/krb5.conf"]).stdout.splitlines()
    told["anna"] = world.node.run(["id", "anna"]).stdout
    told["tickets"] = world.node.path("/run/mailimg/krb5cc").exists()
    told["again"] = world.node.agent("apply")
    told["account again"] = world.account(name)
    told["check"] = world.node.agent("check")
    told["found"] = world.found_in_files(secret)
    # The disk lost its key, the account is still there.
    world.node.run(["rm", "/etc/krb5.keytab"])
    told["key lost"] = world.node.agent("apply")
    told["account key lost"] = world.account(name)
    with world.watched(secret) as told["seen leaving"]:
        told["leave"] = world.node.agent("leave")
    told["left"] = world.account(name)
    told["others"] = [others, world.computers()]
    told["leave again"] = world.node.agent("leave")
    told["traces"] = [path for path in ("/etc/krb5.keytab", "/run/mailimg/krb5cc") if world.node.path(path).exists()]
    told["sssd"] = world.node.run(["systemctl", "is-active", "sssd.service"], check=False).stdout.strip()
    return told


def refused(world: World) -> dict[str, Any]:
    """Logins and rights that are not enough."""
    told: dict[str, Any] = {}
    world.by_user(world.instance(), "Not-the-word-1")
    told["wrong password"] = world.node.agent("apply")
    told["bad logins"] = world.account_of(world.dc.joiner)["badPwdCount"]
    world.by_user(world.instance(), user="svc-nobody")
    told["no such user"] = world.node.agent("apply")
    world.by_user(world.instance(), ou=f"OU=nowhere,{at.AD_BASE_DN}")
    told["no such ou"] = world.node.agent("apply")
    world.by_user(world.instance(), ou=OU_PEOPLE)
    told["no right"] = world.node.agent("apply")
    world.by_user(world.instance(), world.dc.password, user=PLAIN)
    told["plain user"] = world.node.agent("apply")
    world.dc.tool("user", "create", "late", "Aa1-late-word", "--must-change-at-next-login")
    world.by_user(world.instance(), "Aa1-late-word", user="late")
    told["expired"] = world.node.agent("apply")
    world.dc.tool("user", "setpassword", "late", "--newpassword=Aa1-late-word")
    world.dc.tool("user", "disable", "late")
    told["disabled"] = world.node.agent("apply")
    told["computers"] = world.computers()
    return told


def collision(world: World) -> dict[str, Any]:
    """The name is taken: by another instance, by nobody known."""
    told: dict[str, Any] = {}
    for whose, text in (("another", "mailimg smtp-in, instance 99999999-aaaa"), ("nobody", "")):
        uuid = world.instance()
        name = computer(ROLE, uuid)
        world.dc.tool("computer", "create", name, f"--computerou=OU=servers,{at.AD_BASE_DN}",
                      *([f"--description={text}"] if text else []))
        before = world.account(name)
        world.by_user(uuid)
        told[whose] = {"name": name, "join": world.node.agent("apply"), "leave": world.node.agent("leave"),
                       "untouched": world.account(name) == before}
        world.dc.tool("computer", "delete", name)
    # A disk that was another's: its key stays unused, its account stays.
    first = world.instance()
    world.by_user(first)
    world.node.agent("apply")
    before = world.account(computer(ROLE, first))
    second = first.replace("5f0c5a0e", "6a1d6b1f")
    world.by_user(second)
    told["copied disk"] = {"join": world.node.agent("apply"), "second": world.account(computer(ROLE, second)),
                           "keys": world.node.run(["klist", "-k"]).stdout, "name": computer(ROLE, second),
                           "leave": world.node.agent("leave"), "gone": world.account(computer(ROLE, second)),
                           "untouched": world.account(computer(ROLE, first)) == before}
    world.dc.tool("computer", "delete", computer(ROLE, first))
    return told


def preset(world: World) -> dict[str, Any]:
    """Accounts that somebody else made, with one-time passwords."""
    uuid = world.instance()
    name = computer(ROLE, uuid)
    fqdn = f"{name.lower()}.{at.AD_DOMAIN}"
    world.adcli("preset-computer", f"--domain-ou={OU_PRESET}", f"--one-time-password={ONCE}", fqdn)
    world.preset(uuid, "Not-that-one-1")
    told: dict[str, Any] = {"name": name, "uuid": uuid, "wrong": world.node.agent("apply")}
    world.preset(uuid, ONCE)
    with world.watched(ONCE) as told["seen"]:
        told["join"] = world.node.agent("apply")
    told["found"] = world.found_in_files(ONCE)
    told["account"] = world.account(name)
    told["again"] = world.node.agent("apply")
    world.node.forget()
    told["used"] = world.node.agent("apply")
    # As the hint says.
    world.adcli("reset-computer", fqdn)
    world.adcli("delete-computer", fqdn)
    world.adcli("preset-computer", f"--domain-ou={OU_PRESET}", f"--one-time-password={ONCE}", fqdn)
    told["preset again"] = world.node.agent("apply")
    told["leave"] = world.node.agent("leave")
    told["left"] = world.account(name)
    told["leave again"] = world.node.agent("leave")

    # Where computers may not delete themselves.
    uuid = world.instance()
    name = computer(ROLE, uuid)
    fqdn = f"{name.lower()}.{at.AD_DOMAIN}"
    world.preset(uuid, ONCE)
    told["not yet"] = world.node.agent("apply", "--patience", "2")
    late = threading.Timer(4, lambda: world.adcli("preset-computer", f"--domain-ou={OU_SERVERS}",
                                                  f"--one-time-password={ONCE}", fqdn))
    late.start()
    told["preset late"] = world.node.agent("apply")
    late.join()
    told["may not leave"] = world.node.agent("leave")
    world.dc.tool("computer", "delete", name)
    told["left by hand"] = world.node.agent("leave")
    told["keytab"] = world.node.path("/etc/krb5.keytab").exists()
    return told


def clocks(world: World) -> dict[str, Any]:
    """The node's clock is wrong."""
    told: dict[str, Any] = {}
    world.by_user(world.instance())
    for words, seconds in (("ahead", 3600), ("behind", -3600)):
        world.node.skew(seconds)
        told[words] = world.node.agent("apply", "--patience", "1")
    # A time server sets it while the agent waits.
    mend = threading.Timer(3, world.node.skew, [0])
    mend.start()
    told["set meanwhile"] = world.node.agent("apply")
    mend.join()
    world.node.skew(200)
    told["near enough"] = world.node.agent("apply")
    world.node.skew(0)
    told["leave"] = world.node.agent("leave")
    return told


def controllers(world: World) -> dict[str, Any]:
    """Where the controller is, and when."""
    told: dict[str, Any] = {}
    uuid = world.instance()
    for words, servers in (("listed", [at.DC_NAME]), ("first is dead", [f"dc0.{at.AD_DOMAIN}", at.DC_NAME])):
        world.by_user(uuid, servers=servers)
        told[words] = world.node.agent("apply")
        told[words]["krb5.conf"] = world.node.path("/etc/krb5.conf").read_text()
        told[words]["id"] = world.node.run(["id", "bela"], check=False).stdout
        told["leave " + words] = world.node.agent("leave")
    world.by_user(uuid, servers=[at.DC_NAME], realm="other.example", ou="OU=servers,DC=other,DC=example")
    told["not of the realm"] = world.node.agent("apply")

    world.by_user(uuid)
    world.dc.stop()
    back = threading.Timer(AWAY, world.start_dc)
    back.start()
    told["away"] = world.node.agent("apply")
    back.join()
    world.dc.stop()
    told["away for good"] = world.node.agent("apply", "--patience", "3")
    told["away at leave"] = world.node.agent("leave")
    world.start_dc()
    told["leave"] = world.node.agent("leave")
    return told


def killed(world: World) -> dict[str, Any]:
    """SIGKILL after each program of a join and of a leave; then once more, undisturbed."""
    told: dict[str, Any] = {"joins": [], "leaves": []}
    uuid = world.instance()
    name = computer(ROLE, uuid)
    world.by_user(uuid)
    told["whole"] = world.node.agent("apply")
    leaving = world.node.agent("leave")
    told["whole leave"] = leaving
    for number in range(1, len(told["whole"]["programs"]) + 1):
        world.node.forget()
        first = world.node.agent("apply", "--kill", str(number))
        second = world.node.agent("apply")
        told["joins"].append([first["status"], second["status"], second["message"], world.account(name).get("description"),
                              world.node.agent("check")["found"]])
        world.node.agent("leave")
    for number in range(1, len(leaving["programs"]) + 1):
        world.node.agent("apply")
        first = world.node.agent("leave", "--kill", str(number))
        second = world.node.agent("leave")
        told["leaves"].append([first["status"], second["status"], second["message"], world.account(name),
                               world.node.path("/etc/krb5.keytab").exists()])
    told["computers"] = world.computers()
    return told


def reboot(world: World) -> dict[str, Any]:
    """The node is switched off and on again."""
    uuid = world.instance()
    world.by_user(uuid)
    told: dict[str, Any] = {"join": world.node.agent("apply")}
    before = world.account(computer(ROLE, uuid))
    begun = time.monotonic()
    world.node.stop()
    world.restart_node()
    told["again"] = world.node.agent("apply")
    told["seconds"] = round(time.monotonic() - begun, 1)
    told["untouched"] = world.account(computer(ROLE, uuid)) == before
    told["leave"] = world.node.agent("leave")
    return told


NAMES = ["whole", "refused", "collision", "preset", "clocks", "controllers", "killed", "reboot"]
