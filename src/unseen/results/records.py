"""Predictions in files: one definition of the columns and keys, for writing and for reading.

JSON Lines and CSV have a record a picture; a JSON array holds the same objects. Text is UTF-8.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from unseen.errors import SourceError
from unseen.labels.label_set import UNKNOWN as UNKNOWN_LABEL
from unseen.prediction.prediction import Prediction, Scored
from unseen.results.spreadsheet import harmless, plain
from unseen.system.printable import escaped, unescaped
from unseen.system.regular_file import open_regular

if TYPE_CHECKING:
    from unseen.types import Metadata, Scalar

# What stands in the place of a label in a comparison; no label of ours is written so.
UNKNOWN, ERROR = "(unknown)", "(error)"


def csv_name(source: str) -> str:
    """A source as a cell: the odd bytes of a file name become escapes, which `read` undoes."""
    return harmless(escaped(source))


def _name_of(cell: str) -> str:
    """The source of a cell."""
    return unescaped(plain(cell))


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.6f}"


def _cell(value: Scalar) -> str:
    """A value of the metadata as text: a string as it is, anything else as in JSON."""
    if isinstance(value, str):
        return csv_name(value)
    return "" if value is None else json.dumps(value)


Cells = Mapping[str, Callable[[Prediction], str]]

# The columns of a CSV file and their cells. Between them and `EXTRA` stand label_2, score_2, …
COLUMNS: Cells = {
    "source": lambda prediction: csv_name(prediction.source),
    "label": lambda prediction: harmless(prediction.label or ""),
    "score": lambda prediction: _score(prediction.score),
    "unknown": lambda prediction: str(prediction.unknown).lower(),
    "error": lambda prediction: csv_name(prediction.error or ""),
}
EXTRA: Cells = {
    "likely": lambda prediction: harmless(";".join(prediction.likely or ())),
    "evidence": lambda prediction: (
        "" if prediction.evidence is None else f"{prediction.evidence:.4f}"
    ),
    "tile": lambda prediction: " ".join(map(str, prediction.tile or ())),
}
SIDES = re.compile(r"\d+ \d+ \d+ \d+")  # of a tile
META = "meta."  # before a key of metadata that is called as one of the columns
# The columns that are not metadata.
RESERVED = re.compile(rf"{'|'.join([*COLUMNS, *EXTRA])}|(label|score)_\d+")


# formats


class Format(Protocol):
    """How predictions become text."""

    @property
    def header(self) -> str:
        """The first line of a file, if there is one."""

    def line(self, prediction: Prediction) -> str:
        """A whole record, with its line end."""


@dataclass(frozen=True)
class JsonLines:
    """A JSON object a line: `Prediction.to_dict`."""

    header: str = ""

    def line(self, prediction: Prediction) -> str:
        """One JSON object, with its line end."""
        return json.dumps(prediction.to_dict(), ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Csv:
    """A row a picture: `COLUMNS`; label_2, score_2 … up to `top`; `extra`, of `EXTRA`; `fields`.

    These are keys of the metadata, as the readers of the sources declare them.
    """

    top: int = 1
    extra: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    @cached_property
    def header(self) -> str:
        """The names of the columns, with the line end."""
        ranked = [f"{part}_{i}" for i in range(2, self.top + 1) for part in ("label", "score")]
        # A column of a table may be called as one of ours: "label".
        fields = [META + name if RESERVED.fullmatch(name) else name for name in self.fields]
        return _csv_line([*COLUMNS, *ranked, *self.extra, *fields])

    def line(self, prediction: Prediction) -> str:
        """The cells of one prediction, with the line end."""
        cells = [cell(prediction) for cell in COLUMNS.values()]
        for i in range(1, self.top):
            has = i < len(prediction.ranking)
            scored = prediction.ranking[i] if has else None
            cells += ["", ""] if scored is None else [harmless(scored.label), _score(scored.score)]
        cells += [EXTRA[name](prediction) for name in self.extra]
        cells += [_cell(prediction.meta.get(name)) for name in self.fields]
        return _csv_line(cells)


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def json_array(records: list[dict[str, Any]]) -> str:
    """All records as one JSON document."""
    return json.dumps(records, ensure_ascii=False, indent=1) + "\n"


# reading


@dataclass(frozen=True)
class Row:
    """The answer of a run for one picture: a label, or `UNKNOWN`, or `ERROR`.

    `margin`: the score less that of the second; None where the file does not hold a second.
    `meta`: the metadata of the picture; from a CSV file, as text.
    """

    source: str
    answer: str
    score: float | None = None
    margin: float | None = None
    error: str | None = None
    meta: Metadata = field(default_factory=dict, hash=False)


def read(path: str | Path) -> Iterator[Prediction]:
    """The predictions of a file that `unseen classify` or `write` wrote.

    Parameters
    ----------
    path : str or Path
        A .jsonl, .csv or .json file. The first two are read a row at a time.

    Yields
    ------
    Prediction
        A CSV file holds no cosines: they are NaN, and the ranking has the labels of the columns.
        Its metadata is text.

    Raises
    ------
    SourceError
        If the file is missing, damaged or something else.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from unseen import Prediction, Scored
    >>> from unseen.results import read, write
    >>> path = Path(tempfile.mkdtemp(), "answers.jsonl")
    >>> write([Prediction("a.jpg", (Scored("cat", 0.9, 0.3),))], path).pictures
    1
    >>> [prediction.label for prediction in read(path)]
    ['cat']
    """
    return _parsed(Path(path), _prediction)


def rows(path: Path, *, multi: bool = False) -> Iterator[Row]:
    """The answers of a file, for a comparison; `multi`: an answer is all labels of the row, sorted.

    Raises SourceError.
    """
    return _parsed(path, lambda record: _row(record, multi))


Parsed = TypeVar("Parsed")


def _parsed(path: Path, make: Callable[[dict[str, Any]], Parsed]) -> Iterator[Parsed]:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise SourceError(f"{path}: predictions are read from files in {', '.join(READERS)}.")
    number = 0
    try:
        with TextIOWrapper(open_regular(path), "utf-8", newline="") as file:
            for record in reader(file):
                yield make(record)
                number += 1
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such file.") from None
    except OSError as error:
        raise SourceError(f"{path}: it cannot be read: {error.strerror or error}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise SourceError(
            f"{path}: what follows row {number} was not written by classify, or is cut off: "
            f"{type(error).__name__}: {error}."
        ) from None


def _name(record: dict[str, Any]) -> str:
    source = record["source"]
    if not isinstance(source, str):
        raise TypeError(f"the source is {source!r}, not the name of a picture")
    return source


def _prediction(record: dict[str, Any]) -> Prediction:
    source, meta = _name(record), record.get("meta", {})
    if record.get("error"):
        return Prediction(source, error=str(record["error"]), meta=meta)
    ranking = [
        Scored(
            scored["label"] or UNKNOWN_LABEL,
            float(scored["score"]),
            float(scored.get("cosine", "nan")),
            _tile(scored.get("tile")),
        )
        for scored in record["ranking"]
    ]
    likely, evidence = record.get("likely"), record.get("evidence")
    return Prediction(
        source,
        tuple(ranking),
        left_out=int(record.get("left_out", 0)),
        likely=None if likely is None else tuple(likely),
        evidence=None if evidence is None else float(evidence),
        abstained=record.get("abstained") is True,
        meta=meta,
    )


def _tile(sides: list[int] | None) -> tuple[int, int, int, int] | None:
    if sides is None:
        return None
    left, top, right, bottom = map(int, sides)
    return left, top, right, bottom


def _row(record: dict[str, Any], multi: bool) -> Row:
    source = escaped(_name(record))
    meta = record.get("meta", {})
    if record.get("error"):
        return Row(source, ERROR, error=str(record["error"]), meta=meta)
    ranking = record["ranking"]
    score = float(ranking[0]["score"]) if ranking else None
    margin = None
    if len(ranking) > 1 and not multi and score is not None:
        margin = score - float(ranking[1]["score"])
    labels = [record["label"]] if record["label"] else []
    if multi:
        labels = sorted(scored["label"] for scored in ranking if scored["label"])
    # One object for one label, however many rows have it.
    answer = sys.intern(", ".join(labels)) if labels else UNKNOWN
    return Row(source, answer, score, margin, meta=meta)


def _json_lines(file: Any) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in file if line.strip())


def _json(file: Any) -> Iterator[dict[str, Any]]:
    records = json.load(file)
    if not isinstance(records, list):
        raise TypeError("it is not a list")
    return iter(records)


def _csv(file: Any) -> Iterator[dict[str, Any]]:
    """Rows in the shape that JSON has."""
    reader = csv.DictReader(file, strict=True)
    fields = [name for name in reader.fieldnames or () if not RESERVED.fullmatch(name)]
    for cells in reader:
        if None in cells or cells["error"] is None:
            raise ValueError(f"a row has not as many cells as the header: {cells['source']!r}")
        ranking = []
        number = ""
        while cells.get(f"score{number}"):
            label = plain(cells[f"label{number}"])
            ranking.append({"label": label, "score": cells[f"score{number}"]})
            number = f"_{len(ranking) + 1}"
        record = {
            "source": _name_of(cells["source"]),
            "label": plain(cells["label"]),
            "ranking": ranking,
            "error": _name_of(cells["error"]),
            "meta": {
                name.removeprefix(META): _name_of(cells[name]) for name in fields if cells[name]
            },
        }
        if ranking and SIDES.fullmatch(cells.get("tile") or ""):
            ranking[0]["tile"] = cells["tile"].split()
        if cells.get("likely"):
            record["likely"] = plain(cells["likely"]).split(";")
        if cells.get("evidence"):
            record["evidence"] = cells["evidence"]
        yield record


READERS = {".jsonl": _json_lines, ".csv": _csv, ".json": _json}
