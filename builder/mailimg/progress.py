"""What a person sees while long work runs: on a terminal a live line a task, elsewhere one line a phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Task(Protocol):
    """One piece of work in view."""

    def update(self, text: str) -> None:
        """Say what is being done now."""


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


class LiveTask:
    """A line with a spinner and the elapsed time."""

    def __init__(self, live: Progress, title: str) -> None:
        self.live = live
        self.id: TaskID = live.add_task("", total=None, title=title)

    def update(self, text: str) -> None:
        self.live.update(self.id, description=text)

    def end(self, text: str) -> None:
        self.live.update(self.id, description=text, total=1, completed=1)


class PlainTask:
    """Lines for logs: elapsed seconds, title, phase; a phase that repeats is not said again."""

    def __init__(self, console: Console, title: str) -> None:
        self.console = console
        self.title = title
        self.begun = time.monotonic()
        self.last = ""

    def update(self, text: str) -> None:
        phase = text.split(":")[0]
        if phase != self.last:
            self.last = phase
            self.say(text)

    def end(self, text: str) -> None:
        self.say(text)

    def say(self, text: str) -> None:
        elapsed = f"{time.monotonic() - self.begun:7.1f}s"
        self.console.print(f"{elapsed}  {self.title}: {text}", highlight=False, soft_wrap=True)
