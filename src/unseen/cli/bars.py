"""The bars of a terminal: 0.06 s to import, and needed where somebody looks."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

RATE_SECONDS = 1.0  # of work, before a rate says anything


class RateColumn(ProgressColumn):
    """Pictures a second."""

    def render(self, task: Task) -> Text:
        # On the whole: pictures come a batch at a time, and the speed of one is thousands a second.
        seconds = task.elapsed or 0.0
        return Text(f"{task.completed / seconds:.1f}/s" if seconds >= RATE_SECONDS else "")


class SpeedColumn(ProgressColumn):
    """How many times as fast as it plays a video is looked at; its steps are milliseconds."""

    def render(self, task: Task) -> Text:
        seconds = task.elapsed or 0.0
        speed = task.completed / 1000 / seconds if seconds >= RATE_SECONDS else 0.0
        return Text(f"{speed:.1f}x" if speed else "")


def counted() -> Progress:
    """Of so many of so many, with the rate and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[errors]}"),
        console=Console(stderr=True),
        transient=True,
    )


def played() -> Progress:
    """Of the milliseconds of a video."""
    return Progress(
        TextColumn("{task.description}", markup=False),  # the name of a file
        BarColumn(),
        SpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


KINDS = {"counted": counted, "played": played}
