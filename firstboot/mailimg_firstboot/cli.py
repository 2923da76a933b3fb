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

from mailimg_firstboot import encoding, signatures, wayout
from mailimg_firstboot import report as reports
from mailimg_firstboot.errors import DocumentError, FirstbootError, LeavingError, SignalError
from mailimg_firstboot.host import Host
from mailimg_firstboot.report import FINAL, Report
from mailimg_firstboot.waiting import Clock

HELP = """\
Make this instance a serving node of the mail platform.

The agent reads /etc/mailimg/role.json (what the image is), takes the site document from the server's metadata (config
drive or metadata service), and brings the machine to that goal step by step. It runs on every boot as
mailimg-firstboot.service and may be run again at any time: what is right already is left alone.
"""

EPILOG = """\
exit status: 0 done; 1 the work failed, or there are differences; 2 a document is wrong; 130 interrupted

examples:
  mailimg-firstboot status --wait          wait until the node is ready or has failed
  mailimg-firstboot check                  what would the next run change?
  mailimg-firstboot analyze                where did the time of the last boot go?
  mailimg-firstboot leave                  out of the platform: pools, mail queue, directory
  mailimg-firstboot render                 the configuration as it must be, secrets masked
  mailimg-firstboot render --role-file role.json --site site.yaml --templates templates --output out
  journalctl -u mailimg-firstboot          every event, one JSON line each
"""

# What stands for an instance that is not there, when files are rendered from documents at hand.
SOME_INSTANCE = "00000000-0000-4000-8000-000000000000"

SIGNATURES = "virus signatures: {database} version {version}, built {built}, {age_days} days old"

# Seconds between looks at status.json, and for a metadata service that a person is waiting for.
LOOK = 0.5
SHORT_PATIENCE = 10.0


def main(argv: Optional[List[str]] = None) -> int:
    """Run one command; returns its exit status."""
    encoding.speak_utf8()
    arguments = _parser().parse_args(argv)
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

    _mind_signals()
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
    _mind_signals()
    with host.lock(reports.LOCK):
        wayout.leave(host, clock, _options(arguments), arguments.sessions, arguments.force)
    return 0


def watch(arguments: argparse.Namespace) -> int:
    """For a timer: leave when the server's metadata says so."""
    host, clock = Host(), Clock()
    _mind_signals()
    if wayout.is_asked(host, clock, _options(arguments).url):
        with host.lock(reports.LOCK):
            wayout.leave(host, clock, _options(arguments))
    return 0


def _mind_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupted)


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
    if arguments.json:
        _say(json.dumps(found and dict(found, signatures=seen), indent=1))
    else:
        _say(_state(found))
        for one in found["steps"] if found else []:
            _say("  {name:<10} {state:<8} {seconds:8.2f} s  {message}".format(**one))
        if seen:
            _say("warning: " + seen["warning"] if seen["warning"] else SIGNATURES.format(**seen))
    return 0 if found is not None and found["state"] == "ready" else 1


def check_signatures(arguments: argparse.Namespace) -> int:
    """Print how old the virus signatures are; nothing for a node without a scanner."""
    host = Host()
    found = reports.read_status(host)
    if not found or not found.get("signatures"):
        return 0
    seen = signatures.look(host, found["signatures"], Clock().epoch())
    if not seen["warning"]:
        _say(SIGNATURES.format(**seen))
        return 0
    # systemd reads <4> as a priority: warning. A unit that failed would say that the check itself does not work.
    _say("{}mailimg: {}".format("<4>" if arguments.journal else "", seen["warning"]))
    return 0 if arguments.journal else 1


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mailimg-firstboot", description=HELP, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    commands.required = True

    def command(
        run: Any, name: str, words: str, patience: Optional[float] = None, deadline: str = "--deadline",
    ) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        one.set_defaults(run=run)
        if patience is not None:
            one.add_argument("--role-file", type=_path, metavar="FILE", default="/etc/mailimg/role.json",
                             help="what the image is (default: %(default)s)")
            one.add_argument("--templates", type=_path, metavar="DIR", default="/usr/share/mailimg/templates",
                             help="the role's templates (default: %(default)s)")
            one.add_argument(deadline, type=float, metavar="SECONDS", default=patience, dest="deadline",
                             help="how long a silent metadata service is asked again (default: %(default)g)")
            one.add_argument("--metadata-url", metavar="URL", default="http://169.254.169.254/openstack/latest/",
                             help="the metadata service (default: %(default)s)")
        return one

    one = command(apply, "apply", "bring the machine to its goal and prove that it serves", 300.0)
    one.add_argument("--anyway", action="store_true", help="serve although the metadata says mailimg:state=drain")
    one = command(leave, "leave", "take the node out of the platform without losing mail", 60.0, "--metadata-deadline")
    one.add_argument("--deadline", type=float, metavar="SECONDS", dest="sessions",
                     help="how long sessions may take to end (default: leave.deadline of the site document)")
    one.add_argument("--force", action="store_true",
                     help="go on although mail is left that nobody takes, or a peer does not answer")
    one.add_argument("--shutdown", action="store_true", help="for the unit: only if the machine is being switched off")
    command(watch, "watch", "leave if the server's metadata says so; for the timer", SHORT_PATIENCE)
    command(check, "check", "print what `apply` would change; changes nothing", SHORT_PATIENCE)
    one = command(status, "status", "print how far the last run came; exit status 0 means ready")
    one.add_argument("--wait", action="store_true", help="wait until the node is ready or has failed")
    one.add_argument("--timeout", type=float, metavar="SECONDS", default=900.0,
                     help="give up waiting after this long (default: %(default)g)")
    one.add_argument("--json", action="store_true", help="print status.json, with the age of virus signatures")
    one = command(check_signatures, "signatures", "print how old the virus signatures are; exit status 1: too old")
    one.add_argument("--journal", action="store_true", help="for the timer: a warning for the journal, exit status 0")
    command(analyze, "analyze", "print where the time of the last run went")
    one = command(render, "render", "print the role's files as they must be, secrets masked", SHORT_PATIENCE)
    one.add_argument("--site", type=_path, metavar="FILE", help="a site document (default: the instance's)")
    one.add_argument("--hostname", metavar="NAME", help="host name of the node (default: the instance's, or ROLE-1)")
    one.add_argument("--instance", metavar="UUID", help="id of the instance")
    one.add_argument("--output", type=_path, metavar="DIR", help="write the files below DIR, with their secrets")
    return parser


def _options(arguments: argparse.Namespace) -> Any:
    from mailimg_firstboot.preparing import Options

    url = arguments.metadata_url if arguments.metadata_url.endswith("/") else arguments.metadata_url + "/"
    return Options(arguments.role_file, arguments.templates, arguments.deadline, url,
                   getattr(arguments, "anyway", False))


def _state(found: Any) -> str:
    if found is None:
        return "not started since this boot"
    return "{}: {}".format(found["state"], found["message"] or "no message")


def _interrupted(number: int, _frame: Any) -> None:
    # A second signal must not interrupt the stopping of services that the first one began.
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    raise SignalError("interrupted by {}".format(signal.Signals(number).name), "`mailimg-firstboot apply` begins anew.")


def _path(text: str) -> str:
    return str(Path.cwd() / text)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _complain(line: str) -> None:
    sys.stderr.write("mailimg-firstboot: {}\n".format(line))


def _hint(error: FirstbootError) -> int:
    if error.hint:
        _complain(error.hint)
    return error.exit_code
