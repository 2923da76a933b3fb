"""The command `mailimg`: the outermost frame, the only one that prints errors and exits."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import click
from rich.console import Console
from rich.markup import escape

from mailimg.commands.build import build
from mailimg.commands.clean import clean
from mailimg.commands.diff import diff
from mailimg.commands.doctor import doctor
from mailimg.commands.images import list_images, promote, retire
from mailimg.commands.lab import lab
from mailimg.commands.listing import list_all
from mailimg.commands.plan import plan
from mailimg.commands.reap import reap
from mailimg.commands.report import report as report_command
from mailimg.commands.scalein import roll, scale_in
from mailimg.commands.site import site
from mailimg.commands.stack import stack
from mailimg.commands.trace import trace
from mailimg.commands.upload import upload
from mailimg.commands.verify import verify
from mailimg.commands.why import why
from mailimg.errors import InputError, MailimgError, StepError

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="mailimg")
def group() -> None:
    """Turn the roles of a mail platform into images that a private cloud can boot.

    \b
    A first image:
      mailimg doctor                                       what this machine lacks
      mailimg build --role smtp-in --distro debian-12      images/out/smtp-in-debian-12.qcow2
      mailimg verify images/out/smtp-in-debian-12.qcow2    boot it and send mail through it
      mailimg upload images/out/smtp-in-debian-12.qcow2    into a cloud of clouds.yaml

    Exit status: 0 done, 1 the work failed, 2 your input is wrong, 130 interrupted.
    """


for command in (build, plan, why, list_all, verify, lab, trace, diff, report_command, upload, list_images, promote,
                retire, stack, scale_in, reap, site, doctor, clean):
    group.add_command(command)
stack.add_command(roll)


def main() -> None:
    """Entry point of the console script."""
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        group.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.exceptions.Abort) as error:
        # A second Ctrl-C while the interpreter ends would kill it by the signal and change the exit status.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # click makes an Abort of Ctrl-C; what the command had to say of it is in its cause.
        left = str(error) or str(error.__cause__ or "") or "nothing half-done is left behind"
        console.print(f"[red]interrupted[/red]; {escape(left)}", highlight=False, soft_wrap=True)
        sys.exit(INTERRUPTED)
    except MailimgError as error:
        report(console, error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone; say nothing, as every filter does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def report(console: Console, error: MailimgError) -> None:
    """What went wrong, the last lines of what failed, what to do next."""
    if isinstance(error, StepError) and error.tail:
        for line in error.tail:
            console.print(f"  [dim]{escape(line)}[/dim]", highlight=False, soft_wrap=True)
    lines = error.problems if isinstance(error, InputError) else (error.message,)
    for line in lines:
        console.print(f"[red]error:[/red] {escape(line)}", highlight=False, soft_wrap=True)
    if error.hint:
        console.print(escape(error.hint), highlight=False, soft_wrap=True)


def interrupt(number: int, frame: FrameType | None) -> None:
    """A request to end is treated like Ctrl-C: programs are ended, work folders removed."""
    raise KeyboardInterrupt
