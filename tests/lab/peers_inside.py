"""Runs in namespaces of its own: starts the peers of a verification and asks them with other programs' clients."""

from __future__ import annotations

import json
import smtplib
import sys
from pathlib import Path
from typing import Any

from mailimg import process
from mailimg.clients import letters
from mailimg.machines import network
from mailimg.peers import addresses as at
from mailimg.peers.authority import Authority
from mailimg.peers.directory import Directory
from mailimg.peers.names import Names
from mailimg.peers.sink import Sink


def search(password: str, ca: Path, query: str, *options: str, url: str = f"ldap://{at.DIRECTORY_NAME}") -> list[Any]:
    """Exit status of ldapsearch, and the lines it found or complained with."""
    secret = ca.parent / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    argv = ["ldapsearch", "-LLL", "-x", "-H", url, "-D", at.READER_DN, "-y", secret, "-b", at.BASE_DN, *options, query]
    done = process.run([*argv, "mail", "info"], what="search", check=False, timeout=30, env={"LDAPTLS_CACERT": str(ca)})
    return [done.returncode, [line for line in (done.stdout + done.stderr).splitlines() if line]]


def directory(folder: Path) -> dict[str, Any]:
    """What the directory answers, with and without TLS, and after it was away."""
    authority, stranger = Authority(folder), Authority(folder / "stranger")
    peer = Directory(folder / "directory", authority.issue(at.DIRECTORY_NAME, at.HOST4), authority.file)
    peer.start()
    password, ca = peer.password, authority.file
    told = {
        "starttls": search(password, ca, "(&(objectClass=person)(sAMAccountName=ANNA))", "-ZZ"),
        "ldaps": search(password, ca, "(&(objectClass=group)(mail=team@example.org))", url=f"ldaps://{at.DIRECTORY_NAME}"),
        "plain": search(password, ca, "(mail=*)")[0],
        "stranger": search(password, stranger.file, "(mail=*)", "-ZZ"),
        "wrong password": search("wrong", ca, "(mail=*)", "-ZZ")[0],
    }
    peer.stop()
    told["stopped"] = search(password, ca, "(mail=*)", "-ZZ")
    peer.start()
    told["back"] = search(password, ca, "(mail=anna@example.org)", "-ZZ")[0]
    peer.stop()
    return told


def sink() -> dict[str, Any]:
    """What the delivery layer keeps."""
    peer = Sink()
    peer.start()
    sent = letters.clean("anna@example.org")
    with smtplib.SMTP(at.HOST4, at.DELIVERY_PORT, timeout=20) as client:
        client.ehlo()
        client.mail("s@sender.example", ["BODY=8BITMIME"])
        client.rcpt("anna@example.org")
        client.data(sent.content)
    got = peer.wait(sent.message_id, 10)
    missing = peer.find("<nothing@x>")
    peer.stop()
    return {"whole": got is not None and got.content == sent.content, "sender": got.sender if got else "",
            "recipients": list(got.recipients) if got else [], "missing": missing is None}


def main() -> None:
    folder = Path(sys.argv[1])
    (folder / "stranger").mkdir()
    network.lay("nspawn")
    (folder / "resolv.conf").write_text(f"nameserver {at.HOST4}\n")
    # Only this mount namespace sees it.
    process.run(["mount", "--bind", folder / "resolv.conf", Path("/etc/resolv.conf").resolve()], what="use our DNS")
    names = Names(folder / "names")
    names.start()
    known = process.run(["getent", "ahostsv4", at.DIRECTORY_NAME], what="resolve", timeout=30).stdout.split()
    unknown = process.run(["getent", "ahostsv4", "debian.org"], what="resolve", check=False, timeout=30)
    told = {"known": known[:1], "unknown": unknown.returncode, "directory": directory(folder), "sink": sink(),
            "links": sorted(path.name for path in Path("/proc/sys/net/ipv4/conf").iterdir())}
    names.stop()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
