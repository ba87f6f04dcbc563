"""What `classify` leaves in files: the rows, read back, and the manifest that says what made them.

Beside NAME lies NAME.run.json, written when a run begins and completed when it ends. Other outputs
have one too, written with them.
"""

from __future__ import annotations

import csv
import hashlib
import json
import platform
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.errors import SourceError
from unseen.labels.templates import fill
from unseen.system.cache import write_atomically

if TYPE_CHECKING:
    from unseen.index.model_rows import ModelRow
    from unseen.labels.compiled import CompiledLabels
    from unseen.models.model import Model
    from unseen.types import Metadata

FORMAT = "unseen-run-2"
VERSIONS = ("unseen", "onnxruntime", "numpy", "pillow", "tokenizers")

# What stands in the place of a label; no label of ours is written so.
UNKNOWN, ERROR = "(unknown)", "(error)"

# The columns of a CSV file that are not metadata.
COLUMN = re.compile(r"source|unknown|error|likely|evidence|(label|score)(_\d+)?")

# What a spreadsheet would run; some read the full-width forms alike.
FORMULA_STARTS = tuple("=+-@＝＋－＠")


# the manifest


def manifest_path(output: Path) -> Path:
    """Where the manifest of an output lies."""
    return output.with_name(output.name + ".run.json")


def manifest(
    model: Model, compiled: CompiledLabels | None, options: dict[str, Any]
) -> dict[str, Any]:
    """What makes a row what it is, as plain data. Without labels: what makes an embedding that."""
    return {
        "format": FORMAT,
        "model": model.name,
        "revision": model.revision,
        "fingerprint": model.fingerprint,
        "score": asdict(model.score),
        **({} if compiled is None else _words(compiled)),
        "options": options,
        "versions": versions(),
        "started": now(),
    }


def row_manifest(row: ModelRow, options: dict[str, Any]) -> dict[str, Any]:
    """As `manifest`, for what was made of the embeddings of an index; no model is loaded."""
    return {
        "format": FORMAT,
        "model": row.name,
        "revision": row.revision,
        "fingerprint": row.fingerprint,
        "options": {**options, "precision": row.precision, "exact": row.exact},
        "versions": versions(),
        "started": now(),
    }


def write_manifest(output: Path, made: dict[str, Any]) -> None:
    """Beside an output. OSError."""
    content = json.dumps(made, ensure_ascii=False, indent=1)
    write_atomically(manifest_path(output), content.encode("utf-8", "backslashreplace"))


def write_ended(
    output: Path, made: dict[str, Any], pictures: int, errors: int, *, complete: bool = True
) -> None:
    """The manifest of an output that is written when it is all there. SourceError."""
    ended = {"pictures": pictures, "errors": errors, "complete": complete, "ended": now()}
    try:
        write_manifest(output, {**made, **ended})
    except OSError as error:
        path = manifest_path(output)
        raise SourceError(f"{path}: it cannot be written: {error.strerror or error}.") from None


def _words(compiled: CompiledLabels) -> dict[str, Any]:
    # Of the words, not of the matrix: its last bits depend on how prompts were batched.
    words = [
        {**asdict(label), "prompts": own}
        for label, own in zip(compiled.labels, compiled.prompts, strict=True)
    ]
    templates = _templates(compiled)
    return {
        "labels": [_label(compiled, place, templates) for place in range(len(compiled.labels))],
        "templates": templates,
        "labels_sha256": hashlib.sha256(json.dumps(words).encode()).hexdigest(),
    }


def versions() -> dict[str, str]:
    """Of what computes here."""
    found = {"python": platform.python_version()}
    for name in VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _templates(compiled: CompiledLabels) -> list[str]:
    """The patterns that most labels' prompts follow: 80 prompts a label need not be written out."""
    patterns = Counter(
        tuple(prompt.replace(label.name, "{}") for prompt in prompts)
        for label, prompts in zip(compiled.labels, compiled.prompts, strict=True)
    )
    return list(patterns.most_common(1)[0][0])


def _label(compiled: CompiledLabels, place: int, templates: list[str]) -> dict[str, Any]:
    """One label; its prompts only where they are not those of the templates."""
    label, prompts = compiled.labels[place], compiled.prompts[place]
    facts: dict[str, Any] = {"name": label.name}
    if label.threshold is not None:
        facts["threshold"] = label.threshold
    if label.background:
        facts["background"] = True
    if list(prompts) != [fill(template, label.name) for template in templates]:
        facts["prompts"] = list(prompts)
    return facts


def prompts_of(made: dict[str, Any]) -> dict[str, list[str] | None]:
    """The prompts of each label of a manifest; None where it is too old to say."""
    templates = made.get("templates")
    found: dict[str, list[str] | None] = {}
    for label in made.get("labels", []):
        if isinstance(label, str):
            found[label] = None
        elif "prompts" in label:
            found[label["name"]] = label["prompts"]
        else:
            found[label["name"]] = [fill(t, label["name"]) for t in templates or []]
    return found


def read_manifest(output: Path) -> dict[str, Any] | None:
    """What lies beside an output; None when nothing does. SourceError when it is damaged."""
    path = manifest_path(output)
    try:
        made = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: this manifest cannot be read: {error}.") from None
    if not isinstance(made, dict) or not isinstance(made.get("labels"), list):
        raise SourceError(f"{path}: this is no manifest of a run.")
    return made


# rows


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


def rows(output: Path, *, multi: bool = False) -> Iterator[Row]:
    """The rows of a .jsonl, .csv or .json file, one at a time (of .json: when it is read whole).

    `multi`: an answer is then all labels of the row, sorted. Raises SourceError.
    """
    reader = READERS.get(output.suffix.lower())
    if reader is None:
        raise SourceError(f"{output}: what classify wrote ends in {', '.join(READERS)}.")
    place = 0
    try:
        with output.open(encoding="utf-8", errors="strict", newline="") as file:
            for found in reader(file):
                yield _row(found, multi)
                place += 1
    except FileNotFoundError:
        raise SourceError(f"{output}: there is no such file.") from None
    except OSError as error:
        raise SourceError(f"{output}: it cannot be read: {error.strerror or error}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise SourceError(
            f"{output}: what follows row {place} was not written by classify, or is cut off: "
            f"{type(error).__name__}: {error}."
        ) from None


def _row(found: dict[str, Any], multi: bool) -> Row:
    source = found["source"]
    if not isinstance(source, str):
        raise TypeError(f"{source!r} is no name of a picture")
    source = source.encode("utf-8", "backslashreplace").decode("utf-8")  # as a CSV has it
    if found.get("error"):
        return Row(source, ERROR, error=str(found["error"]), meta=found.get("meta", {}))
    ranking = found["ranking"]
    score = float(ranking[0]["score"]) if ranking else None
    margin = None
    if len(ranking) > 1 and not multi and score is not None:
        margin = score - float(ranking[1]["score"])
    labels = [found["label"]] if found["label"] else []
    if multi:
        labels = sorted(one["label"] for one in ranking if one["label"])
    # One object for one label, however many rows have it.
    answer = sys.intern(", ".join(labels)) if labels else UNKNOWN
    return Row(source, answer, score, margin, meta=found.get("meta", {}))


def _json_lines(file: Any) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in file if line.strip())


def _json(file: Any) -> Iterator[dict[str, Any]]:
    found = json.load(file)
    if not isinstance(found, list):
        raise TypeError("it is no list")
    return iter(found)


def _csv(file: Any) -> Iterator[dict[str, Any]]:
    """Rows in the shape that JSON has."""
    reader = csv.DictReader(file, strict=True)
    fields = [name for name in reader.fieldnames or () if not COLUMN.fullmatch(name)]
    for cells in reader:
        if None in cells or cells["error"] is None:
            raise ValueError(f"a row has not as many cells as the header: {cells['source']!r}")
        ranking = []
        number = ""
        while cells.get(f"score{number}"):
            label = plain(cells[f"label{number}"])
            ranking.append({"label": label, "score": cells[f"score{number}"]})
            number = f"_{len(ranking) + 1}"
        yield {
            "source": plain(cells["source"]),
            "label": plain(cells["label"]),
            "ranking": ranking,
            "error": cells["error"],
            "meta": {name: plain(cells[name]) for name in fields if cells[name]},
        }


READERS = {".jsonl": _json_lines, ".csv": _csv, ".json": _json}


def harmless(cell: str) -> str:
    """A cell that a spreadsheet reads as text: `=HYPERLINK(…)` gets an apostrophe before it."""
    risky = cell.startswith(("\t", "\r")) or cell.lstrip().startswith(FORMULA_STARTS)
    return f"'{cell}" if risky else cell


def plain(cell: str) -> str:
    """What `harmless` was given; a cell that began with an apostrophe and = loses that, too."""
    return cell[1:] if cell.startswith("'") and harmless(cell[1:]) == cell else cell
