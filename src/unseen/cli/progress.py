"""Talk on standard error: the progress bar, warnings, one-line errors."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from unseen.cli.interruption import interruption
from unseen.cli.output import named, printable
from unseen.errors import LabelWarning, UnseenWarning
from unseen.sources.expand import left_out
from unseen.sources.formats import counted

if TYPE_CHECKING:
    from unseen.encoder import Encoded
    from unseen.results.summary import RunSummary
    from unseen.types import Floats, Sources


class Bars(Protocol):
    """What shows how far something is: `rich.progress.Progress`, or nothing."""

    def add_task(self, description: str, *, total: float | None = None, **fields: Any) -> Any:
        """One more bar → what `update` calls it."""

    def update(self, task_id: Any, **changes: Any) -> None:
        """Change a bar."""


class _NoBars:
    """Nobody looks."""

    def add_task(self, description: str, *, total: float | None = None, **fields: Any) -> int:
        return 0

    def update(self, task_id: Any, **changes: Any) -> None:
        return None


class Counter:
    """What a run has done so far; `picture` counts one more."""

    def __init__(self, progress: Bars, total: int | None) -> None:
        self.done = 0
        self.failed = 0
        self.summary: RunSummary | None = None
        self._named = 0
        self._total = total
        self._progress = progress
        self._task = progress.add_task("pictures", total=total, errors="")

    def picture(self, ok: bool) -> None:
        self.done += 1
        interruption.count(self.done)
        self.failed += not ok
        errors = f"{self.failed} failed" if self.failed else ""
        self._progress.update(self._task, advance=1, errors=errors)

    def show(self, summary: RunSummary) -> None:
        """What a function of the library reports; failures without a row are named."""
        self.summary = summary
        self.done, self.failed = summary.pictures, summary.errors
        interruption.count(self.done)
        total = None if self._total is None else max(self._total - summary.earlier, 0)
        errors = f"{self.failed} failed" if self.failed else ""
        self._progress.update(
            self._task, completed=self.done, total=total, errors=errors, visible=total != 0
        )
        for name, error in summary.failures[self._named :]:
            say(named(name, error))
        self._named = len(summary.failures)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Ctrl-C ends the block, once a run has begun; its summary then says what is done."""
        try:
            yield
        except KeyboardInterrupt:
            if self.summary is None:
                raise

    def finished(self) -> RunSummary:
        """What the run came to."""
        assert self.summary is not None
        return self.summary

    def readable(self, stream: Iterable[Encoded]) -> Iterator[tuple[str, Floats]]:
        """Names and embeddings, counted; what could not be read is said, and left out."""
        for encoded in stream:
            self.picture(encoded.error is None)
            if encoded.embedding is None:
                say(named(encoded.name, str(encoded.error)))
            else:
                yield encoded.name, encoded.embedding


@contextmanager
def _bars(kind: str, disable: bool) -> Iterator[Bars]:
    """Bars of a kind of `cli/bars.py`; none when disabled, or off a terminal."""
    if disable or not sys.stderr.isatty():
        yield _NoBars()
        return
    from unseen.cli import bars  # noqa: PLC0415 - as it says

    with bars.KINDS[kind]() as shown:
        yield shown


@contextmanager
def counting(total: int | None, quiet: bool) -> Iterator[Counter]:
    """A bar with rate and time left; none when quiet, off a terminal, or for one picture."""
    with _bars("counted", quiet or total == 1) as progress:
        yield Counter(progress, total)


def prompts(quiet: bool = False) -> AbstractContextManager[Callable[[int, int], None]]:
    """What `Classifier.compile` reports to; the bar appears when there is something to encode."""
    return _late("prompts", quiet)


def pictures(quiet: bool = False) -> AbstractContextManager[Callable[[int, int], None]]:
    """What `Index.update` reports to; the bar appears when there is something to look at."""
    return _late("pictures", quiet)


@contextmanager
def _late(what: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    with _bars("counted", quiet) as progress:
        task: list[Any] = []

        def show(done: int, total: int) -> None:
            if not task:
                task.append(progress.add_task(what, total=total, errors=""))
            if what == "pictures":
                interruption.count(done)
            progress.update(task[0], completed=done)

        yield show


@contextmanager
def stages(quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """What functions with several stages report to; each has a bar of its own, when it begins."""
    with _bars("counted", quiet) as progress:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total, errors="")
            if stage == "pictures":
                interruption.count(done)
            progress.update(tasks[stage], completed=done, total=total)

        yield show


@contextmanager
def videos(quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """What takes videos reports to: the video, and the milliseconds of it that are done."""
    with _bars("played", quiet) as bars:
        tasks: dict[str, Any] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                for task in tasks.values():
                    bars.update(task, visible=False)
                tasks[name] = bars.add_task(printable(Path(name).name), total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield show


@contextmanager
def line(quiet: bool) -> Iterator[Callable[[str], None]]:
    """A line that is written over as work goes on; none when quiet or off a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(Text(text))


@contextmanager
def working(what: str, quiet: bool) -> Iterator[None]:
    """A sign of life for work whose end nobody can tell; none when quiet or off a terminal."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415 - as above

    with Console(stderr=True).status(what):
        yield


def end(summary: RunSummary, state: str, *, closing: bool = False) -> None:
    """The closing lines of a run, and its exit status: 130 when stopped, 1 when pictures failed.

    `state`: what is done and kept, of a run that was stopped. `closing`: say what all came to.
    """
    if closing:
        say(str(summary))
    if not summary.complete:
        say(f"stopped: {state}.")
        interruption.explained = True
    if summary.errors:
        say(f"{summary.errors} of {summary.pictures} pictures could not be read.")
    if not summary.complete or summary.errors:
        raise typer.Exit(1 if summary.complete else 130)


def say_left_out(sources: Sources, quiet: bool) -> dict[str, int]:
    """The files of folders that are no pictures to be read, said in a line unless quiet."""
    kinds = left_out(sources)
    if kinds and not quiet:
        say(f"left out: {counted(kinds)}.")
    return kinds


def say(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write(message + "\n")


def show_slow_steps() -> None:
    """What takes seconds and happens once, a line each, on a terminal."""
    if sys.stderr.isatty():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s …"))
        logging.getLogger("unseen").addHandler(handler)
        logging.getLogger("unseen").setLevel(logging.INFO)


def show_warnings_plainly() -> None:
    """Our warnings as one line each, without the file and line that a program would want."""
    usual = warnings.showwarning

    def show(message, category, *rest, **options):  # type: ignore[no-untyped-def]
        if issubclass(category, UnseenWarning):
            say(f"warning: {message}")
        else:
            usual(message, category, *rest, **options)

    warnings.showwarning = show
    warnings.simplefilter("always", UnseenWarning)


def hide_label_warnings() -> None:
    """Labels are as they are: with --quiet nobody asks whether they were meant."""
    warnings.simplefilter("ignore", LabelWarning)
