"""Predictions → a table, JSON, JSON lines or CSV, on standard output or in a file.

Data is UTF-8 whatever the terminal speaks, and goes out a whole line at a time, so that what a
killed run leaves can be gone on with.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import typer
from rich.cells import cell_len

from unseen.errors import SourceError
from unseen.prediction.prediction import Prediction
from unseen.results.manifest import harmless
from unseen.system.cache import write_atomically
from unseen.system.printable import named as named
from unseen.system.printable import printable as printable

if TYPE_CHECKING:
    from unseen.types import Scalar

BAR_WIDTH = 24
EIGHTHS = " ▏▎▍▌▋▊▉"


class Lines:
    """Text, each piece handed to the system at once: to the end of a file, or standard output."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        try:
            self._file = sys.stdout.buffer if path is None else path.open("ab", buffering=0)
        except OSError as error:
            raise unwritable(path, error) from None

    def write(self, text: str) -> None:
        # A file name need not be UTF-8; in JSON its odd bytes become escapes that read back.
        left = text.encode("utf-8", "backslashreplace")
        try:
            while left:
                left = left[self._file.write(left) :]
            self._file.flush()
        except BrokenPipeError:
            leave_quietly()
        except OSError as error:
            raise unwritable(self.path, error) from None

    def close(self) -> None:
        """A file is closed; standard output is not ours."""
        if self.path is not None:
            self._file.close()


def unwritable(path: Path | None, error: OSError) -> SourceError:
    """The error of an output, in words."""
    name = "standard output" if path is None else path
    return SourceError(f"{name}: it cannot be written: {error.strerror or error}.")


def forget_stdout() -> None:
    """What could not be written to standard output is not tried again when Python ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


def leave_quietly() -> None:
    """`| head` has seen enough: that is no failure."""
    forget_stdout()
    raise typer.Exit(0)


class Writer(Protocol):
    """Takes predictions one at a time."""

    def write(self, prediction: Prediction) -> None: ...

    def close(self) -> None: ...


# formats


@dataclass
class TableWriter:
    """For people: of one picture every label with a bar, of several a line each.

    `coverage`: how often the right label is among the likely ones.
    """

    stream: IO[str]
    single: bool
    coverage: float | None = None

    def write(self, prediction: Prediction) -> None:
        name = printable(prediction.source)
        if not prediction.ok:
            self._line(f"error: {named(prediction.source, str(prediction.error))}")
        elif self.single:
            self._line(name)
            labels = [printable(s.label) for s in prediction.ranking]
            width = max(map(cell_len, labels), default=0)  # 猫 is two columns wide
            for label, s in zip(labels, prediction.ranking, strict=True):
                pad = " " * (width - cell_len(label))
                self._line(f"  {label}{pad}  {self._bar(s.score)} {s.score:6.1%}")
            if not prediction.ranking:
                self._line("  unknown: no label reached its score")
            if prediction.rejected:
                self._line(f"  unknown: too little evidence ({prediction.evidence:.1f})")
            if prediction.likely is not None:
                self._line(f"  {self._likely(prediction.likely)}")
        else:
            said = [f"{printable(s.label)} {s.score:.1%}" for s in prediction.ranking[:3]]
            if prediction.rejected:
                said = [f"unknown (evidence {prediction.evidence:.1f})", *said[:1]]
            if prediction.likely is not None:
                said.append(self._likely(prediction.likely))
            self._line(f"{name}  {', '.join(said) or 'unknown'}")

    def _line(self, text: str) -> None:
        try:
            self.stream.write(text + "\n")
            self.stream.flush()
        except BrokenPipeError:
            leave_quietly()
        except OSError as error:
            raise unwritable(None, error) from None

    def _likely(self, labels: Sequence[str]) -> str:
        return f"with {self.coverage:.0%} coverage: {', '.join(map(printable, labels))}"

    def _bar(self, score: float) -> str:
        eighths = round(score * BAR_WIDTH * 8)
        whole, rest = divmod(eighths, 8)
        bar = "█" * whole + (EIGHTHS[rest] if rest else "")
        encoding = getattr(self.stream, "encoding", None) or "ascii"
        try:
            bar.encode(encoding)
        except UnicodeEncodeError:
            bar = "#" * round(score * BAR_WIDTH)
        return f"{bar:<{BAR_WIDTH}}"

    def close(self) -> None:
        return None


@dataclass
class JsonLinesWriter:
    """A JSON object a line."""

    lines: Lines

    def write(self, prediction: Prediction) -> None:
        self.lines.write(json.dumps(prediction.to_dict(), ensure_ascii=False) + "\n")

    def close(self) -> None:
        self.lines.close()


@dataclass
class CsvWriter:
    """source, label, score, unknown, error; then label_2, score_2 … up to `top`; then `more`.

    That is likely (with `;` between its labels) and evidence, where they were asked for. At the end
    `fields`: the metadata that the readers of the sources declare.
    """

    lines: Lines
    top: int
    fresh: bool = True
    more: Sequence[str] = ()
    fields: Sequence[str] = ()

    def __post_init__(self) -> None:
        more = [f"{part}_{i}" for i in range(2, self.top + 1) for part in ("label", "score")]
        if self.fresh:
            self._row(
                ["source", "label", "score", "unknown", "error", *more, *self.more, *self.fields]
            )

    def write(self, prediction: Prediction) -> None:
        best = prediction.best
        score = "" if best is None else f"{best.score:.6f}"
        row = [
            csv_name(prediction.source),
            harmless(prediction.label or ""),
            score,
            str(prediction.unknown).lower(),
            harmless(prediction.error or ""),
        ]
        for i in range(1, self.top):
            one = prediction.ranking[i] if i < len(prediction.ranking) else None
            row += ["", ""] if one is None else [harmless(one.label), f"{one.score:.6f}"]
        evidence = prediction.evidence
        last = {
            "likely": harmless(";".join(prediction.likely or ())),
            "evidence": "" if evidence is None else f"{evidence:.4f}",
        }
        meta = [_cell(prediction.meta.get(name)) for name in self.fields]
        self._row([*row, *(last[name] for name in self.more), *meta])

    def _row(self, cells: list[str]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        self.lines.write(line.getvalue())

    def close(self) -> None:
        self.lines.close()


def _cell(value: Scalar) -> str:
    """A value of the metadata as text: a string as it is, anything else as in JSON."""
    if isinstance(value, str):
        return csv_name(value)
    return "" if value is None else json.dumps(value)


def csv_name(source: str) -> str:
    """A source as its cell holds it."""
    return harmless(source.encode("utf-8", "backslashreplace").decode("utf-8"))


@dataclass
class JsonWriter:
    """One array, when everything is done."""

    path: Path | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)

    def write(self, prediction: Prediction) -> None:
        self.rows.append(prediction.to_dict())

    def close(self) -> None:
        text = json.dumps(self.rows, ensure_ascii=False, indent=1) + "\n"
        if self.path is None:
            Lines().write(text)
            return
        try:
            write_atomically(self.path, text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise unwritable(self.path, error) from None
