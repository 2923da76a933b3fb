"""What is done on shared storage as its owner: looked at, tried, prepared. Run as a program of its own.

    python3 onstorage.py look|prepare PLACE UID GID NAME FOLDERS
    python3 onstorage.py trial|retire PLACE UID GID NAME
    python3 onstorage.py report PLACE UID GID NAME ADDRESS

A file system whose server is away keeps whoever touches it waiting, so the agent never does it itself: it starts this,
and ends it when it takes too long. One JSON object on standard output: what was found, or `errno` and `error`.

NAME is unique to this machine. FOLDERS is how many folders mailboxes are hashed into: 4096 are 000 to fff, which is
what Dovecot's `%3.4096N` gives; 0: none. ADDRESS is where this machine's siblings reach it; empty: it does not serve.
"""

import contextlib
import errno
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List

# The lease: who prepares holds it, by a file that link(2) made, which is atomic over NFS 3 and 4 alike; locks of flock
# or fcntl are not there on NFS 3 without lockd. Its age is told by the server's clock only.
LEASE = ".mailimg-preparing"

# Seconds after which a lease that was not renewed is void: its holder renews it after each `BATCH` folders.
VOID_AFTER = 60.0
BATCH = 64

# Mode of the hashed folders: nobody but the owner, as Dovecot makes them.
FOLDER_MODE = 0o700

# Who serves the mailboxes: a file for each server, with its address in it, as old as its last report.
ROSTER = ".mailimg-servers"

# Seconds after which the file of a server that never said goodbye is removed.
FORGOTTEN = 86400.0


def names(folders: int) -> List[str]:
    """The hashed folders."""
    width = len("{:x}".format(folders - 1)) if folders else 0
    return ["{:0{}x}".format(number, width) for number in range(folders)]


def look(place: Path, folders: int) -> Dict[str, Any]:
    """Whose the root is, whether it can be written to, and how many hashed folders are not there; changes nothing."""
    state, space = place.stat(), os.statvfs(str(place))
    # The root of somebody else may not even be listed; what is wrong then is the owner.
    mine = state.st_uid == os.geteuid()
    there = {one.name for one in place.iterdir()} if folders and mine else set()
    return {"uid": state.st_uid, "gid": state.st_gid, "read_only": bool(space.f_flag & os.ST_RDONLY),
            "missing": sum(name not in there for name in names(folders))}


def trial(place: Path, name: str) -> Dict[str, Any]:
    """Write a file through to the server, and delete it."""
    path = place / (".mailimg-trial-" + name)
    handle = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, name.encode("ascii"))
        os.fsync(handle)
    finally:
        os.close(handle)
        path.unlink()
    return {}


def prepare(place: Path, folders: int, name: str) -> Dict[str, Any]:
    """Make the hashed folders that are missing, unless another server is at it: {"made": n} or {"busy": its name}.

    Correct without the lease too, because mkdir(2) is atomic and a folder that is there is as good as one that was
    made. The lease spares a server 4096 calls from each client when many start at the same moment.
    """
    lease = place / LEASE
    holder = take(lease, name)
    if holder != name:
        return {"busy": holder}
    made = 0
    try:
        there = {one.name for one in place.iterdir()}
        for number, folder in enumerate(one for one in names(folders) if one not in there):
            if number % BATCH == 0:
                # Without times: those of the server.
                os.utime(str(lease))
            with contextlib.suppress(FileExistsError):
                (place / folder).mkdir(FOLDER_MODE)
                made += 1
    finally:
        # Whoever took it over, because this process slept too long, removes it himself.
        with contextlib.suppress(FileNotFoundError):
            if read(lease) == name:
                lease.unlink()
    return {"made": made}


def take(lease: Path, name: str) -> str:
    """Take the lease if nobody holds it, or if its holder has not renewed it for long; who holds it now.

    One that this machine left when it was cut off is its own again at once.
    """
    mine = lease.with_name("{}.{}".format(lease.name, name))
    void = mine.with_name(mine.name + ".void")
    handle = os.open(str(mine), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, name.encode("ascii"))
        os.fsync(handle)
        os.utime(str(mine))
        now = asked(mine).st_mtime
        for _ in range(3):
            # An answer may be lost and the call done all the same: the number of links tells what happened.
            with contextlib.suppress(FileExistsError):
                os.link(str(mine), str(lease))
            if asked(mine).st_nlink == 2:
                return name
            try:
                holder, renewed = read(lease), asked(lease).st_mtime
            except FileNotFoundError:
                continue
            if holder == name:
                return name
            # In the future: the server's clock was set back. It need not catch up before the lease is void.
            if -VOID_AFTER < now - renewed < VOID_AFTER:
                return holder
            # Only one of several can rename it; the others find it gone, or a new one.
            with contextlib.suppress(FileNotFoundError):
                lease.rename(void)
                void.unlink()
        return "several servers"
    finally:
        os.close(handle)
        mine.unlink()


def report(place: Path, name: str, address: str) -> Dict[str, Any]:
    """Say that this server is there, and who else is: {"servers": {name: [address, seconds since its report]}}.

    Seconds are those of the storage server's clock. Renaming the file into its place makes this client ask for the
    folder's content anew, which it might otherwise remember for a minute.
    """
    roster = place / ROSTER
    with contextlib.suppress(FileExistsError):
        roster.mkdir(FOLDER_MODE)
    fresh = roster / ("." + name)
    with fresh.open("wb") as stream:
        stream.write(address.encode("ascii"))
        stream.flush()
        os.fsync(stream.fileno())
    os.utime(str(fresh))
    fresh.rename(roster / name)
    now = asked(roster / name).st_mtime
    found = {}
    for path in sorted(roster.iterdir()):
        # Another may be removed, or replaced by a new one, at any moment; what is no file, or another's, is no server.
        with contextlib.suppress(FileNotFoundError, IsADirectoryError, PermissionError):
            age = now - asked(path).st_mtime
            if age > FORGOTTEN:
                path.unlink()
            elif not path.name.startswith("."):
                found[path.name] = [read(path), age]
    return {"servers": found}


def retire(place: Path, name: str) -> Dict[str, Any]:
    """Say that this server is no longer there."""
    with contextlib.suppress(FileNotFoundError):
        (place / ROSTER / name).unlink()
    return {}


def read(path: Path) -> str:
    """Content of a small file."""
    with path.open("rb") as stream:
        return stream.read(100).decode("ascii", "replace")


def asked(path: Path) -> os.stat_result:
    """State of a file as the server has it: opening asks, whatever this client remembers."""
    with path.open("rb") as stream:
        return os.fstat(stream.fileno())


def main(argv: List[str]) -> int:
    """Do it as the owner; 0 when an answer was given, whatever it says."""
    verb, root, uid, gid, name, *more = argv[1:]
    place = Path(root)
    told: Dict[str, Any]
    try:
        os.setgroups([])
        os.setresgid(int(gid), int(gid), int(gid))
        os.setresuid(int(uid), int(uid), int(uid))
        if verb == "look":
            told = look(place, int(more[0]))
        elif verb == "trial":
            told = trial(place, name)
        elif verb == "report":
            told = report(place, name, more[0])
        elif verb == "retire":
            told = retire(place, name)
        else:
            told = prepare(place, int(more[0]), name)
    except OSError as error:
        told = {"errno": errno.errorcode.get(error.errno or 0, ""), "error": error.strerror or str(error)}
    sys.stdout.write(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
