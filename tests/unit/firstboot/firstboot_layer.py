"""A machine whose role serves with the layer's certificate, and sources that say what a test wants."""

import copy
import json
from pathlib import Path
from typing import Any, Dict, List, Optional

from firstboot_certificates import CHAIN, LEAF
from firstboot_machine import ROLE, SITE, FakeClock, FakeHost, machine, seed, with_keys

from mailimg_firstboot import certificates, engine, preparing, secret, site
from mailimg_firstboot.certificates import Certificate
from mailimg_firstboot.report import Report, read_status
from mailimg_firstboot.secret import Secret
from mailimg_firstboot.tls import Tls

URL = "https://pki.example.org/layer.pem"
BY_URL = with_keys(SITE, tls={"url": URL, "names": ["mail.example.org"]})

CERTIFICATE = "/etc/postfix/certificate.pem"
KEY = "/etc/postfix/key.pem"

LAYER: Dict[str, Any] = with_keys(ROLE, site=[*ROLE["site"], "tls"], files=[
    *ROLE["files"],
    {"template": "certificate.pem.j2", "path": CERTIFICATE, "owner": "root", "group": "root", "mode": "0644",
     "service": "postfix"},
    {"template": "key.pem.j2", "path": KEY, "owner": "root", "group": "postfix", "mode": "0640", "service": "postfix",
     "secret": True},
])


class FakeTls(Tls):
    """A source that gives, or raises, one after the other; the last again and again."""

    def __init__(self, host: FakeHost) -> None:
        super().__init__(host.path, host.run)
        self.answers: List[Any] = [(LEAF.key + CHAIN).encode()]
        self.asked: List[Any] = []
        self.archives: List[Optional[Secret]] = []

    def give(self, *answers: Any) -> None:
        self.answers = list(answers)

    def download(self, url: str, ca: str, bundle: str) -> bytes:
        self.asked.append((url, ca, bundle))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return bytes(answer)

    def unpack(self, archive: bytes, password: Optional[Secret]) -> bytes:
        self.archives.append(password)
        return archive[1:]


class LayerHost:
    """The machine with its source, its clock and what was said."""

    def __init__(self, root: Path, document: Optional[Dict[str, Any]] = None) -> None:
        self.host = machine(root)
        self.host.path("/etc/mailimg/role.json").write_text(json.dumps(LAYER))
        for name in ("certificate", "key"):
            template = "/usr/share/mailimg/templates/{}.pem.j2".format(name)
            self.host.path(template).write_text("{{ site.tls." + name + " | pem }}")
        self.tls = FakeTls(self.host)
        self.host.tls = self.tls
        self.clock = FakeClock()
        self.document = copy.deepcopy(document or BY_URL)
        self.waits: List[str] = []

    def obtain(self, patience: float = 60.0) -> Certificate:
        """What a run goes on with."""
        role = preparing.read_role(self.host, preparing.Options())
        checked = secret.resolve(site.load(self.document, role), lambda _: b"").site
        found = certificates.obtain(self.host, self.clock, checked, role, patience, self.waits.append)
        assert found is not None
        return found

    def apply(self) -> None:
        """A whole run."""
        seed(self.host, self.document)
        engine.apply(self.host, self.clock, Report(self.host, self.clock), preparing.Options(patience=60.0))

    def status(self) -> Dict[str, Any]:
        """What status.json says of the certificate."""
        found = read_status(self.host)
        assert found is not None
        return dict(found["certificate"])
