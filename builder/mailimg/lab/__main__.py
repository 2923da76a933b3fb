"""The first process of a lab: says who it is, starts the supervisor, and takes in the orphans until it ends.

    python -m mailimg.lab REQUEST PROC      PROC: file descriptor of the host's /proc

When this process ends, the kernel ends all others of its process namespace, and their network and mounts go with them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from mailimg import process
from mailimg.lab.state import State


def main(argv: list[str]) -> int:
    """Run the supervisor; its exit status."""
    request, proc = json.loads(Path(argv[1]).read_text()), int(argv[2])
    state = State(request["name"], Path(request["root"]))
    # As the host numbers them: here this is process 1.
    own = int(os.readlink("self", dir_fd=proc))
    parent = _parent(own, proc)
    state.write({"supervisor": {"pid": own, "started": process.start_time(own, proc), "parent": parent,
                                "parent_started": process.start_time(parent, proc)},
                 "phase": "starting"})
    os.close(proc)
    env = {"PYTHONPATH": str(Path(__file__).parents[2])}
    supervisor = process.start([sys.executable, "-m", "mailimg.lab.supervisor", argv[1]], what="start the supervisor",
                               env=env, stdout=sys.stdout.fileno(), stderr=process.STDOUT)

    def forward(number: int, frame: FrameType | None) -> None:
        supervisor.send_signal(number)

    # The first process of a process namespace is sent no signal that it has no handler for.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    while True:
        pid, status = os.wait()
        if pid == supervisor.pid:
            return os.waitstatus_to_exitcode(status) & 0xFF


def _parent(pid: int, proc: int) -> int:
    handle = os.open(f"{pid}/stat", os.O_RDONLY, dir_fd=proc)
    with os.fdopen(handle) as file:
        return int(file.read().rpartition(")")[2].split()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv))
