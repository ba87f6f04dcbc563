"""Where predictions go, and going on with a file that an earlier run left.

Beside a JSON lines or CSV file lies NAME.run.json, which says what made it: only the same model,
labels and options go on with it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unseen.cache import write_atomically
from unseen.cli.output import (
    CsvWriter,
    JsonLinesWriter,
    JsonWriter,
    Lines,
    TableWriter,
    Writer,
    csv_name,
    unwritable,
)
from unseen.errors import SourceError

# What must be the same to go on, and what the user calls it.
COMPARED = {"fingerprint": "model", "labels_sha256": "labels or templates", "options": "options"}


def made_by(model: Any, compiled: Any, options: dict[str, Any]) -> dict[str, Any]:
    """What makes a row what it is, for NAME.run.json."""
    # Of the words, not of the matrix: its last bits depend on how prompts were batched.
    words = [
        {**asdict(label), "prompts": own}
        for label, own in zip(compiled.labels, compiled.prompts, strict=True)
    ]
    return {
        "model": model.name,
        "fingerprint": model.fingerprint,
        "labels": [label.name for label in compiled.labels],
        "labels_sha256": hashlib.sha256(json.dumps(words).encode()).hexdigest(),
        "options": options,
    }


def prepare(path: Path, *, overwrite: bool) -> None:
    """SourceError, before any work, when `path` is there already or cannot be written."""
    if path.exists() and not overwrite:
        raise SourceError(f"{path} is there already: --overwrite, or another name?")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise unwritable(path, error) from None


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
        if given and given[0].path is not None:
            raise SourceError(f"give one of --csv {given[0].path} and -o {output}.")
        kind = given[0].format if given else output.suffix.lower().removeprefix(".")
        if kind not in ("json", "jsonl", "csv"):
            raise SourceError(f"{output}: predictions are written as .json, .jsonl or .csv.")
        return cls(kind, output)

    @property
    def manifest(self) -> Path | None:
        return self.path and self.path.with_name(self.path.name + ".run.json")

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """SourceError, before any work, when the file cannot be written or must not be."""
        if resume and overwrite:
            raise SourceError("give one of --resume and --overwrite.")
        if resume and (self.path is None or self.format == "json"):
            raise SourceError("--resume needs a file: -o out.jsonl, -o out.csv or --csv out.csv.")
        if self.path is None:
            return
        if self.path.exists() and not overwrite and not resume:
            gone_on = "" if self.format == "json" else "--resume goes on with it, "
            raise SourceError(f"{self.path} is there already: {gone_on}--overwrite begins it anew.")
        prepare(self.path, overwrite=True)

    def finished(self, makers: dict[str, Any], *, resume: bool) -> Counter[str]:
        """The rows that an earlier run finished, by `key`; makes the file ready to be gone on with.

        SourceError when another model, other labels or other options made them.
        """
        done: Counter[str] = Counter()
        if self.path is None or self.manifest is None or self.format == "json":
            return done
        try:
            if self.path.exists() and resume:
                self._same(self.manifest, makers)
                done = self._read_done(self.path)
            else:
                self.path.unlink(missing_ok=True)
            content = json.dumps(makers, ensure_ascii=False, indent=1)
            write_atomically(self.manifest, content.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise unwritable(self.path, error) from None
        return done

    def _same(self, manifest: Path, makers: dict[str, Any]) -> None:
        try:
            before: dict[str, Any] = json.loads(manifest.read_text("utf-8"))
            changed = [name for key, name in COMPARED.items() if before[key] != makers[key]]
        except (OSError, ValueError, KeyError, TypeError):
            raise SourceError(
                f"{manifest} is missing or damaged, so nobody knows what made {self.path}; "
                "--overwrite begins it anew."
            ) from None
        if changed:
            raise SourceError(
                f"{self.path} was made with another model, other labels, templates or options "
                f"(here: {', '.join(changed)}); --overwrite begins it anew, or give another file."
            )

    def key(self, source: str) -> str:
        """What the file calls a source."""
        return csv_name(source) if self.format == "csv" else source

    def _read_done(self, path: Path) -> Counter[str]:
        """The sources of whole records; half of one at the end is cut off, to be done again."""
        done: Counter[str] = Counter()
        end = 0
        with path.open("rb+") as file:
            for record in _records(file, quoted=self.format == "csv"):
                source = self._source(path, record)
                if not (self.format == "csv" and end == 0):  # the header
                    done[source] += 1
                end += len(record)
            file.truncate(end)
        return done

    def _source(self, path: Path, record: bytes) -> str:
        try:
            text = record.decode("utf-8")
            if self.format == "jsonl":
                return str(json.loads(text)["source"])
            return next(csv.reader(io.StringIO(text, newline="")))[0]
        except (ValueError, KeyError, TypeError, IndexError, StopIteration, csv.Error):
            raise SourceError(
                f"{path}: this line is none of ours: {record[:60]!r}; --overwrite begins it anew."
            ) from None

    def writer(self, *, single: bool, top: int) -> Writer:
        """Opens the file at its end, or takes standard output."""
        if self.format == "table":
            return TableWriter(sys.stdout, single)
        if self.format == "json":
            return JsonWriter(self.path)
        fresh = self.path is None or not self.path.exists() or self.path.stat().st_size == 0
        lines = Lines(self.path)
        return CsvWriter(lines, top, fresh) if self.format == "csv" else JsonLinesWriter(lines)


def _records(file: Any, *, quoted: bool) -> Iterator[bytes]:
    """Whole lines; with `quoted`, those that a line break inside quotes parts are put together."""
    record = b""
    for line in file:
        record += line
        if line.endswith(b"\n") and not (quoted and record.count(b'"') % 2):
            yield record
            record = b""
