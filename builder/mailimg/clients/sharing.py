"""Two users, of whom one shares a folder with the other by IMAP."""

from __future__ import annotations

import ssl

from mailimg.clients import letters, mailbox
from mailimg.peers import addresses as at
from mailimg.peers.directory import User

FOLDER = "Project"


def tried(tls: ssl.SSLContext, password: str, owner: User, other: User, host: str = at.NODE4) -> tuple[str, str]:
    """Share a folder with a message in it and look at it as the other one, who must see that folder and no more.

    Args:
        password: of both.
        host: the server's name or address.

    Returns:
        The folder's name for the other one, and what was wrong ("": nothing).
    """
    name = f"shared/{owner.login}/{FOLDER}"
    with mailbox.imap(tls, owner.login, password, host) as client:
        client.create(FOLDER)
        sent = letters.clean(owner.mail)
        client.append(FOLDER, "", "", sent.content)
        if client.setacl(FOLDER, other.login, "lrs")[0] != "OK":
            return name, "SETACL was refused"
    with mailbox.imap(tls, other.login, password, host) as client:
        told = [parsed for line in client.list("shared/", "*")[1] if isinstance(line, bytes)
                for parsed in mailbox.parse_folder(line)[:1]]
        if name not in told or any(one.startswith(f"shared/{owner.login}/") and one != name for one in told):
            return name, f"{other.login} sees {told}"
        if not mailbox.find(client, name, sent.message_id):
            return name, f"{other.login} does not find the message in {name}"
        if client.select(f'"shared/{owner.login}/Junk"', readonly=True)[0] == "OK":
            return name, f"{other.login} opens a folder that was not shared"
    return name, ""
