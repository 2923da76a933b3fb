"""What goes into a verification and what comes out of it; plain values that survive JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class RoleView:
    """What a verification needs to know of a role.

    Args:
        name: the role.
        listeners: every TCP port that may listen on the node, loopback included.
        scenarios: names of the modules in `mailimg.verify.scenarios`, in order.
        login: the account that cloud-init gives the SSH key to.
    """

    name: str
    listeners: tuple[int, ...]
    scenarios: tuple[str, ...]
    login: str = "debian"


@dataclass(frozen=True)
class Request:
    """One verification, as it is handed into its namespaces.

    Args:
        backend: `qemu` or `nspawn`.
        subject: path of the image or of the root tree.
        firmware: `bios` or `uefi`; only QEMU asks.
        accel: `auto`, `kvm` or `tcg`; only QEMU asks.
        memory_mib: memory of the guest in MiB; only QEMU asks.
        timeout: seconds until the agent must have said ready or FAILED.
        peers: where first states of peers are kept between verifications.
        cloud: `mailimg.verify.cloud.Cloud` as a dictionary, if there is one.
    """

    role: RoleView
    backend: str
    subject: str
    scratch: str
    firmware: str = "bios"
    accel: str = "auto"
    memory_mib: int = 2048
    timeout: float = 600.0
    peers: str = ""
    cloud: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Request:
        """The inverse of `to_dict`."""
        role = dict(data["role"])
        view = RoleView(role["name"], tuple(role["listeners"]), tuple(role["scenarios"]), role["login"])
        return cls(role=view, **{key: value for key, value in data.items() if key != "role"})


@dataclass(frozen=True)
class CheckResult:
    """What one check found; `seconds` is how long it took, `detail` one or a few lines for a person."""

    name: str
    ok: bool
    seconds: float
    detail: str


@dataclass(frozen=True)
class VerifyResult:
    """What a verification found.

    Args:
        backend: `qemu/tcg/bios`, `nspawn`, ...
        phases: seconds from the start until each phase of the boot was reached.
        checks: in the order in which they ran.
        agent: the agent's own status document, or None if it could not be read.
        console: last lines of the console; kept only when something failed.
        figures: seconds that the agent took: `timing.measured`, `unchanged` (a second run), `leave`, `metrics` and
            `metrics_cpu` (one collection, and its processor time).
    """

    role: str
    backend: str
    phases: Mapping[str, float]
    checks: tuple[CheckResult, ...]
    agent: Mapping[str, Any] | None = None
    console: tuple[str, ...] = field(default=())
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Everything was proved; a verification without checks proves nothing."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """For the manifest: `verify`."""
        return {
            "ok": self.ok,
            "role": self.role,
            "backend": self.backend,
            "phases": {name: round(seconds, 1) for name, seconds in self.phases.items()},
            "checks": [{**asdict(check), "seconds": round(check.seconds, 1)} for check in self.checks],
            "agent": self.agent,
            "console": list(self.console),
            "figures": dict(self.figures),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VerifyResult:
        """The inverse of `to_dict`."""
        checks = tuple(CheckResult(**check) for check in data["checks"])
        return cls(data["role"], data["backend"], data["phases"], checks, data["agent"], tuple(data["console"]),
                   # Manifests of earlier versions have none.
                   data.get("figures", {}))
