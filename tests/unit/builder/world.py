"""A small installation for unit tests: one distribution, three elements, two roles that share a layer."""

from __future__ import annotations

from pathlib import Path

from mailimg.apt import AptSources, Archive
from mailimg.resources import Resources

DISTRO = """\
schema: 1
distro: small-1
summary: a small distribution
os: {distro: small, version: "1"}
element: distro-small-1
packages: {manager: apt, suites: [one, one-updates], component: main}
disk: {table: gpt, firmware: [bios], features: "^orphan_file", grub: /boot/grub}
kernel: {cmdline: console=ttyS0, image: /vmlinuz, initrd: /initrd.img}
python: /usr/bin/python3
login: small
listeners: [22]
daemons:
  postal: {unit: postal.service, config: /etc/postal, socket: /run/postal.sock}
"""

MX = """\
schema: 1
role: mx
summary: takes mail
layers:
  - {name: base, elements: [common]}
  - {name: mx, elements: [postal]}
site: [domains]
parameters:
  workers: {type: integer, minimum: 1, maximum: 128, default: 16, description: how many}
services: [postal]
files:
  - {template: main.cf.j2, path: "{{ postal.config }}/main.cf", service: postal}
ports:
  - {name: smtp, port: 25, peers: internet}
listeners: [25]
health:
  - {check: smtp, port: 25, name: smtp}
  - {check: unix, path: "{{ postal.socket }}", name: postal}
verify: [mx]
"""

OUT = """\
schema: 1
role: out
summary: sends mail
layers:
  - {name: base, elements: [common]}
site: []
services: []
files: []
ports: []
listeners: []
health: []
verify: []
"""

SOURCES = AptSources((Archive("http://mirror.example.org/small", "one", "main"),), ('Acquire::Retries "3";',))
VERSIONS = {"mmdebstrap": "mmdebstrap 1", "mke2fs": "mke2fs 1", "qemu-img": "qemu-img 1", "grub-mkimage": "grub 1"}


def make_world(root: Path) -> Resources:
    """Lay the installation out below `root`."""
    texts = {
        "elements/distro-small-1/distro.yaml": DISTRO,
        "elements/distro-small-1/element-provides": "operating-system\n",
        "elements/distro-small-1/README.rst": "A distribution.\n",
        "elements/distro-small-1/root.d/10-distro-small-1": "#!/bin/bash\n",
        "elements/common/install.d/50-common": "#!/bin/bash\n",
        "elements/postal/element-deps": "common\n",
        "elements/postal/install.d/50-postal": "#!/bin/bash\n",
        "elements/mailimg-agent/install.d/60-mailimg-agent": "#!/bin/bash\n",
        "elements/mailimg-role/install.d/60-mailimg-role": "#!/bin/bash\n",
        "roles/mx/role.yaml": MX,
        "roles/mx/templates/main.cf.j2": "myhostname = {{ node.fqdn }}\n",
        "roles/out/role.yaml": OUT,
        "roles/out/templates/empty.j2": "",
        "images/mx.yaml": "{schema: 1, role: mx, disk_gib: 8, min_ram_mib: 2048}\n",
        "images/out.yaml": "{schema: 1, role: out, disk_gib: 4, min_ram_mib: 1024}\n",
        "firstboot/mailimg_firstboot/cli.py": "pass\n",
    }
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    return Resources(*(root / name for name in ("elements", "roles", "images", "firstboot")))


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that must be there."""
    text = path.read_text()
    assert old in text, f"{path}: no {old!r}"
    path.write_text(text.replace(old, new))
