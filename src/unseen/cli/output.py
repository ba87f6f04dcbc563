"""Predictions → a table, JSON, JSON lines or CSV, on standard output or in a file.

JSON lines and CSV are written a whole line at a time, so what a killed run leaves can be gone on
with: beside such a file lies NAME.run.json, which says what made it.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from unseen.cache import write_atomically
from unseen.errors import SourceError
from unseen.predictions import Prediction

BAR_WIDTH = 24
EIGHTHS = " ▏▎▍▌▋▊▉"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


class Writer(Protocol):
    """Takes predictions one at a time."""

    def write(self, prediction: Prediction) -> None: ...

    def close(self) -> None: ...


def printable(text: str) -> str:
    """A name that cannot steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def named(source: str, error: str) -> str:
    """An error that says which picture it is of, once."""
    return printable(error if source in error else f"{source}: {error}")


# formats


@dataclass
class TableWriter:
    """For people: of one picture every label with a bar, of several a line each."""

    stream: IO[str]
    single: bool

    def write(self, prediction: Prediction) -> None:
        name = printable(prediction.source)
        if not prediction.ok:
            self._line(f"error: {named(prediction.source, str(prediction.error))}")
        elif self.single:
            self._line(name)
            width = max((len(printable(s.label)) for s in prediction.ranking), default=0)
            for s in prediction.ranking:
                self._line(f"  {printable(s.label):<{width}}  {self._bar(s.score)} {s.score:6.1%}")
            if not prediction.ranking:
                self._line("  unknown: no label reached its score")
        else:
            said = [f"{printable(s.label)} {s.score:.1%}" for s in prediction.ranking[:3]]
            self._line(f"{name}  {', '.join(said) or 'unknown'}")

    def _line(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()

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

    stream: IO[str]

    def write(self, prediction: Prediction) -> None:
        self.stream.write(json.dumps(prediction.to_dict(), ensure_ascii=False) + "\n")
        self.stream.flush()

    def close(self) -> None:
        return None


@dataclass
class CsvWriter:
    """source, label, score, unknown, error; then label_2, score_2 … up to `top`."""

    stream: IO[str]
    top: int
    fresh: bool = True

    def __post_init__(self) -> None:
        more = [f"{part}_{i}" for i in range(2, self.top + 1) for part in ("label", "score")]
        if self.fresh:
            self._row(["source", "label", "score", "unknown", "error", *more])

    def write(self, prediction: Prediction) -> None:
        best = prediction.best
        score = "" if best is None else f"{best.score:.6f}"
        row = [
            harmless(prediction.source),
            harmless(prediction.label or ""),
            score,
            str(prediction.unknown).lower(),
            harmless(prediction.error or ""),
        ]
        for i in range(1, self.top):
            one = prediction.ranking[i] if i < len(prediction.ranking) else None
            row += ["", ""] if one is None else [harmless(one.label), f"{one.score:.6f}"]
        self._row(row)

    def _row(self, cells: list[str]) -> None:
        line = io.StringIO()  # written at once: a killed process leaves at most one half line
        csv.writer(line, lineterminator="\n").writerow(cells)
        self.stream.write(line.getvalue())
        self.stream.flush()

    def close(self) -> None:
        return None


def harmless(cell: str) -> str:
    """A cell that a spreadsheet reads as text: `=HYPERLINK(…)` gets an apostrophe before it."""
    return f"'{cell}" if cell.lstrip(" ").startswith(FORMULA_STARTS) else cell


@dataclass
class JsonWriter:
    """One array, when everything is done."""

    stream: IO[str] | None
    path: Path | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)

    def write(self, prediction: Prediction) -> None:
        self.rows.append(prediction.to_dict())

    def close(self) -> None:
        text = json.dumps(self.rows, ensure_ascii=False, indent=1) + "\n"
        if self.path is not None:
            write_atomically(self.path, text.encode())
        elif self.stream is not None:
            self.stream.write(text)


# files


@dataclass(frozen=True)
class Target:
    """Where predictions go: a format, and a file or standard output."""

    format: str
    path: Path | None

    @classmethod
    def of(cls, *, as_json: bool, jsonl: bool, csv: Path | None, output: Path | None) -> Target:
        """From the options; SourceError when they contradict one another."""
        given = [
            *([cls("json", None)] if as_json else []),
            *([cls("jsonl", None)] if jsonl else []),
            *([cls("csv", None if str(csv) == "-" else csv)] if csv else []),
        ]
        if len(given) > 1:
            raise SourceError("give one of --json, --jsonl and --csv.")
        if output is None:
            return given[0] if given else cls("table", None)
        kind = given[0].format if given else output.suffix.lower().removeprefix(".")
        if kind not in ("json", "jsonl", "csv"):
            raise SourceError(f"{output}: predictions are written as .json, .jsonl or .csv.")
        return cls(kind, output)

    @property
    def manifest(self) -> Path | None:
        return self.path and self.path.with_name(self.path.name + ".run.json")

    def finished(self, made_by: dict[str, Any], *, resume: bool, overwrite: bool) -> set[str]:
        """The sources that an earlier run finished; makes the file ready to be gone on with.

        SourceError when the file is there and neither `resume` nor `overwrite` was asked for, or
        when another model, other labels or other options made it.
        """
        if resume and (self.path is None or self.format == "json"):
            raise SourceError("--resume needs a file: -o out.jsonl, -o out.csv or --csv out.csv.")
        if self.path is None or self.manifest is None:
            return set()
        done: set[str] = set()
        if self.path.exists() and not overwrite:
            if not resume:
                raise SourceError(f"{self.path} is there already: --resume or --overwrite?")
            self._check(self.manifest, made_by)
            done = self._read_done()
        elif self.path.exists() and self.format != "json":
            self.path.unlink()
        if self.format != "json":
            _write(self.manifest, json.dumps(made_by, ensure_ascii=False, indent=1).encode())
        return done

    def _check(self, manifest: Path, made_by: dict[str, Any]) -> None:
        try:
            before: dict[str, Any] = json.loads(manifest.read_text("utf-8"))
        except (OSError, ValueError):
            raise SourceError(
                f"{manifest} is missing or damaged, so nobody knows what made {self.path}; "
                "use --overwrite."
            ) from None
        for key, value in made_by.items():
            if before.get(key) != value:
                raise SourceError(
                    f"{self.path} was made with another {key}; use --overwrite, or another file."
                )

    def _read_done(self) -> set[str]:
        """Sources of the whole lines; a half line at the end is cut off and done again."""
        if self.path is None:
            return set()
        text = self.path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        while self.format == "csv" and whole.count(b'"') % 2:  # a line break inside a cell
            whole = whole[: whole[:-1].rfind(b"\n") + 1]
        if len(whole) < len(text):
            with self.path.open("rb+") as file:
                file.truncate(len(whole))
        lines = io.StringIO(whole.decode("utf-8"), newline="")
        if self.format == "csv":
            names = [row["source"] for row in csv.DictReader(lines)]
            return {n[1:] if n[:1] == "'" and harmless(n[1:]) == n else n for n in names}
        return {json.loads(line)["source"] for line in lines}

    def writer(self, *, single: bool, top: int) -> Writer:
        """Opens the file to append, or takes standard output."""
        if self.format == "json":
            return JsonWriter(sys.stdout, self.path)
        stream: IO[str] = sys.stdout
        fresh = True
        if self.path is not None:
            fresh = not self.path.exists() or self.path.stat().st_size == 0
            try:
                stream = self.path.open("a", encoding="utf-8", newline="")
            except OSError as error:
                raise SourceError(f"{self.path}: cannot be written: {error.strerror}.") from None
        if self.format == "csv":
            return CsvWriter(stream, top, fresh)
        return JsonLinesWriter(stream) if self.format == "jsonl" else TableWriter(stream, single)


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise SourceError(f"{path}: cannot be written: {error.strerror}.") from None
