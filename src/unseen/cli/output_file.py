"""Where predictions go, and going on with a file that an earlier run left.

Beside it lies NAME.run.json, which says what made it (unseen/runs.py): only the same model, labels
and options go on with a JSON lines or CSV file.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from unseen.results.manifest import manifest_path, now, write_manifest

# What must be the same to go on, and what the user calls it.
COMPARED = {"fingerprint": "model", "labels_sha256": "labels or templates", "options": "options"}


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
        return self.path and manifest_path(self.path)

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

        `makers` is written beside it, and gets in `kept` which earlier runs made these rows.
        SourceError when another model, other labels or other options made them.
        """
        done: Counter[str] = Counter()
        if self.path is None or self.manifest is None or self.format == "json":
            return done
        try:
            if self.path.exists() and resume:
                before = self._same(self.manifest, makers)
                done, failed = self._read_done(self.path)
                earlier = {key: before[key] for key in ("started", "versions") if key in before}
                makers["kept"] = {
                    "pictures": done.total(),
                    "errors": failed,
                    "runs": [*before.get("kept", {}).get("runs", []), earlier],
                }
            else:
                self.path.unlink(missing_ok=True)
            self._write_manifest(makers)
        except OSError as error:
            raise unwritable(self.path, error) from None
        return done

    def ended(self, makers: dict[str, Any], pictures: int, errors: int, *, complete: bool) -> None:
        """Completes the manifest: how many rows there are, those kept included."""
        if self.path is None:
            return
        kept = makers.get("kept", {})
        makers["pictures"] = kept.get("pictures", 0) + pictures
        makers["errors"] = kept.get("errors", 0) + errors
        makers["complete"] = complete
        makers["ended"] = now()
        try:
            self._write_manifest(makers)
        except OSError as error:
            raise unwritable(self.manifest, error) from None

    def _write_manifest(self, makers: dict[str, Any]) -> None:
        assert self.path is not None
        write_manifest(self.path, makers)

    def _same(self, manifest: Path, makers: dict[str, Any]) -> dict[str, Any]:
        """The manifest of the earlier run, when it is of the same."""
        these = json.loads(json.dumps(makers))  # a tuple is a list there
        try:
            before: dict[str, Any] = json.loads(manifest.read_text("utf-8"))
            changed = [name for key, name in COMPARED.items() if before[key] != these[key]]
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
        return before

    def key(self, source: str) -> str:
        """What the file calls a source."""
        return csv_name(source) if self.format == "csv" else source

    def _read_done(self, path: Path) -> tuple[Counter[str], int]:
        """The sources of whole records, and how many are errors; half of one at the end is cut
        off, to be done again."""
        done: Counter[str] = Counter()
        end = failed = 0
        with path.open("rb+") as file:
            for record in _records(file, quoted=self.format == "csv"):
                source, error = self._source(path, record)
                if not (self.format == "csv" and end == 0):  # the header
                    done[source] += 1
                    failed += bool(error)
                end += len(record)
            file.truncate(end)
        return done, failed

    def _source(self, path: Path, record: bytes) -> tuple[str, str | None]:
        """The source of a record, and its error if it is one."""
        try:
            text = record.decode("utf-8")
            if self.format == "jsonl":
                row = json.loads(text)
                return str(row["source"]), row.get("error")
            cells = next(csv.reader(io.StringIO(text, newline="")))
            return cells[0], cells[4] if len(cells) > 4 else None
        except (ValueError, KeyError, TypeError, IndexError, StopIteration, csv.Error):
            raise SourceError(
                f"{path}: this line is none of ours: {record[:60]!r}; --overwrite begins it anew."
            ) from None

    def writer(
        self,
        *,
        single: bool,
        top: int,
        more: Sequence[str] = (),
        fields: Sequence[str] = (),
        coverage: float | None = None,
    ) -> Writer:
        """Opens the file at its end, or takes standard output. `more`, `fields`: columns of a CSV;
        `coverage`: of likely labels."""
        if self.format == "table":
            return TableWriter(sys.stdout, single, coverage)
        if self.format == "json":
            return JsonWriter(self.path)
        fresh = self.path is None or not self.path.exists() or self.path.stat().st_size == 0
        lines = Lines(self.path)
        if self.format == "csv":
            return CsvWriter(lines, top, fresh, more, fields)
        return JsonLinesWriter(lines)


def _records(file: Any, *, quoted: bool) -> Iterator[bytes]:
    """Whole lines; with `quoted`, those that a line break inside quotes parts are put together."""
    record = b""
    for line in file:
        record += line
        if line.endswith(b"\n") and not (quoted and record.count(b'"') % 2):
            yield record
            record = b""
