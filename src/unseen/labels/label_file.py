"""Label files → plain data: names, rows of a name and its prompts, or a document.

What the data means (duplicates, thresholds, background) is for `label_set` to say, so that a file
and a call with the same content give the same labels.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from unseen.errors import LabelError, LabelWarning
from unseen.labels import descriptions, spelling
from unseen.system.regular_file import read_text

MAX_CELL = 131_072  # characters
# First cells of a file that were meant as a header, most likely.
HEADERS = ("labels", "class", "classes", "class_name", "classname", "category", "name", "names")


class LabelRow(NamedTuple):
    """A label and its prompts, as a row of a CSV file has them."""

    name: str
    prompts: list[str]


def read(path: Path) -> Any:
    """The content of a label file.

    Parameters
    ----------
    path : Path
        A .txt file (one label a line, `#` begins a comment line), a .csv file (label, prompt, …;
        a header that begins with "label" is skipped), or a .json or .yaml file.

    Returns
    -------
    list of str, list of LabelRow, or what JSON or YAML hold

    Raises
    ------
    LabelError
        If the file is missing, cannot be read, or is of another format.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        if spelling.PICTURE_FILE.search(path.name):
            raise LabelError(
                f"{path} is the name of a picture, in the place of labels; labels are words with "
                "commas between them, or a label file."
            )
        raise LabelError(
            f"{path}: label files end in {', '.join(READERS)}, not {path.suffix or 'nothing'}."
        )
    try:
        text = read_text(path, "utf-8-sig")  # spreadsheets write a byte-order mark
    except FileNotFoundError:
        raise LabelError(f"{path}: there is no such label file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{path}: the label file cannot be read: {error}.") from None
    return reader(text, str(path))


def _read_txt(text: str, where: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _read_csv(text: str, where: str) -> list[LabelRow]:
    reader = csv.reader(io.StringIO(text))
    rows = []
    try:
        for row in reader:
            # The library's own limit is one for all readers of a process, and may have been raised.
            if any(len(cell) > MAX_CELL for cell in row):
                raise csv.Error(f"field larger than field limit ({MAX_CELL})")
            if any(cell.strip() for cell in row):
                rows.append(row)
    except csv.Error as error:
        line = f"{where}:{reader.line_num}"
        raise LabelError(f"{line}: the file is not valid CSV: {error}.") from None
    if rows and rows[0][0].strip().lower() == "label":
        rows = rows[1:]  # a header
    elif rows and rows[0][0].strip().casefold() in HEADERS:
        warnings.warn(
            f"{where}: its first line, {','.join(rows[0])!r}, is taken as a label; a header begins "
            "with the word label.",
            LabelWarning,
            stacklevel=2,
        )
    return [LabelRow(row[0], [cell for cell in row[1:] if cell.strip()]) for row in rows]


def _read_json(text: str, where: str) -> Any:
    try:
        data = json.loads(text)
    except RecursionError:
        raise LabelError(f"{where}: the JSON is nested too deeply.") from None
    except ValueError as error:  # an integer of thousands of digits is one, too
        raise LabelError(f"{where}: the file is not valid JSON: {error}.") from None
    described = descriptions.of_phrases(data)
    if described is None:
        return data
    name, (first, *_) = next(iter(described.items()))
    warnings.warn(
        f"{where}: its texts are taken for phrases that describe the labels, so {name!r} has the "
        f"prompt {first!r}; texts that are prompts as they stand belong under the key prompts of "
        "their label.",
        LabelWarning,
        stacklevel=2,
    )
    return described


def _read_yaml(text: str, where: str) -> Any:
    import yaml  # noqa: PLC0415 - 15 ms of a start, and most labels are in no such file

    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise LabelError(f"{where}: the YAML is nested too deeply.") from None
    # Values of a type that they do not have (`!!bool maybe`, a 13th month) are no YAMLErrors.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        detail = " ".join(str(error).split())
        raise LabelError(f"{where}: the file is not valid YAML: {detail}.") from None


# Suffix → reader of the text; the second argument is the name of the file, for messages.
READERS: dict[str, Callable[[str, str], Any]] = {
    ".txt": _read_txt,
    ".csv": _read_csv,
    ".json": _read_json,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
}
