"""Postfix as a folder: parameters in a file, messages as files; every change passes the fuse of the machine."""

import json
from typing import Any, Dict, List

from mailimg_firstboot.postfix import Message, Postfix

PARAMETERS = "/var/lib/fake-postfix.json"
SPOOL = "/var/spool/postfix/"


class FakePostfix(Postfix):
    """A mail system that delivers everything, at once, where `works` says so: "flush", "handover" or nowhere."""

    def __init__(self, host: Any) -> None:
        super().__init__(host.path, host.run)
        self.host = host
        self.works = "flush"

    def parameters(self) -> Dict[str, str]:
        return dict(json.loads((self.host.read(PARAMETERS) or b"{}").decode()))

    def setting(self, config: str, name: str) -> str:
        return self.parameters().get(name, SPOOL.rstrip("/") if name == "queue_directory" else "")

    def set(self, config: str, settings: Dict[str, str]) -> None:
        self.host.write(PARAMETERS, json.dumps(dict(self.parameters(), **settings), sort_keys=True).encode())
        main = self.host.read(config + "/main.cf") or b""
        self.host.write(config + "/main.cf", main + json.dumps(settings, sort_keys=True).encode() + b"\n")

    def listeners(self, config: str) -> List[str]:
        return ["smtp", "587"]

    def put(self, *messages: Message) -> None:
        """Mail in the queue."""
        for one in messages:
            path = self.host.path(SPOOL + one.queue + "/" + one.id)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("mail")

    def flush(self, config: str) -> None:
        closed = "smtp.inet" in self.parameters().get("master_service_disable", "")
        assert closed, "mail is still taken while the queue is emptied"
        handing = "soft_bounce" in self.parameters()
        if self.works == "flush" or (self.works == "handover" and handing):
            for one in self.queue(config):
                if one.queue != "hold":
                    self.host.remove(SPOOL + one.queue + "/" + one.id)

    def release(self, config: str) -> None:
        for one in self.queue(config):
            if one.queue == "hold":
                self.host.fuse.before("release " + one.id)
                self.put(Message(one.id, "deferred"))
                self.host.path(SPOOL + "hold/" + one.id).unlink()
                self.host.fuse.after("release " + one.id)

    def requeue(self, config: str) -> None:
        raise AssertionError("there is no filter")
