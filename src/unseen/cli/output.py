"""Standard output: a table for people; JSON, JSON lines or CSV for programs.

Data is UTF-8 whatever the terminal speaks, and goes out a whole line at a time.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import typer

from unseen.prediction.facets import FacetPrediction
from unseen.prediction.prediction import Prediction
from unseen.results.prediction_text import TextStyle, facet_text, prediction_text
from unseen.results.records import Format, json_array
from unseen.results.result_file import unwritable as unwritable  # the commands' own outputs, too
from unseen.system.printable import named as named
from unseen.system.printable import printable as printable


class Lines:
    """Standard output as bytes, each piece handed to the system at once."""

    def write(self, text: str) -> None:
        # A file name need not be UTF-8; in JSON its odd bytes become escapes that read back.
        self.write_bytes(text.encode("utf-8", "backslashreplace"))

    def write_bytes(self, rest: bytes) -> None:
        stream = sys.stdout.buffer
        try:
            while rest:
                rest = rest[stream.write(rest) :]
            stream.flush()
        except BrokenPipeError:
            leave_quietly()
        except OSError as error:
            raise unwritable(None, error) from None


def write_json(facts: Any) -> None:
    """One JSON document on standard output."""
    Lines().write(json.dumps(facts, ensure_ascii=False, indent=1) + "\n")


def write_lines(lines: Iterable[str]) -> None:
    """Text for people, on standard output."""
    Lines().write("".join(f"{line}\n" for line in lines))


def write_paths(lines: Iterable[str]) -> None:
    """Lines with paths of `shown`, byte for byte."""
    Lines().write_bytes(b"".join(os.fsencode(line) + b"\n" for line in lines))


def write_paths0(paths: Iterable[str | Path]) -> None:
    """Paths for a program, as they are, each with a NUL behind it: no name holds one."""
    Lines().write_bytes(b"".join(os.fsencode(path) + b"\0" for path in paths))


def shown(path: str | Path) -> str:
    """A path as it is; on a terminal, which it could steer, with escapes."""
    return printable(str(path)) if sys.stdout.isatty() else str(path)


def forget_stdout() -> None:
    """What could not be written to standard output is not tried again when Python ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


def leave_quietly() -> None:
    """`| head` has seen enough: that is no failure."""
    forget_stdout()
    raise typer.Exit(0)


# formats


@dataclass
class TableWriter:
    """For people: of one picture every label with a bar, of several a line each.

    `coverage`: how often the right label is among the likely ones; of several label sets,
    `coverages` by their names.
    """

    stream: IO[str]
    single: bool
    coverage: float | None = None
    coverages: Mapping[str, float] = field(default_factory=dict)

    def write(self, prediction: Prediction | FacetPrediction) -> None:
        from rich.cells import cell_len  # noqa: PLC0415 - 10 ms, and only a table needs it

        encoding = getattr(self.stream, "encoding", None) or "ascii"
        # 猫 is two columns wide
        style = TextStyle(self.single, self.coverage, encoding, cell_len, self.coverages)
        try:
            for line in (
                prediction_text(prediction, style)
                if isinstance(prediction, Prediction)
                else facet_text(prediction, style)
            ):
                self.stream.write(line + "\n")
                self.stream.flush()
        except BrokenPipeError:
            leave_quietly()
        except OSError as error:
            raise unwritable(None, error) from None

    def close(self) -> None:
        return None


class RecordWriter:
    """JSON lines or CSV, on standard output."""

    def __init__(self, form: Format) -> None:
        self._form, self._lines = form, Lines()
        self._lines.write(form.header)

    def write(self, prediction: Prediction | FacetPrediction) -> None:
        self._lines.write(self._form.line(prediction))

    def close(self) -> None:
        return None


@dataclass
class JsonWriter:
    """One array on standard output, when everything is done."""

    records: list[dict[str, Any]] = field(default_factory=list)

    def write(self, prediction: Prediction | FacetPrediction) -> None:
        self.records.append(prediction.to_dict())

    def close(self) -> None:
        Lines().write(json_array(self.records))
