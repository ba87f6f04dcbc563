"""Predictions in files: one definition of the columns and keys, for writing and for reading.

JSON Lines and CSV have a record a picture; a JSON array holds the same objects. Text is UTF-8.
Of several label sets a record has an answer each, named after its set.
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
from unseen.prediction.facets import FacetPrediction
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
OF_ONE_SET = ("label", "score", "unknown")  # columns that each of several label sets has
META = "meta."  # before a key of metadata that is called as one of the columns
# The columns that are not metadata.
RESERVED = re.compile(rf"{'|'.join([*COLUMNS, *EXTRA])}|(label|score)_\d+")


# formats


class Format(Protocol):
    """How predictions become text."""

    @property
    def header(self) -> str:
        """The first line of a file, if there is one."""

    def line(self, prediction: Any) -> str:
        """A whole record, with its line end, of a Prediction or a FacetPrediction."""


@dataclass(frozen=True)
class JsonLines:
    """A JSON object a line: `to_dict` of a Prediction or a FacetPrediction."""

    header: str = ""

    def line(self, prediction: Prediction | FacetPrediction) -> str:
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
        # A column of a table may be called as one of ours: "label".
        fields = [META + name if RESERVED.fullmatch(name) else name for name in self.fields]
        return _csv_line([*COLUMNS, *_ranked(self.top), *self.extra, *fields])

    def line(self, prediction: Prediction) -> str:
        """The cells of one prediction, with the line end."""
        cells = [cell(prediction) for cell in COLUMNS.values()]
        cells += _lower_ranks(prediction, self.top)
        cells += [EXTRA[name](prediction) for name in self.extra]
        cells += [_cell(prediction.meta.get(name)) for name in self.fields]
        return _csv_line(cells)


@dataclass(frozen=True)
class FacetCsv:
    """A row a picture: the source; of each label set NAME, NAME.score, NAME.unknown, NAME.label_2 …
    up to `top`, and its `EXTRA` columns; the error; `fields`.
    """

    facets: Mapping[str, tuple[str, ...]]  # the name of a set → its columns of `EXTRA`
    top: int = 1
    fields: tuple[str, ...] = ()

    @cached_property
    def header(self) -> str:
        """The names of the columns, with the line end."""
        columns = ["source"]
        for name, extra in self.facets.items():
            parts = [*OF_ONE_SET[1:], *_ranked(self.top), *extra]
            columns += [name, *(f"{name}.{part}" for part in parts)]
        columns.append("error")
        taken = {*columns}
        fields = [META + name if name in taken else name for name in self.fields]
        return _csv_line([harmless(column) for column in [*columns, *fields]])

    def line(self, prediction: FacetPrediction) -> str:
        """The cells of one picture, with the line end."""
        cells = [csv_name(prediction.source)]
        for name, extra in self.facets.items():
            if prediction.error is not None:
                cells += [""] * (len(OF_ONE_SET) + 2 * (self.top - 1) + len(extra))
                continue
            answer = prediction[name]
            cells += [COLUMNS[column](answer) for column in OF_ONE_SET]
            cells += _lower_ranks(answer, self.top)
            cells += [EXTRA[column](answer) for column in extra]
        cells.append(csv_name(prediction.error or ""))
        cells += [_cell(prediction.meta.get(name)) for name in self.fields]
        return _csv_line(cells)


def _ranked(top: int) -> list[str]:
    """The columns of the labels behind the best."""
    return [f"{part}_{i}" for i in range(2, top + 1) for part in ("label", "score")]


def _lower_ranks(prediction: Prediction, top: int) -> list[str]:
    """Their cells."""
    cells: list[str] = []
    for i in range(1, top):
        scored = prediction.ranking[i] if i < len(prediction.ranking) else None
        cells += ["", ""] if scored is None else [harmless(scored.label), _score(scored.score)]
    return cells


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


def read(path: str | Path, *, facet: str | None = None) -> Iterator[Prediction]:
    """The predictions of a file that `unseen classify` or `write` wrote.

    Parameters
    ----------
    path : str or Path
        A .jsonl, .csv or .json file. The first two are read a row at a time.
    facet : str, optional
        Of a file with the answers of several label sets: the name of the set that is read.

    Yields
    ------
    Prediction
        A CSV file holds no cosines: they are NaN, and the ranking has the labels of the columns.
        Its metadata is text.

    Raises
    ------
    SourceError
        If the file is missing, damaged or something else; or `facet` is not one of its label sets,
        or is needed.

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
    return _parsed(Path(path), lambda record: _prediction(_of_facet(record, facet, path)))


def rows(path: Path, *, multi: bool = False, facet: str | None = None) -> Iterator[Row]:
    """The answers of a file, for a comparison; `multi`: an answer is all labels of the row, sorted;
    `facet`: as in `read`.

    Raises SourceError.
    """
    return _parsed(path, lambda record: _row(_of_facet(record, facet, path), multi))


def _of_facet(record: dict[str, Any], facet: str | None, path: str | Path) -> dict[str, Any]:
    """A record as one label set has it. SourceError where it is not said which, or it is none."""
    if record.get("error"):
        return record
    answers = record.get("facets")
    if answers is None and facet is None:
        return record
    if answers is None:
        raise SourceError(f"{path}: it has the answers of one label set; leave facet out.")
    names = ", ".join(answers)
    if facet is None:
        raise SourceError(
            f"{path}: it has the answers of several label sets; choose one with facet: {names}."
        )
    if facet not in answers:
        raise SourceError(f"{path}: there is no label set {facet!r} in it; it has: {names}.")
    return {**record, **answers[facet]}


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
    except (
        *(ValueError, LookupError, TypeError, AttributeError),
        *(OverflowError, RecursionError, csv.Error),
    ) as error:
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
    columns = [*(reader.fieldnames or ())]
    facets = _facets(columns)
    if facets:
        fields = columns[columns.index("error") + 1 :]
    else:
        fields = [name for name in columns if not RESERVED.fullmatch(name)]
    for cells in reader:
        if None in cells or cells["error"] is None:
            raise ValueError(f"a row has not as many cells as the header: {cells['source']!r}")
        record: dict[str, Any] = {
            "source": _name_of(cells["source"]),
            "error": _name_of(cells["error"]),
            "meta": {
                name.removeprefix(META): _name_of(cells[name]) for name in fields if cells[name]
            },
        }
        if facets:
            record["facets"] = {
                plain(name): _answer({"label": cells[name]}, cells, f"{name}.") for name in facets
            }
        else:
            record |= _answer({"label": cells["label"]}, cells, "")
        yield record


def _facets(columns: list[str]) -> list[str]:
    """The label sets of a header; none where it is that of one set."""
    if len(columns) < 3 or columns[2] != f"{columns[1]}.score" or "error" not in columns:
        return []
    answers = columns[: columns.index("error")]
    return [name for name in answers if f"{name}.score" in answers]


def _answer(answer: dict[str, Any], cells: Mapping[str, str], prefix: str) -> dict[str, Any]:
    """The answer of one label set: `answer` has the cell of its best label."""
    label = plain(answer["label"])
    ranking: list[dict[str, Any]] = []
    number = ""
    while cells.get(f"{prefix}score{number}"):
        ranking.append({"label": label, "score": cells[f"{prefix}score{number}"]})
        number = f"_{len(ranking) + 1}"
        label = plain(cells.get(f"{prefix}label{number}") or "")
    answer |= {"label": plain(answer["label"]), "ranking": ranking}
    if ranking and SIDES.fullmatch(cells.get(f"{prefix}tile") or ""):
        ranking[0]["tile"] = cells[f"{prefix}tile"].split()
    if cells.get(f"{prefix}likely"):
        answer["likely"] = plain(cells[f"{prefix}likely"]).split(";")
    if cells.get(f"{prefix}evidence"):
        answer["evidence"] = cells[f"{prefix}evidence"]
    return answer


READERS = {".jsonl": _json_lines, ".csv": _csv, ".json": _json}
