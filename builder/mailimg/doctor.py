"""What this host must have, and the command that installs what it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mailimg import process
from mailimg.errors import StepError
from mailimg.verify.tools import BACKENDS, BROWSER, DISK, DISK_UEFI, DOMAIN_FILES, LAB


@dataclass(frozen=True)
class Tool:
    """A program (or a file, by its path), the Debian package that brings it, and the command that needs it."""

    program: str
    package: str
    purpose: str


BUILD_TOOLS = (
    Tool("bash", "bash", "build"),
    Tool("sudo", "sudo", "build"),
    Tool("unshare", "util-linux", "build"),
    Tool("setpriv", "util-linux", "build"),
    Tool("mmdebstrap", "mmdebstrap", "build"),
    Tool("apt-get", "apt", "build"),
    Tool("dpkg-query", "dpkg", "build"),
    Tool("/usr/lib/grub/i386-pc", "grub-pc-bin", "build"),
    Tool("/usr/lib/grub/x86_64-efi", "grub-efi-amd64-bin", "build"),
)
TEST_TOOLS = (
    Tool("shellcheck", "shellcheck", "test"),
    # `verify --firmware uefi` is an option; the tests take it.
    Tool("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf", "test"),
    # What a node of a domain has: the tests boot this host's own root directory as one.
    Tool("adcli", "adcli", "test"),
    Tool("kinit", "krb5-user", "test"),
    Tool("ldapsearch", "ldap-utils", "test"),
    Tool("sssd", "sssd-ad", "test"),
    Tool("/usr/lib/x86_64-linux-gnu/libnss_sss.so.2", "libnss-sss", "test"),
    Tool("/usr/lib/x86_64-linux-gnu/sasl2/libgssapiv2.so", "libsasl2-modules-gssapi-mit", "test"),
    Tool("/usr/lib/python3/dist-packages/jinja2", "python3-jinja2", "test"),
    Tool("/usr/lib/python3/dist-packages/jsonschema", "python3-jsonschema", "test"),
    Tool("/usr/lib/python3/dist-packages/yaml", "python3-yaml", "test"),
    Tool("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "libfaketime", "test"),
    Tool("systemd-nspawn", "systemd-container", "test"),
    Tool("dbus-daemon", "dbus", "test"),
    Tool("dig", "bind9-dnsutils", "test"),
    # The stand-in for CentOS 7: its packages, their keys, its base image.
    Tool("rpmbuild", "rpm", "test"),
    Tool("createrepo_c", "createrepo-c", "test"),
    Tool("gpg", "gpg", "test"),
    Tool("gpg-agent", "gpg-agent", "test"),
    Tool("mkfs.xfs", "xfsprogs", "test"),
)


# The one command that needs a browser.
WEBMAIL = "lab test --only webmail"

# Services that packages of the list start.
SERVICES = {
    "slapd": ("slapd.service",),
    "samba": ("smbd.service", "nmbd.service"),
    "winbind": ("winbind.service",),
    "haproxy": ("haproxy.service",),
}


def all_tools() -> tuple[Tool, ...]:
    """Every program that some command or the tests run."""
    disk = [Tool(program, package, "build") for table in (DISK, DISK_UEFI) for program, package in table.items()]
    verify = {
        program: Tool(program, package, "verify")
        for table in (*BACKENDS.values(), DOMAIN_FILES) for program, package in table.items()
    }
    lab = [Tool(program, package, "lab") for program, package in LAB.items()]
    browser = [Tool(program, package, WEBMAIL) for program, package in BROWSER.items()]
    return (*BUILD_TOOLS, *disk, *verify.values(), *lab, *browser, *TEST_TOOLS)


def absent(purpose: str | None = None) -> list[Tool]:
    """Programs that are not there, for one command or for all."""
    return [tool for tool in all_tools() if purpose in (None, tool.purpose) and not present(tool)]


def present(tool: Tool) -> bool:
    """Whether a program is on the PATH that builds run with, or a file is there."""
    return Path(tool.program).exists() if tool.program.startswith("/") else process.which(tool.program) is not None


def install(tools: list[Tool]) -> None:
    """Install the packages of missing programs, without what they merely recommend.

    Raises:
        StepError: apt failed.
    """
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    process.run(["apt-get", "update"], what="read the package lists", env=environment, timeout=600)
    packages = sorted({tool.package for tool in tools})
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    process.run(command, what="install packages", env=environment, timeout=1800)
    for package, units in SERVICES.items():
        if package in packages and Path("/run/systemd/system").is_dir():
            # Only the program is wanted, for throw-away directories; its service would listen on this host.
            process.run(["systemctl", "disable", "--now", *units], what=f"stop the packaged {package}", timeout=60)


def install_command(tools: list[Tool]) -> str:
    """The command that installs what is missing."""
    return f"apt-get install {' '.join(sorted({tool.package for tool in tools}))}"


def missing_tools(*purposes: str) -> None:
    """Stop before the work when a program is missing.

    Raises:
        StepError: names programs and the command that installs them.
    """
    tools = [tool for purpose in purposes for tool in absent(purpose)]
    if tools:
        names = ", ".join(tool.program for tool in tools)
        raise StepError(f"this host lacks {names}", f"Install with: {install_command(tools)}")
