"""An archive, a table of pictures, or the rows of a data set → annotations.

The label of a picture is what stands beside it: the column `label` of its row, the `.cls` of its
sample; where there is none, in an archive, the folder that it lies in, as in a folder of classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from unseen.datasets.annotation import Annotation
from unseen.errors import SourceError
from unseen.sources.containers.container_file import container_file
from unseen.sources.containers.rows import picture_column, row_source
from unseen.sources.expand import expand
from unseen.sources.item import Source, Unreadable

# The first of these that a picture has is its label.
LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "cls")
SEPARATOR = ";"  # between several labels
MEMBER = "member"


def labelled_items(source: str | Path) -> list[Annotation]:
    """The labelled pictures of a source that holds many.

    Parameters
    ----------
    source : str or Path
        An archive, a table, or an address; a Parquet file of Hugging Face says what its numbers
        stand for.

    Returns
    -------
    list of Annotation
        Those that their source calls by a name are opened by it when they are needed: no picture
        is held in memory.

    Raises
    ------
    SourceError
        If the source cannot be read, or no picture has a label.
    """
    names = _class_names(Path(source)) if Path(source).suffix.lower() == ".parquet" else {}
    items = [_without_content(item, source) for item in expand(source)]
    start = str(source)
    common = _common_folder([folders for item in items if (folders := _folders(item, start))])
    annotations = []
    for item in items:
        labels = _labels(item.meta, names) or _folder_label(item, start, common)
        columns = {key: "" if value is None else str(value) for key, value in item.meta.items()}
        content = item.content if isinstance(item.content, (str, Unreadable)) else None
        annotations.append(Annotation(Path(item.key or item.name), labels, columns, content))
    if not any(annotation.labels for annotation in annotations):
        raise SourceError(
            f"{source}: no picture has a label; it is read from a column called "
            f"{', '.join(LABEL_COLUMNS[:-1])}, from the .cls files of a webdataset, or from the "
            "folders in an archive."
        )
    return annotations


def _without_content(item: Source, source: str | Path) -> Source:
    """An item without its bytes, which are read again when they are needed; an error stays."""
    content = item.content
    if isinstance(content, Unreadable) and item.name == str(source):
        raise content.error
    if isinstance(content, (str, Unreadable)):
        return item
    key = item.key or item.name
    is_address = "://" in key[:16]
    return Source(item.name, key if is_address else None, item.meta, item.key)


def annotation_of_row(
    row: Mapping[str, Any], number: int, names: Mapping[str, Sequence[str]]
) -> Annotation:
    """The annotation of a row of a data set in memory.

    Parameters
    ----------
    row : mapping
        Column → value; one holds the picture, one the label.
    number : int
        Of the row, from 0.
    names : mapping of str to sequence of str
        Column → what its numbers stand for.

    Raises
    ------
    SourceError
        If no column holds pictures.
    """
    item = row_source(row, picture_column(row, f"row {number}"), number, "data set")
    columns = {key: "" if value is None else str(value) for key, value in item.meta.items()}
    return Annotation(Path(item.name), _labels(item.meta, names), columns, item.content)


def class_names_in_memory(dataset: object) -> dict[str, Sequence[str]]:
    """What the numbers of the columns of a data set of Hugging Face stand for."""
    features = getattr(dataset, "features", None)
    if not isinstance(features, Mapping):
        return {}
    named = {column: getattr(feature, "names", None) for column, feature in features.items()}
    return {column: names for column, names in named.items() if isinstance(names, list)}


def _class_names(path: Path) -> dict[str, Sequence[str]]:
    """The same of a Parquet file, in which Hugging Face writes it as JSON."""
    from pyarrow import ArrowException, parquet  # noqa: PLC0415 - an extra; `expand` asks for it

    try:
        with container_file(path) as file:
            facts = json.loads((parquet.read_schema(file).metadata or {})[b"huggingface"])
        features = facts["info"]["features"].items()
        return {name: one["names"] for name, one in features if one.get("_type") == "ClassLabel"}
    except (ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _labels(meta: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    lower = {key.lower(): key for key in reversed([*meta])}
    key = next((lower[one] for one in LABEL_COLUMNS if one in lower), None)
    value = None if key is None else meta[key]
    if value is None or key is None:
        return ()
    if isinstance(value, int) and key in names:
        return (names[key][value],) if 0 <= value < len(names[key]) else ()
    parts = (part.strip() for part in str(value).split(SEPARATOR))
    return tuple(dict.fromkeys(part for part in parts if part))


def _folders(item: Source, start: str) -> tuple[str, ...]:
    """The folders that a member of an archive, or an object of a store, lies in."""
    name = item.meta.get(MEMBER)
    if name is None:
        is_below = "://" in start[:16] and item.name.startswith(start)
        name = item.name[len(start) :].lstrip("/") if is_below else ""
    return tuple(part for part in PurePosixPath(str(name)).parts[:-1] if part != ".")


def _common_folder(each: Sequence[tuple[str, ...]]) -> int:
    """How many folders all lie in: an archive of a folder has its name before all."""
    shortest = min(map(len, each), default=0)
    return next(
        (depth for depth in range(shortest) if len({one[depth] for one in each}) > 1), shortest
    )


def _folder_label(item: Source, start: str, common: int) -> tuple[str, ...]:
    """The folder of a member, as the name of a class."""
    folders = _folders(item, start)[common:]
    return (" ".join(folders[0].replace("_", " ").split()),) if folders else ()
