"""The forms of an exported data set: where its pictures lie, and the files that describe them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from unseen.results.spreadsheet import harmless, plain
from unseen.system.printable import escaped

COCO_FILE = "_annotations.coco.json"
METADATA_FILE = "metadata.jsonl"


@dataclass(frozen=True)
class Row:
    """One picture of a data set.

    Parameters
    ----------
    file : str
        Its path in the data set, with /; of a form that copies nothing, the path to where it lies.
    original : str
        Its path below the folder of the labelling.
    id : str
        The hash of its content.
    label, split : str
        Its label, and the split it is in.
    score : float, optional
        The probability of the best label.
    reviewed : bool
        Whether a person decided.
    width, height : int, optional
        In pixels.
    """

    file: str
    original: str
    id: str
    label: str
    split: str
    score: float | None
    reviewed: bool
    width: int | None
    height: int | None


@dataclass(frozen=True)
class Form:
    """`place`: the folder of a copy, of its split and its label's folder; None: nothing is copied.
    `write`: puts the files that describe the rows into a folder; of the rows and all labels."""

    place: Callable[[str, str], str] | None
    write: Callable[[Path, Sequence[Row], Sequence[str]], None]
    sized: bool = False  # it cannot do without a picture's width and height


def _folders(folder: Path, rows: Sequence[Row], labels: Sequence[str]) -> None:
    """The folders say it all."""


def _csv(folder: Path, rows: Sequence[Row], labels: Sequence[str]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")  # so that a lone \r in a name is quoted, too
    writer.writerow(["path", "label", "split", "score", "reviewed", "width", "height"])
    for row in rows:
        score = "" if row.score is None else f"{row.score:.6f}"
        reviewed = str(row.reviewed).lower()
        sizes = ["" if n is None else n for n in (row.width, row.height)]
        cells = [_path_cell(row.file), harmless(row.label), row.split, score, reviewed, *sizes]
        writer.writerow(cells)
    _write(folder / "labels.csv", text.getvalue())


def _path_cell(path: str) -> str:
    """A path that no spreadsheet runs, and that is still a path: `./=1.jpg`. The odd bytes of a
    name that is not UTF-8 become escapes, which our readers undo."""
    path = escaped(path)
    same = harmless(path) == path and plain(path) == path and path == path.strip()
    return path if same else f"./{path}"


def _jsonl(folder: Path, rows: Sequence[Row], labels: Sequence[str]) -> None:
    _write_lines(
        folder / "labels.jsonl",
        (
            {
                # Not JSON's own escape: one of those makes pandas refuse the whole file.
                "path": escaped(row.file),
                "label": row.label,
                "split": row.split,
                "score": row.score,
                "reviewed": row.reviewed,
                "width": row.width,
                "height": row.height,
            }
            for row in rows
        ),
    )


def _coco(folder: Path, rows: Sequence[Row], labels: Sequence[str]) -> None:
    """A file for each split, beside its pictures: the layout of Roboflow, which RF-DETR, Datumaro
    and others look for by name. Fields: https://cocodataset.org/#format-data."""
    today = datetime.now(timezone.utc)
    categories = {label: number for number, label in enumerate(labels, 1)}
    ids = _numbers(row.id for row in rows)
    for split, members in _by_split(rows).items():
        images, annotations = [], []
        for row in members:
            assert row.width is not None and row.height is not None  # the form is `sized`
            w, h = row.width, row.height
            images.append(
                {
                    "id": ids[row.id],
                    "file_name": Path(row.file).name,
                    "width": w,
                    "height": h,
                    "license": 1,
                }
            )
            annotations.append(
                {
                    "id": ids[row.id],  # one a picture
                    "image_id": ids[row.id],
                    "category_id": categories[row.label],
                    "bbox": [0, 0, w, h],
                    "area": w * h,
                    "segmentation": [[0, 0, w, 0, w, h, 0, h]],
                    "iscrowd": 0,
                    "score": row.score,
                    "reviewed": row.reviewed,
                }
            )
        document = {
            "info": {
                "year": today.year,
                "version": "1",
                "description": f"{split}: one label a picture, its box the whole picture",
                "contributor": "",
                "url": "",
                "date_created": today.isoformat(timespec="seconds"),
            },
            "licenses": [{"id": 1, "name": "not stated", "url": ""}],
            "images": images,
            "annotations": annotations,
            "categories": [
                {"id": number, "name": label, "supercategory": "none"}
                for label, number in categories.items()
            ],
        }
        _write(folder / split / COCO_FILE, json.dumps(document, ensure_ascii=False))


def _numbers(ids: Iterable[str]) -> dict[str, int]:
    """A number for each id that another export gives it again: the beginning of the hash, 52 bits,
    which JSON keeps whole everywhere."""
    numbers: dict[str, int] = {}
    used: set[int] = set()
    for id in sorted(ids):
        number = int(id[:13], 16) or 1
        while number in used:
            number += 1
        used.add(number)
        numbers[id] = number
    return numbers


def _imagefolder(folder: Path, rows: Sequence[Row], labels: Sequence[str]) -> None:
    """JSON lines, as of a CSV the library guesses types: a label `007` or `NA` would not survive.
    No folders of labels: it would take one called *train* or *test* for a split."""
    splits = _by_split(rows)
    # A column that is empty in one split has no type there, and the library refuses the whole.
    scored = all(any(row.score is not None for row in part) for part in splits.values())
    for split, part in splits.items():
        _write_lines(
            folder / split / METADATA_FILE,
            (
                {
                    "file_name": Path(row.file).name,
                    "label": row.label,
                    **({"score": row.score} if scored else {}),
                    "reviewed": row.reviewed,
                }
                for row in part
            ),
        )


FORMS = {
    "folders": Form(lambda split, label: f"{split}/{label}", _folders),
    "csv": Form(None, _csv),
    "jsonl": Form(None, _jsonl),
    "coco": Form(lambda split, label: split, _coco, sized=True),
    "imagefolder": Form(lambda split, label: split, _imagefolder),
}


def _by_split(rows: Sequence[Row]) -> dict[str, list[Row]]:
    by_split: dict[str, list[Row]] = {}
    for row in rows:
        by_split.setdefault(row.split, []).append(row)
    return by_split


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    _write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _write(path: Path, text: str) -> None:
    # In JSON the odd bytes of a file name become escapes that read back.
    path.write_bytes(text.encode("utf-8", "backslashreplace"))
