"""What a person sees while long work runs: on a terminal a live line a task, elsewhere one line a phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from rich.columns import Columns
from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Task as RichTask
from rich.progress_bar import ProgressBar
from rich.text import Text

MIB = 1024**2
# How many tenths of the way a log gets a line for.
TENTHS = 3


class Task(Protocol):
    """One piece of work in view."""

    def update(self, text: str) -> None:
        """Say what is being done now."""

    def amount(self, done: int, total: int) -> None:
        """Say how many bytes of how many are done."""


class Display:
    """Shows tasks on standard error; use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live: Progress | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live = Progress(
                SpinnerColumn(),
                TextColumn("[bold]{task.fields[title]}"),
                TextColumn("{task.description}"),
                Amount(),
                TimeElapsedColumn(),
                console=self.console,
            )
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None

    @contextmanager
    def task(self, title: str) -> Iterator[Task]:
        """One task from start to end; an exception marks it as failed."""
        task = LiveTask(self.live, title) if self.live is not None else PlainTask(self.console, title)
        try:
            yield task
        except BaseException:
            task.end("[red]failed[/red]")
            raise
        task.end("[green]done[/green]")

    def note(self, text: str) -> None:
        """A line of its own that stays."""
        self.console.print(text, highlight=False, soft_wrap=True)


class Amount(ProgressColumn):
    """A bar with how much, how fast, how long it will take; nothing for a task without an amount."""

    # Seconds: the text of an estimate should be readable.
    max_refresh = 0.25

    def render(self, task: RichTask) -> RenderableType:
        if not task.fields.get("amount") or not task.total or task.finished:
            return Text("")
        pace = f"{task.speed / MIB:.0f} MiB/s" if task.speed else ""
        left = f", {task.time_remaining:.0f} s to go" if task.time_remaining is not None else ""
        words = Text(f"{task.completed / MIB:.0f} of {task.total / MIB:.0f} MiB  {pace}{left}")
        return Columns([ProgressBar(task.total, task.completed, width=24), words])


class LiveTask:
    """A line with a spinner and the elapsed time."""

    def __init__(self, live: Progress, title: str) -> None:
        self.live = live
        self.id: TaskID = live.add_task("", total=None, title=title)

    def update(self, text: str) -> None:
        self.live.update(self.id, description=text, amount=False)

    def amount(self, done: int, total: int) -> None:
        self.live.update(self.id, completed=done, total=total, amount=True)

    def end(self, text: str) -> None:
        self.live.update(self.id, description=text, total=1, completed=1, amount=False)


class PlainTask:
    """Lines for logs: elapsed seconds, title, phase; a phase that repeats is not said again."""

    def __init__(self, console: Console, title: str) -> None:
        self.console = console
        self.title = title
        self.begun = time.monotonic()
        self.last = ""
        self.tenth = 0

    def update(self, text: str) -> None:
        phase = text.split(":")[0]
        if phase != self.last:
            self.last = phase
            self.say(text)

    def amount(self, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 0
        # A line each quarter of the way or so; the end is said by what comes next.
        if tenth < self.tenth:
            self.tenth = 0
        if tenth - self.tenth >= TENTHS and tenth < 10:
            self.tenth = tenth
            self.say(f"{done / MIB:.0f} of {total / MIB:.0f} MiB")

    def end(self, text: str) -> None:
        self.say(text)

    def say(self, text: str) -> None:
        elapsed = f"{time.monotonic() - self.begun:7.1f}s"
        self.console.print(f"{elapsed}  {self.title}: {text}", highlight=False, soft_wrap=True)
