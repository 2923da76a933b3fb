"""Runs with a real Python 3.6: joins a pool and leaves it, with a secret from Barbican; arguments come as JSON.

    oldest_member.py FIRSTBOOT < {"site": ..., "uuid": ..., "role": ...}
"""

import json
import os
import sys
import tempfile

sys.path.insert(0, sys.argv[1])

from mailimg_firstboot import engine, node, rolefile, secret, site, stepping
from mailimg_firstboot.errors import FirstbootError, TransientError
from mailimg_firstboot.host import Host
from mailimg_firstboot.report import Report
from mailimg_firstboot.steps import balancer
from mailimg_firstboot.waiting import Clock, keep_trying
from mailimg_firstboot.work import Work

given = json.load(sys.stdin)
role = rolefile.load(json.dumps(given["role"]).encode())
root = tempfile.mkdtemp()
for name, content in (("etc/passwd", "root:x:0:0::/:/bin/sh\n"), ("etc/group", "root:x:0:\n"),
                      ("proc/uptime", "1.0 1.0\n")):
    os.makedirs(os.path.join(root, os.path.dirname(name)), exist_ok=True)  # noqa: PTH103, PTH118, PTH120
    with open(os.path.join(root, name), "w") as stream:  # noqa: PTH118, PTH123
        stream.write(content)
host, clock = Host(root), Clock()


def work_for(document):
    """What a run would have decided."""
    def payload(full, reference):
        return host.cloud.secrets(full, role).payload(reference)

    full = secret.resolve(site.load(document, role), lambda _: b"", payload).site
    return Work(role, full, node.make("mail-1", given["uuid"], full, role), [])


def leave():
    """One attempt."""
    balancer.undo(host, work)
    left = balancer.left(host, work)
    if left:
        raise TransientError(left)


work = work_for(given["site"])
told = {"secret": work.site["masters"][0]["password"].reveal()}
stepping.run_step(engine.STEPS[-1], host, clock, Report(host, clock), work)
told["differs"] = balancer.check(host, work)
keep_trying(leave, clock, 30.0, lambda _: None)
told["left"] = balancer.check(host, work)
for what, changes in given["faults"].items():
    cloud = dict(given["site"]["cloud"], **changes)
    document = {key: value for key, value in dict(given["site"], cloud=cloud).items() if key != "masters"}
    try:
        balancer.check(host, work_for(document))
    except FirstbootError as error:
        told[what] = f"{type(error).__name__}: {error.message}"
sys.stdout.write("\n" + json.dumps(told) + "\n")
