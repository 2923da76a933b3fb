"""The words of the command `mailimg-firstboot`, and its help."""

import argparse
from pathlib import Path
from typing import Callable, Dict, Optional

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
  mailimg-firstboot metrics                queues, daemons, storage, certificate in figures
  mailimg-firstboot siblings               which servers share the mailboxes, and the work on them?
  mailimg-firstboot leave                  out of the platform: pools, mail queue, directory
  mailimg-firstboot render                 the configuration as it must be, secrets masked
  mailimg-firstboot render --role-file role.json --site site.yaml --templates templates --output out
  journalctl -u mailimg-firstboot          every event, one JSON line each
"""

METRICS = "print what monitoring wants to know of this node, as Prometheus text"
METRICS_HELP = """\
Print what an operator asks of this node at night, in Prometheus' text format: which daemons answer, mail queues and
their oldest message, the filter's workers and quarantine, signatures, sessions, storage, the certificate's end, the
agent's state. What does not answer is `mailimg_up{check="..."} 0`; it takes 8 seconds at most, and changes nothing.

mailimg-metrics.timer has it written to /var/lib/prometheus/node-exporter/mailimg.prom every half minute, where
node_exporter's textfile collector finds it.

  mailimg-firstboot metrics | grep -v '^#'
  mailimg-firstboot metrics | grep mailimg_up
"""

SIBLINGS = "report to the servers that share this one's storage, and print who works for how many users"
SIBLINGS_HELP = """\
Each user's mail is worked on by one of the servers that share a storage. This reports to the others that this server
is there, if its daemons answer, reads who else has reported in the last 45 seconds, and writes for Dovecot whose each
user is; sessions of users who are another's now are ended, so that they log in there. mailimg-siblings.timer does it
every 15 seconds. A server that serves alone, or a role without shared storage, passes nothing on.

  mailimg-firstboot siblings
  doveadm auth lookup -x service=imap -x lport=143 USER     whose is USER? no `proxy`: this server's
"""

# Seconds for a metadata service that a person is waiting for.
SHORT_PATIENCE = 10.0


def parser(runs: Dict[str, Callable[[argparse.Namespace], int]]) -> argparse.ArgumentParser:
    """The command's words.

    Args:
        runs: what carries out each command, by its name.
    """
    made = argparse.ArgumentParser(prog="mailimg-firstboot", description=HELP, epilog=EPILOG,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = made.add_subparsers(metavar="COMMAND", dest="command")
    commands.required = True

    def image(one: argparse.ArgumentParser) -> None:
        one.add_argument("--role-file", type=_path, metavar="FILE", default="/etc/mailimg/role.json",
                         help="what the image is (default: %(default)s)")
        one.add_argument("--templates", type=_path, metavar="DIR", default="/usr/share/mailimg/templates",
                         help="the role's templates (default: %(default)s)")

    def command(
        name: str, words: str, patience: Optional[float] = None, deadline: str = "--deadline",
    ) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        one.set_defaults(run=runs[name])
        if patience is not None:
            image(one)
            one.add_argument(deadline, type=float, metavar="SECONDS", default=patience, dest="deadline",
                             help="how long a silent metadata service is asked again (default: %(default)g)")
            one.add_argument("--metadata-url", metavar="URL", default="http://169.254.169.254/openstack/latest/",
                             help="the metadata service (default: %(default)s)")
        return one

    one = command("apply", "bring the machine to its goal and prove that it serves", 300.0)
    one.add_argument("--anyway", action="store_true", help="serve although the metadata says mailimg:state=drain")
    one = command("leave", "take the node out of the platform without losing mail", 60.0, "--metadata-deadline")
    one.add_argument("--deadline", type=float, metavar="SECONDS", dest="sessions",
                     help="how long sessions may take to end (default: leave.deadline of the site document)")
    one.add_argument("--force", action="store_true",
                     help="go on although mail is left that nobody takes, or a peer does not answer")
    one.add_argument("--shutdown", action="store_true", help="for the unit: only if the machine is being switched off")
    command("watch", "leave if the server's metadata or Heat says so; for the timer", SHORT_PATIENCE)
    command("check", "print what `apply` would change; changes nothing", SHORT_PATIENCE)
    one = command("status", "print how far the last run came; exit status 0 means ready")
    one.add_argument("--wait", action="store_true", help="wait until the node is ready or has failed")
    one.add_argument("--timeout", type=float, metavar="SECONDS", default=900.0,
                     help="give up waiting after this long (default: %(default)g)")
    one.add_argument("--json", action="store_true", help="print status.json, with the age of virus signatures")
    one = command("signatures", "print how old the virus signatures are; exit status 1: too old")
    one.add_argument("--journal", action="store_true", help="for the timer: a warning for the journal, exit status 0")
    command("renew", "fetch the certificate again; hand a new one to the daemons that use it", 300.0)
    one = command("siblings", SIBLINGS)
    one.add_argument("--role-file", type=_path, metavar="FILE", default="/etc/mailimg/role.json",
                     help="what the image is (default: %(default)s)")
    one.add_argument("--quiet", action="store_true", help="for the timer: print changes only")
    one.description = SIBLINGS_HELP
    one.formatter_class = argparse.RawDescriptionHelpFormatter
    one = command("metrics", METRICS)
    one.add_argument("--role-file", type=_path, metavar="FILE", default="/etc/mailimg/role.json",
                     help="what the image is (default: %(default)s)")
    one.add_argument("--output", type=_path, metavar="FILE",
                     help="replace FILE, readable for everybody, as a whole (default: standard output)")
    one.description = METRICS_HELP
    one.formatter_class = argparse.RawDescriptionHelpFormatter
    command("analyze", "print where the time of the last run went")
    one = command("render", "print the role's files as they must be, secrets masked", SHORT_PATIENCE)
    one.add_argument("--site", type=_path, metavar="FILE", help="a site document (default: the instance's)")
    one.add_argument("--hostname", metavar="NAME", help="host name of the node (default: the instance's, or ROLE-1)")
    one.add_argument("--instance", metavar="UUID", help="id of the instance")
    one.add_argument("--output", type=_path, metavar="DIR", help="write the files below DIR, with their secrets")
    one = command("validate", "check a site document, or user data that holds one, without its secrets")
    image(one)
    one.add_argument("file", type=_path, metavar="FILE", help="YAML, or user data (MIME, gzip)")
    one.add_argument("--json", action="store_true", help="print what was found as JSON")
    return made


def _path(text: str) -> str:
    return str(Path.cwd() / text)
