"""What can happen between a node and its domain; each function plays it out and returns what was seen."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from mailimg.peers import addresses as at
from mailimg.peers.domain import OU_PEOPLE, OU_PRESET, OU_SERVERS, PLAIN
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
    # Ours by its mark, but somebody else made it: the joining account has no rights to it.
    uuid = world.instance()
    name = computer(ROLE, uuid)
    world.dc.tool("computer", "create", name, f"--computerou=OU=servers,{at.AD_BASE_DN}",
                  f"--description=mailimg smtp-in, instance {uuid}")
    world.by_user(uuid)
    told["not its maker"] = {"join": world.node.agent("apply"), "leave": world.node.agent("leave"), "name": name}
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
    """The node's clock is wrong, or the controller's."""
    told: dict[str, Any] = {}
    world.by_user(world.instance())
    for words, seconds in (("ahead", 3600), ("behind", -3600), ("near enough", 200)):
        world.node.skew(seconds)
        told[words] = world.node.agent("apply", "--patience", "1")
    world.node.skew(0)
    told["leave"] = world.node.agent("leave")
    told["set meanwhile"] = world.node.agent("apply", "--ahead", "3600")
    told["leave again"] = world.node.agent("leave")
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
    """SIGKILL after each program that changes something, of a join and of a leave; then once more, undisturbed."""
    told: dict[str, Any] = {"joins": {}, "leaves": {}}
    uuid = world.instance()
    name = computer(ROLE, uuid)
    world.by_user(uuid)
    joining, leaving = world.node.agent("apply"), world.node.agent("leave")
    for number, program in changing(joining["programs"]):
        world.node.forget()
        first, second = world.node.agent("apply", "--kill", str(number)), world.node.agent("apply")
        told["joins"][f"{number} {program}"] = {
            "first": first["status"], "second": [second["status"], second["message"]],
            "account": world.account(name).get("description"), "check": world.node.agent("check")["found"]}
        world.node.agent("leave")
    for number, program in changing(leaving["programs"]):
        world.node.agent("apply")
        first, second = world.node.agent("leave", "--kill", str(number)), world.node.agent("leave")
        told["leaves"][f"{number} {program}"] = {
            "first": first["status"], "second": [second["status"], second["message"]], "account": world.account(name),
            "keytab": world.node.path("/etc/krb5.keytab").exists(),
            "tickets": world.node.path("/run/mailimg/krb5cc").exists()}
    told["uuid"] = uuid
    told["computers"] = world.computers()
    return told


def changing(programs: list[str]) -> list[tuple[int, str]]:
    """Those that change machine or directory, with numbers; a kill after a look is one after the change before."""
    changes = ("kinit", "ldapmodify", "adcli join", "systemctl re", "systemctl st")
    return [(number, program) for number, program in enumerate(programs, 1) if program.startswith(changes)]


def directory(world: World) -> dict[str, Any]:
    """What the domain is to those who only look things up: with TLS by name and by address, and without."""
    query = "(|(mail=anna@example.org)(mail=all@example.org))"
    told: dict[str, Any] = {"srv": world.ask(["dig", "+short", "SRV", f"_ldap._tcp.dc._msdcs.{at.AD_DOMAIN}"])[1]}
    for words, url, option in (("starttls", f"ldap://{at.DC_NAME}", "-ZZ"), ("ldaps", f"ldaps://{at.DC_NAME}", "-x"),
                               ("by address", f"ldaps://{at.DC4}", "-x"), ("plain", f"ldap://{at.DC_NAME}", "-x")):
        told[words] = world.ask(["ldapsearch", "-LLL", "-x", "-H", url, option, "-D", world.dc.reader_dn, "-y",
                                 str(world.password_file), "-b", OU_PEOPLE, query, "mail", "info", "member"])
    return told


def codes(world: World) -> dict[str, Any]:
    """adcli's exit status and words for what can go wrong."""
    words = f"--domain={at.AD_DOMAIN}", f"--domain-controller={at.DC_NAME}"
    once = [*words, "--login-type=computer", "--stdin-password", "--host-keytab=/tmp/none.keytab"]
    fqdn = f"codes.{at.AD_DOMAIN}"
    world.adcli("preset-computer", f"--domain-ou={OU_PRESET}", f"--one-time-password={ONCE}", fqdn)
    preset = [*words, "--login-user=Administrator", "--stdin-password", f"--domain-ou={OU_PRESET}",
              f"--one-time-password={ONCE}", fqdn]
    plain = [*words, f"--login-user={PLAIN}", "--stdin-password", f"--domain-ou={OU_SERVERS}", f"codes2.{at.AD_DOMAIN}"]
    told = {
        "no domain": world.try_adcli("", "info", "nowhere.example"),
        "no option": world.try_adcli("", "join", "--nonsense"),
        "wrong password": world.try_adcli("Not-it-1", "join", *once, "--computer-name=CODES", f"--host-fqdn={fqdn}"),
        "no account": world.try_adcli(ONCE, "join", *once, "--computer-name=CODES3", f"--host-fqdn={fqdn}"),
        "twice": world.try_adcli(world.dc.admin_password, "preset-computer", *preset),
        "no right": world.try_adcli(world.dc.password, "preset-computer", *plain),
    }
    world.dc.tool("computer", "delete", "CODES")
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


NAMES = ["directory", "whole", "refused", "collision", "preset", "clocks", "controllers", "killed", "reboot", "codes"]
