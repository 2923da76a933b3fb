"""The command `mailimg-firstboot watch` in a folder as its machine, by any Python; and a session that holds it up.

    leaver.py FIRSTBOOT ROOT
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve()
FIRSTBOOT = HERE.parents[2] / "firstboot"
NOWHERE = "http://127.0.0.1:9/openstack/latest/"
PATIENCE = 60.0

# A client on port 25 in the kernel's table of connections.
SESSION = "  sl  local_address rem_address   st\n   0: 0100000A:0019 0200000A:D431 01\n"


@contextlib.contextmanager
def begun(python, root):
    """The process; what it says goes into the file `said`. It ends with the block."""
    with (root / "said").open("w") as said, subprocess.Popen(
        [python, str(HERE), str(FIRSTBOOT), str(root)], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
        env={"PATH": os.defpath, "LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1"},
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def busy(root):
    """A session begins."""
    table = root / "proc/net/tcp"
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(SESSION)


def idle(root):
    """It ends."""
    (root / "proc/net/tcp").unlink()


def until(root, step):
    """Wait until the process that was begun last has come to a step."""
    deadline = time.monotonic() + PATIENCE
    while f'"name": "{step}"' not in (root / "said").read_text():
        assert time.monotonic() < deadline, (root / "said").read_text()[-2000:]
        time.sleep(0.1)


def main():
    """Run the command."""
    sys.path.insert(0, sys.argv[1])
    from mailimg_firstboot import cli
    from mailimg_firstboot.host import Host

    cli.Host = lambda: Host(sys.argv[2])
    return cli.main(["watch", "--metadata-url", NOWHERE])


if __name__ == "__main__":
    sys.exit(main())
