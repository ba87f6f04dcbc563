"""A folder of class folders, a labelling, CSV, JSON lines, or pairs in memory → annotations."""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.datasets import labelling_file
from unseen.datasets.annotation import Annotation
from unseen.datasets.content import content_digest
from unseen.datasets.labelled_items import (
    annotation_of_row,
    class_names_in_memory,
    labelled_items,
)
from unseen.errors import SourceError, UnseenWarning
from unseen.results.spreadsheet import plain
from unseen.sources.containers.container_file import is_elsewhere, resolve
from unseen.sources.containers.rows import PICTURE_COLUMNS
from unseen.sources.files import image_files, videos_below
from unseen.sources.frame_names import is_video
from unseen.sources.item import name_of
from unseen.sources.registry import reader_of
from unseen.system.printable import unescaped
from unseen.system.regular_file import open_regular, read_bytes

if TYPE_CHECKING:
    from typing import TypeAlias

    # A folder, a table, or (picture, label or labels) pairs.
    Labelled: TypeAlias = (
        "str | Path | Iterable[Annotation] | Iterable[tuple[Any, str | Iterable[str]]]"
    )

SEPARATOR = ";"  # between the labels of one picture in a table


def read_annotations(source: Labelled, *, multi_label: bool = False) -> list[Annotation]:
    """Read labelled pictures.

    Parameters
    ----------
    source : str, Path, or iterable
        A folder in which each folder is a class: its name with spaces for underscores is the label
        of all pictures in it, at any depth; a picture outside of these has no label. A folder that
        has videos and no pictures is read in the same way, each video being one. A folder
        without such folders that `unseen label` has labelled, or the .sqlite file of its labelling:
        the pictures that a person gave a label. Or a .csv or .jsonl file with the columns `path`,
        relative to the file, and `label`; the other columns are kept. Or an archive, another table
        or an address, as `labelled_items` reads them. Or pairs of a picture, as `classify` takes
        it, and its label or labels; or annotations; or a data set in memory, whose rows have a
        column `label`.
    multi_label : bool
        Whether a picture may have several labels: on rows of their own, or with `;` between them.

    Returns
    -------
    list of Annotation
        One for each picture, in order; a path on several rows is one picture.

    Raises
    ------
    SourceError
        There is nothing to read, the table is damaged, or a picture has several labels without
        `multi_label`.

    Examples
    --------
    >>> from unseen.datasets.readers import read_annotations
    >>> [a.labels for a in read_annotations([("1.jpg", "cat"), ("2.jpg", "dog")])]
    [('cat',), ('dog',)]
    """
    if not isinstance(source, (str, Path)):
        names = class_names_in_memory(source)
        annotations = [_annotation(item, number, names) for number, item in enumerate(source)]
        where = ""
    elif _is_container(source):
        annotations, where = labelled_items(source), f"{source}: "
    elif Path(source).is_dir():
        return _read_folder(Path(source))
    else:
        annotations = READERS.get(Path(source).suffix.lower(), _read_table)(Path(source))
        where = f"{source}: "
    several = next((a for a in annotations if len(a.labels) > 1), None)
    if several is not None and not multi_label:
        raise SourceError(
            f"{where}{several.path.name} has the labels {', '.join(several.labels)}; several "
            "labels a picture need --multi (multi_label=True in Python)."
        )
    return annotations


def _is_container(source: str | Path) -> bool:
    """Whether it is read picture by picture: what is no folder, and no table of `path,label`."""
    if is_elsewhere(source):
        return True
    path = Path(source)
    reader = None if path.suffix.lower() in READERS else reader_of(path)
    if reader is None or is_video(path):
        return False
    return path.suffix.lower() not in TABLES or not _names_paths(path)


def _names_paths(table: Path) -> bool:
    """Whether a table has the column `path`, of files; a broken one is told so by its reader."""
    try:
        with open_regular(table) as file:
            first = file.readline(1 << 20).decode("utf-8-sig")
        columns = json.loads(first) if table.suffix.lower() == ".jsonl" else first.split(",")
    except (OSError, ValueError, RecursionError):
        return True
    if not isinstance(columns, (dict, list)):
        return True
    names = {str(column).strip().strip('"').lower() for column in columns}
    return "path" in names or not names & {*PICTURE_COLUMNS}


def read_table(path: Path, column: str) -> list[tuple[Path, str, dict[str, str]]]:
    """The rows of a table with the columns `path` and `column`.

    Parameters
    ----------
    path : Path
        A .jsonl file with a JSON object a line, or a CSV file.
    column : str
        The column that each row must have beside its path, such as `label`.

    Returns
    -------
    list of (Path, str, dict)
        The path of each picture, the value of the column, and all columns. A cell that was made
        harmless for spreadsheets is read as it was.

    Raises
    ------
    SourceError
        The file cannot be read, or a row has no path.
    """
    reader, kind = TABLES.get(path.suffix.lower(), (_csv, "CSV"))
    try:
        # Spreadsheets write a byte-order mark. Line ends stay: one may be part of a file's name.
        text = read_bytes(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such folder or file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read as a {kind} file: {error}.") from None
    rows = []
    for line, columns in reader(path, text, column):
        if not columns["path"]:
            raise SourceError(f"{path}: line {line} has no path.")
        rows.append((path.parent / columns["path"], columns[column], columns))
    if not rows:
        raise SourceError(f"{path}: the file has no rows.")
    return rows


def _csv(path: Path, text: str, column: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    header = [name.strip() for name in reader.fieldnames or []]
    if not {"path", column} <= set(header):
        raise SourceError(
            f"{path}: its first line is {','.join(header)[:80]!r}; it must name the columns path "
            f"and {column}."
        )
    reader.fieldnames = header
    for row in reader:
        cells = {name: (row[name] or "").strip() for name in header}
        columns = {name: plain(cell) for name, cell in cells.items()}
        yield reader.line_num, columns | {"path": unescaped(cells["path"])}


def _json_lines(path: Path, text: str, column: str) -> Iterator[tuple[int, dict[str, str]]]:
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            columns = {name: _cell(value) for name, value in json.loads(content).items()}
            if not {"path", column} <= set(columns):
                raise ValueError(f"it must have path and {column}")
        except (ValueError, AttributeError, RecursionError) as error:
            raise SourceError(f"{path}: line {line} is not a row: {error}.") from None
        yield line, columns | {"path": unescaped(columns["path"])}


Reader = Callable[[Path, str, str], Iterator[tuple[int, dict[str, str]]]]
TABLES: Mapping[str, tuple[Reader, str]] = {
    ".csv": (_csv, "CSV"),
    ".jsonl": (_json_lines, "JSON lines"),
}


def _cell(value: object) -> str:
    """A JSON value as a CSV file would have it."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def _read_folder(folder: Path) -> list[Annotation]:
    annotations = []
    for path in _files(folder):
        first, *rest = path.relative_to(folder).parts
        annotations.append(Annotation(path, (_spaced(first),) if rest else ()))
    labelling = labelling_file.labelling_of(folder)
    if any(annotation.labels for annotation in annotations):
        if labelling is not None and next(labelling_file.reviewed(labelling), None) is not None:
            _warn(
                f"{folder}: its folders are taken for the classes; to read what was decided in its "
                f"labelling, give {labelling}."
            )
        return annotations
    if labelling is None:
        raise SourceError(f"{folder}: no picture lies in a folder of it; each folder is a class.")
    return _read_labelling(labelling)


def _files(folder: Path) -> list[Path]:
    """The pictures of a folder, or its videos where it has no pictures."""
    try:
        return [*image_files(folder)]
    except SourceError:
        videos = [*videos_below(folder)]
        if not videos:
            raise
        return videos


def _read_labelling(file: Path) -> list[Annotation]:
    """What a person decided; a decision is about a content, and not about the name of a file."""
    if not file.is_file():
        raise SourceError(f"{file}: there is no such folder or file.")
    folder = labelling_file.folder_of(file)
    annotations, gone = [], 0
    for picture in labelling_file.reviewed(file):
        sources = (resolve(path, folder) for path in picture.paths)
        paths = (path for path in sources if isinstance(path, Path))
        path = next((path for path in paths if _has_content(path, picture.id)), None)
        gone += path is None
        if path is not None:
            annotations.append(Annotation(path, (picture.label,), {"content": picture.id}))
    if gone:
        _warn(
            f"{folder}: {gone} pictures of its labelling are gone, or have changed since, and are "
            "left out; unseen label brings it up to date."
        )
    if not annotations:
        raise SourceError(
            f"{folder}: nobody has given a picture of its labelling a label yet: "
            f"unseen label review {folder}"
        )
    return annotations


def _has_content(path: Path, id: str) -> bool:
    digest = content_digest(path)
    return digest is not None and digest.startswith(id)


@cache
def _warn(message: str) -> None:
    """Once: a command may read a folder more than once."""
    warnings.warn(message, UnseenWarning, stacklevel=4)


READERS: Mapping[str, Callable[[Path], list[Annotation]]] = {
    labelling_file.SUFFIX: _read_labelling,
}


def _read_table(table: Path) -> list[Annotation]:
    annotations: dict[Path, Annotation] = {}
    for path, label, columns in read_table(table, "label"):
        address = columns["path"] if is_elsewhere(columns["path"]) else None
        before = annotations.get(path, Annotation(path, (), columns))
        labels = tuple(dict.fromkeys([*before.labels, *_split(label)]))
        annotations[path] = Annotation(path, labels, before.columns, address)
    return [*annotations.values()]


def _annotation(item: Any, number: int, names: Mapping[str, Sequence[str]]) -> Annotation:
    """Of a pair, or of a row of a data set; an annotation stays as it is."""
    if isinstance(item, Annotation):
        return item
    if isinstance(item, Mapping):
        return annotation_of_row(item, number, names)
    picture, labels = item
    labels = (labels,) if isinstance(labels, str) else tuple(dict.fromkeys(labels))
    return Annotation(Path(name_of(picture, number)), labels, content=picture)


def _spaced(name: str) -> str:
    return " ".join(name.replace("_", " ").split())


def _split(labels: str) -> Iterable[str]:
    return dict.fromkeys(part.strip() for part in labels.split(SEPARATOR) if part.strip())
