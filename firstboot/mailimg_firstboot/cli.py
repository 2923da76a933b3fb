"""The command `mailimg-firstboot`. Only `main` prints errors and decides the exit status.

What is imported before `Report` has said `starting` must not need random numbers: in a virtual machine without a source
of entropy the kernel may have none for minutes after boot, and whoever asks for them waits, in silence. Importing
`random` asks, and so do tempfile, jinja2, jsonschema, urllib.request, http.client, smtplib and uuid, which import it.
(That Python 3.6 asks without waiting, as strace shows, is no promise.) So these are imported late, inside the functions
that need them, and tests/lab/test_firstboot_start.py watches over it.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, List, Optional

from mailimg_firstboot import encoding, expiry, signatures, usage, wayout
from mailimg_firstboot import report as reports
from mailimg_firstboot.errors import DocumentError, FirstbootError, LeavingError, SignalError
from mailimg_firstboot.host import Host
from mailimg_firstboot.report import FINAL, Report
from mailimg_firstboot.waiting import Clock

# What stands for an instance that is not there, when files are rendered from documents at hand.
SOME_INSTANCE = "00000000-0000-4000-8000-000000000000"

# Seconds between looks at status.json.
LOOK = 0.5


def main(argv: Optional[List[str]] = None) -> int:
    """Run one command; returns its exit status."""
    encoding.speak_utf8()
    arguments = usage.parser(RUNS).parse_args(argv)
    os.umask(0o022)
    try:
        return int(arguments.run(arguments))
    except DocumentError as error:
        for problem in error.problems:
            _complain(problem)
        return _hint(error)
    except FirstbootError as error:
        _complain(error.message)
        return _hint(error)
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130


def apply(arguments: argparse.Namespace) -> int:
    """Bring the machine to its goal; out of the platform, if that is the goal."""
    from mailimg_firstboot import engine

    _on_signals(_interrupted)
    host, clock = Host(), Clock()
    with host.lock(reports.LOCK):
        try:
            engine.apply(host, clock, Report(host, clock), _options(arguments))
        except LeavingError:
            wayout.leave(host, clock, _options(arguments))
    return 0


def leave(arguments: argparse.Namespace) -> int:
    """Take the node out of the platform."""
    host, clock = Host(), Clock()
    if arguments.shutdown and not wayout.is_shutdown(host.systemd.jobs()):
        return 0
    _on_signals(_interrupted)
    with host.lock(reports.LOCK):
        wayout.leave(host, clock, _options(arguments), arguments.sessions, arguments.force)
    return 0


def watch(arguments: argparse.Namespace) -> int:
    """For a timer: leave when the server's metadata or Heat says so."""
    _on_signals(_interrupted)
    wayout.watch(Host(), Clock(), _options(arguments), _complain)
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Print what a run would change."""
    from mailimg_firstboot import engine, preparing

    host, clock, options = Host(), Clock(), _options(arguments)
    work = preparing.prepare(host, clock, preparing.read_role(host, options), options, _complain, _complain, _complain)
    found = engine.differences(host, work)
    for name, words in found:
        for part in words.split("; "):
            _say("{}: {}".format(name, part))
    if not found:
        _say("no differences")
    return 1 if found else 0


def status(arguments: argparse.Namespace) -> int:
    """Print status.json, at once or when the run has ended."""
    host, clock = Host(), Clock()
    deadline = clock.now() + arguments.timeout
    found = reports.read_status(host)
    while arguments.wait and (found is None or found["state"] not in FINAL):
        if clock.now() >= deadline:
            raise FirstbootError("not ready after {:g} s: {}".format(arguments.timeout, _state(found)),
                                 "See `journalctl -u mailimg-firstboot`.")
        clock.sleep(LOOK)
        found = reports.read_status(host)
    seen = signatures.look(host, found["signatures"], clock.epoch()) if found and found.get("signatures") else None
    certificate = expiry.look(found.get("certificate") if found else None, clock.epoch())
    if arguments.json:
        _say(json.dumps(found and dict(found, signatures=seen, certificate=certificate), indent=1))
    else:
        _say(_state(found))
        for one in found["steps"] if found else []:
            _say("  {name:<10} {state:<8} {seconds:8.2f} s  {message}".format(**one))
        told = ["warning: " + seen["warning"] if seen["warning"] else signatures.SEEN.format(**seen)] if seen else []
        for line in expiry.lines(certificate) + told:
            _say(line)
    return 0 if found is not None and found["state"] == "ready" else 1


def check_signatures(arguments: argparse.Namespace) -> int:
    """Print how old the virus signatures are; nothing for a node without a scanner."""
    host = Host()
    found = reports.read_status(host)
    if not found or not found.get("signatures"):
        return 0
    seen = signatures.look(host, found["signatures"], Clock().epoch())
    if not seen["warning"]:
        _say(signatures.SEEN.format(**seen))
        return 0
    # systemd reads <4> as a priority: warning. A unit that failed would say that the check itself does not work.
    _say("{}mailimg: {}".format("<4>" if arguments.journal else "", seen["warning"]))
    return 0 if arguments.journal else 1


def renew(arguments: argparse.Namespace) -> int:
    """Fetch the certificate again; hand a new one to the daemons."""
    from mailimg_firstboot import renewal

    _on_signals(_interrupted)
    with Host().lock(reports.LOCK):
        renewal.renew(Host(), Clock(), _options(arguments), _say)
    return 0


def siblings(arguments: argparse.Namespace) -> int:
    """Report to the servers that share the storage; print what that led to."""
    from mailimg_firstboot import assignment, rolefile, roster

    host = Host()
    content = host.read(arguments.role_file)
    if content is None:
        raise DocumentError(["{}: missing".format(arguments.role_file)])
    me = roster.read(host)
    if me is None or not me.address:
        if not arguments.quiet:
            _say("this server shares its users with no other, or does not serve yet")
        return 0
    done = assignment.refresh(host, rolefile.trusted(content), me)
    if not done.servers and not arguments.quiet:
        _say("no other server has reported in the last {:g} s; if one did just before, its users stay its own until "
             "the next look".format(roster.VOID_AFTER))
    if done.changed or not arguments.quiet:
        for name, (address, slots) in sorted(done.servers.items()):
            _say("{} {}: {} of {} slots{}".format(address, name, slots, assignment.SLOTS,
                                                  " (this server)" if name == me.name else ""))
    if done.passed_on:
        _say("sessions ended, of users who are another server's now: {}".format(len(done.passed_on)))
    return 0


def metrics(arguments: argparse.Namespace) -> int:
    """Print or write what this node tells Prometheus."""
    from mailimg_firstboot import rolefile
    from mailimg_firstboot.metrics import collecting

    host = Host()
    content = host.read(arguments.role_file)
    if content is None:
        raise DocumentError(["{}: missing".format(arguments.role_file)])
    text = collecting.collect(host, Clock(), rolefile.trusted(content), _complain)
    if arguments.output:
        host.write(arguments.output, text.encode("utf-8"))
    else:
        sys.stdout.write(text)
    return 0


def analyze(_arguments: argparse.Namespace) -> int:
    """Print where the time of the last run went."""
    from mailimg_firstboot import analysis

    events = reports.read_events(Host())
    if not events or events[0]["event"] != "begin":
        raise FirstbootError("there is no record of a run since this boot", "Start one: `mailimg-firstboot apply`.")
    for line in analysis.lines(events):
        _say(line)
    return 0


def render(arguments: argparse.Namespace) -> int:
    """Print or write the files of the role."""
    from mailimg_firstboot import offline, preparing, site, sources

    host, options = Host(), _options(arguments)
    role = preparing.read_role(host, options)
    hostname, instance = arguments.hostname or role.role + "-1", arguments.instance or SOME_INSTANCE
    if arguments.site:
        content = host.read(arguments.site)
        if content is None:
            raise DocumentError(["{}: missing".format(arguments.site)])
        document = site.parse(content, arguments.site)
    else:
        found = sources.find(host, Clock(), options.patience, _complain, _complain, options.url)
        document = found.document
        hostname, instance = arguments.hostname or found.hostname, arguments.instance or found.instance
    files = offline.render(role, document, hostname, instance, options.templates, masked=not arguments.output)
    if arguments.output:
        offline.write(files, arguments.output)
        _say("{} files written below {}".format(len(files), arguments.output))
    else:
        sys.stdout.write(offline.shown(files))
    return 0


def validate(arguments: argparse.Namespace) -> int:
    """Check a site document for instances of a role."""
    from mailimg_firstboot import preparing, validation

    host = Host()
    role = preparing.read_role(host, preparing.Options(arguments.role_file, arguments.templates))
    content = host.read(arguments.file)
    if content is None:
        raise DocumentError(["{}: missing".format(arguments.file)])
    found = validation.validate(role, content, Path(arguments.file).name, arguments.templates)
    if arguments.json:
        _say(json.dumps(found.document(), indent=1))
        return DocumentError.exit_code if found.problems else 0
    for one in found.warnings:
        _complain("warning: " + one)
    if found.problems:
        raise DocumentError(found.problems, found.hint)
    _say("right for {} on {}".format(role.role, role.distro))
    return 0


def _options(arguments: argparse.Namespace) -> Any:
    from mailimg_firstboot.preparing import Options

    url = arguments.metadata_url if arguments.metadata_url.endswith("/") else arguments.metadata_url + "/"
    return Options(arguments.role_file, arguments.templates, arguments.deadline, url,
                   anyway=getattr(arguments, "anyway", False))


def _state(found: Any) -> str:
    if found is None:
        return "not started since this boot"
    return "{}: {}".format(found["state"], found["message"] or "no message")


def _on_signals(what: Any) -> None:
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, what)


def _interrupted(number: int, _frame: Any) -> None:
    # A second signal must not interrupt the stopping of services that the first one began.
    _on_signals(signal.SIG_IGN)
    raise SignalError("interrupted by {}".format(signal.Signals(number).name), "`mailimg-firstboot apply` begins anew.")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _complain(line: str) -> None:
    sys.stderr.write("mailimg-firstboot: {}\n".format(line))


def _hint(error: FirstbootError) -> int:
    if error.hint:
        _complain(error.hint)
    return error.exit_code


RUNS = {
    "apply": apply, "leave": leave, "watch": watch, "check": check, "status": status, "signatures": check_signatures,
    "renew": renew, "siblings": siblings, "metrics": metrics, "analyze": analyze, "render": render,
    "validate": validate,
}
