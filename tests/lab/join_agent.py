"""Runs inside a node: the agent's own engine, with what a test must choose.

    join_agent.py apply [--patience SECONDS] [--kill NUMBER] [--ahead SECONDS]
                                           a run; with --kill, SIGKILL to itself after that program; with --ahead on a
                                           clock that is wrong by so much until it is set after 3 s
    join_agent.py leave [--kill NUMBER]    undo the step `join`
    join_agent.py check                    what a run would change

The last line of standard output is JSON: exit status, message, hint, seconds, programs that were run.
"""

import argparse
import json
import os
import signal
import sys
import time

sys.path.insert(0, "/usr/lib/mailimg")

from mailimg_firstboot import engine, preparing
from mailimg_firstboot.errors import FirstbootError
from mailimg_firstboot.host import Host
from mailimg_firstboot.report import Report
from mailimg_firstboot.steps import join
from mailimg_firstboot.waiting import Clock


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["apply", "leave", "check"])
    parser.add_argument("--patience", type=float, default=300.0)
    parser.add_argument("--kill", type=int, default=0)
    parser.add_argument("--ahead", type=float, default=0.0)
    arguments = parser.parse_args()
    if arguments.ahead:
        # libfaketime confuses the waits of a program whose time it changes under way.
        right, start = time.time, time.monotonic()
        time.time = lambda: right() + (arguments.ahead if time.monotonic() - start < 3 else 0.0)

    programs = []
    run = Host.run

    def counted(self, argv, *rest, **named):
        done = run(self, argv, *rest, **named)
        programs.append(" ".join(argv[:2]))
        if len(programs) == arguments.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    Host.run = counted
    host, clock, options = Host(), Clock(), preparing.Options()
    begun = time.perf_counter()
    told = {"status": 0, "message": "", "hint": "", "found": []}
    try:
        if arguments.command == "apply":
            steps = tuple(step._replace(patience=min(step.patience, arguments.patience)) for step in engine.STEPS)
            engine.apply(host, clock, Report(host, clock), options, steps)
        else:
            work = preparing.prepare(host, clock, preparing.read_role(host, options), options, str, str, str)
            if arguments.command == "leave":
                join.undo(host, work)
            else:
                told["found"] = engine.differences(host, work)
    except FirstbootError as error:
        told.update(status=error.exit_code, message=error.message, hint=error.hint)
    told.update(seconds=round(time.perf_counter() - begun, 3), programs=programs)
    sys.stdout.write("\n" + json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
