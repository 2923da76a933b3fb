"""What every node of a verification has to prove of the site: that it joined all of it, and that it leaves no trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailimg.errors import StepError
from mailimg.peers import addresses as at
from mailimg.peers.directory import GROUPS, USERS
from mailimg.peers.files import PORT
from mailimg.verify.scenarios import Bench, Check, CheckFailed, until

KEYTAB = "/etc/krb5.keytab"
# Where the agent and the daemons write; the config drive, which nobody can take the secrets from, is elsewhere.
WRITTEN = ("/etc", "/run/mailimg", "/var/lib/mailimg", "/var/spool/postfix")
LEAVE_SECONDS = 400.0
SSSD_SECONDS = 30.0


def joined(cloud: bool) -> list[tuple[str, Check]]:
    """The checks of a node that has just become ready."""
    checks: list[tuple[str, Check]] = [
        ("the computer account names the instance", account_named),
        ("users and lists of the domain are known", users_known),
        ("the certificate is that of the HTTPS server", certificate_fetched),
    ]
    if cloud:
        checks += [("secrets come from the cloud", secrets_fetched), ("the node is in every pool", registered)]
    return [*checks, ("a second run changes nothing", unchanged)]


def parting() -> list[tuple[str, Check]]:
    """The last checks: after them the node serves nobody."""
    return [("the node leaves without a trace", leaves), ("leaving again changes nothing", leaves_again)]


def own_accounts(bench: Bench) -> dict[str, dict[str, str]]:
    """The computer accounts that name the instance."""
    return {name: entry for name, entry in bench.site.domain.computers().items()
            if f"instance {at.INSTANCE}" in (entry.get("description", "") + entry.get("info", ""))}


def account_named(bench: Bench) -> str:
    """As the domain's own database has it: one account, with the instance's UUID, and none besides."""
    mine, every = own_accounts(bench), bench.site.domain.computers()
    if len(mine) != 1 or len(every) != 1:
        raise CheckFailed(f"accounts of the instance: {sorted(mine) or 'none'}; of all: {sorted(every) or 'none'}")
    (name,) = mine
    step = step_of(bench.node.status(), "join")
    if step["state"] != "done":
        raise CheckFailed(f"the step `join` is {step['state']}")
    return f"{name} in {at.AD_REALM} after {step['seconds']:.1f} s"


def users_known(bench: Bench) -> str:
    """By sssd, with the lists they are in, by way of other lists too."""
    user = USERS[0].login
    told = ""

    def known() -> bool:
        nonlocal told
        told = bench.node.ask(["id", user], check=False)
        return all(f"({group.name})" in told for group in GROUPS[:2])

    if not until(known, SSSD_SECONDS):
        raise CheckFailed(f"id {user}: {told.strip() or 'no such user'}")
    return told.strip()


def certificate_fetched(bench: Bench) -> str:
    """From where the site document says; that the daemons show it is proved by each TLS session of the scenarios."""
    if not bench.site.url:
        return "the site has none"
    told = bench.node.status()["certificate"]
    if told is None:
        if bench.site.files.asked:
            raise CheckFailed("fetched, and not kept")
        return "the role has no use for one"
    if bench.site.url not in told["source"] or told["kept"] or not bench.site.files.asked:
        raise CheckFailed(f"source {told['source']}, kept: {told['kept']}; asked for: {bench.site.files.asked}")
    return f"{', '.join(told['names'])} from {at.FILES_NAME}:{PORT}"


def secrets_fetched(bench: Bench) -> str:
    """No secret stands in what the instance was given but the one that opens the cloud."""
    given = bench.node.ask(["cat", "/var/lib/cloud/instance/user-data.txt"])
    shown = sum(telling(text) in given for text in bench.site.secrets)
    references = given.count("barbican:")
    if shown or not references or not all(telling(text) in given for text in bench.site.opening):
        raise CheckFailed(f"{shown} secrets stand in the user data, {references} references")
    return f"{references} by reference to the key manager"


def registered(bench: Bench) -> str:
    """With its address and each port's own number, as the load balancer's API shows it to an operator."""
    found = members(bench)
    missing = [port for port, own in found.items() if len(own) != 1]
    step = step_of(bench.node.status(), "balancer")
    if missing or step["state"] != "done":
        raise CheckFailed(f"in no pool for {', '.join(missing) or 'none'}; the step `balancer` is {step['state']}")
    return ", ".join(f"{port} {own[0]['address']}:{own[0]['protocol_port']}" for port, own in found.items())


def members(bench: Bench) -> dict[str, list[dict[str, Any]]]:
    """The node's own members, by the names of its ports; empty without a cloud."""
    if bench.site.observer is None:
        return {}
    return {port: [one for one in every if one["address"] in (at.NODE4, at.NODE6)]
            for port, every in bench.site.observer.members().items()}


def unchanged(bench: Bench) -> str:
    """Every step says so, and so do the domain and the load balancer."""
    before = own_accounts(bench), members(bench)
    seconds = timed(bench, "apply")
    status = bench.node.status()
    # A warning was one before, too: time servers that a verification does not have.
    acted = [step["name"] for step in status["steps"] if step["state"] not in ("clean", "warning")]
    if status["state"] != "ready" or acted:
        raise CheckFailed(f"state {status['state']}; acted: {', '.join(acted) or 'none'}")
    if (own_accounts(bench), members(bench)) != before:
        raise CheckFailed("the account or the members were changed")
    bench.figures["unchanged"] = seconds
    return f"{seconds:.2f} s{slowest(status)}"


def leaves(bench: Bench) -> str:
    """No member, no account, no key, no service, no secret on the disk."""
    if any(file["secret"] for file in bench.node.role()["files"]) and not secrets_on_disk(bench):
        raise CheckFailed("no secret was found on the disk of a node that serves: the search is blind")
    seconds = timed(bench, "leave")
    status = bench.node.status()
    problems = [] if status["state"] == "left" else [f"state {status['state']}: {status['message']}"]
    problems += [f"member of the pool for {port}" for port, own in members(bench).items() if own]
    problems += [f"account {name}" for name in own_accounts(bench)]
    if bench.node.ask(["find", KEYTAB], check=False).strip():
        problems.append(KEYTAB)
    open_ports = set(bench.node.listeners()) & {port["port"] for port in bench.node.role()["ports"]}
    if open_ports:
        problems.append(f"ports {sorted(open_ports)}")
    problems += [f"{unit}, which would start a service again" for unit in triggers(bench)]
    problems += [f"a secret in {path}" for path in secrets_on_disk(bench)]
    if problems:
        raise CheckFailed("left behind: " + "; ".join(problems))
    bench.figures["leave"] = seconds
    return f"{seconds:.2f} s{slowest(status)}"


def triggers(bench: Bench) -> list[str]:
    """Active units that start a service of the role when something happens: a socket to which somebody connects."""
    units = [service["unit"] for service in bench.node.role()["services"]]
    shown = bench.node.ask(["systemctl", "show", "-p", "TriggeredBy", *units])
    found = sorted({name for line in shown.splitlines() for name in line.partition("=")[2].split()})
    states = bench.node.ask(["systemctl", "is-active", *found], check=False).split() if found else []
    return [name for name, state in zip(found, states, strict=True) if state == "active"]


def secrets_on_disk(bench: Bench) -> list[str]:
    """Files where agent and daemons write that hold a secret of the site document."""
    looks = [word for text in bench.site.secrets + bench.site.opening for word in ("-e", telling(text))]
    return bench.node.ask(["grep", "-rlsF", *looks, *WRITTEN], check=False).split()


def leaves_again(bench: Bench) -> str:
    """Every step has nothing to do."""
    seconds = timed(bench, "leave")
    status = bench.node.status()
    acted = [f"{step['name']} ({step['message']})" for step in status["steps"] if step["state"] != "clean"]
    if status["state"] != "left" or acted:
        raise CheckFailed(f"state {status['state']}; acted: {', '.join(acted) or 'none'}")
    return f"{seconds:.2f} s"


def timed(bench: Bench, command: str) -> float:
    """Run the agent; seconds on the node's own clock.

    Raises:
        CheckFailed: it ended with an error, with its last words.
    """
    script = ('a=$(date +%s%N); mailimg-firstboot "$1" >/dev/null 2>/tmp/said; code=$?; b=$(date +%s%N); '
              'echo "$code $((b - a))"; tail -n 5 /tmp/said; rm -f /tmp/said')
    told = bench.node.ask(["sh", "-c", script, "timed", command], timeout=LEAVE_SECONDS)
    first, _, said = told.partition("\n")
    code, nanoseconds = first.split()
    if code != "0":
        raise CheckFailed(f"mailimg-firstboot {command} ended with status {code}: {said.strip()}")
    return int(nanoseconds) / 1e9


def slowest(status: Mapping[str, Any]) -> str:
    """The step that took longest, for the end of a line."""
    slow = max(status["steps"], key=lambda step: float(step["seconds"]))
    return f", of which {slow['name']} {slow['seconds']:.2f} s"


def step_of(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """One step of a status document.

    Raises:
        StepError: it has none of this name.
    """
    found = next((dict(step) for step in status["steps"] if step["name"] == name), None)
    if found is None:
        raise StepError(f"the agent's status has no step {name}")
    return found


def telling(text: str) -> str:
    """The part of a secret that is looked for: of several lines one from the middle."""
    lines = text.strip().splitlines()
    return lines[len(lines) // 2]
