"""Writing predictions to a file, and going on with a file that an earlier run left.

JSON Lines and CSV grow by whole records, so that a run can go on with what a killed one left: only
the same model, labels and options do, as the manifest beside the file says. A JSON array and
Parquet, which nobody can read before its end is written, take their name when they are complete.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from unseen.errors import SourceError
from unseen.prediction.facets import FacetPrediction
from unseen.prediction.prediction import Prediction
from unseen.results.manifest import manifest_path, now, write_manifest
from unseen.results.parquet import ParquetRows
from unseen.results.records import READERS, Csv, FacetCsv, Format, JsonLines, csv_name, json_array
from unseen.results.summary import Progress, RunSummary, no_progress
from unseen.sources.item import Source
from unseen.system.cache import write_atomically
from unseen.system.locks import give_back, hold
from unseen.system.regular_file import read_text

if TYPE_CHECKING:
    from filelock import FileLock

GROWING = ("jsonl", "csv")  # formats that a run can go on with
# What must be the same to resume a run: the key of the manifest, and what the user calls it.
COMPARED = {"fingerprint": "model", "labels_sha256": "labels or templates", "options": "options"}


def check_output(path: Path, *, overwrite: bool) -> None:
    """SourceError, before any work, when `path` exists already or cannot be written."""
    if path.exists() and not overwrite:
        raise SourceError(f"{path} already exists; pass --overwrite or another name.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise unwritable(path, error) from None
    give_back(only_writer(path))


def only_writer(path: Path) -> FileLock:
    """The lock of an output, for `give_back`. SourceError when another run writes it, or none may.

    It ends with its process, however that ends.
    """
    try:
        lock = hold(path.with_name(f".{path.name}.lock"))
    except OSError as error:
        raise unwritable(path, error) from None
    if lock is None:
        raise SourceError(
            f"{path}: another run is writing it; wait until it has ended, or give another file."
        )
    return lock


@contextmanager
def writing_alone(path: Path) -> Iterator[None]:
    """The block alone writes `path`. SourceError when another run does."""
    lock = only_writer(path)
    try:
        yield
    finally:
        give_back(lock)


def check_resumable(path: Path, kind: str, *, resume: bool, overwrite: bool) -> None:
    """SourceError, before any work, for a result file that must not, or cannot, be written."""
    if resume and overwrite:
        raise SourceError("give one of --resume and --overwrite.")
    if resume and kind not in GROWING:
        raise SourceError("--resume needs a file: -o out.jsonl, -o out.csv or --csv out.csv.")
    if path.parent.is_dir():
        give_back(only_writer(path))
    if path.exists() and not path.is_file():
        raise SourceError(f"{path}: this is not a file; choose another name for the output.")
    if path.exists() and not overwrite and not resume:
        resuming = "--resume goes on with it, " if kind in GROWING else ""
        raise SourceError(f"{path} already exists; {resuming}--overwrite replaces it.")
    check_output(path, overwrite=True)


def kind_of(path: Path) -> str:
    """The format of a file by its suffix: json, jsonl, csv or parquet. SourceError for another."""
    if path.suffix.lower() not in READERS:
        raise SourceError(f"{path}: predictions are written as .json, .jsonl, .csv or .parquet.")
    return path.suffix.lower().removeprefix(".")


def unwritable(path: Path | None, error: OSError) -> SourceError:
    """The error of an output, in words."""
    name = "standard output" if path is None else path
    return SourceError(f"{name}: it cannot be written: {error.strerror or error}.")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An OSError in the block becomes a SourceError: `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from None


class ResultFile:
    """A file that takes predictions, with the manifest beside it that says what made them.

    `kind`: json, jsonl, csv or parquet; None: as the suffix says. `top`, `extra`, `fields`: columns
    of a CSV; `facets`: those of several label sets, each with its extra ones. `manifest` gets in
    `kept` which earlier runs made rows that are there. Raises SourceError when the file must not be
    written, or when another model, other labels or options made its rows.
    """

    def __init__(
        self,
        path: Path,
        kind: str | None = None,
        *,
        manifest: dict[str, Any] | None = None,
        top: int = 1,
        extra: tuple[str, ...] = (),
        fields: tuple[str, ...] = (),
        facets: Mapping[str, tuple[str, ...]] | None = None,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.path, self.kind = path, kind or kind_of(path)
        check_resumable(path, self.kind, resume=resume, overwrite=overwrite)
        self._lock = only_writer(path)
        self.manifest = manifest
        self.done: Counter[str] = Counter()  # rows of earlier runs, by `key`, that are not met yet
        self._records: list[dict[str, Any]] = []
        table = Csv(top, extra, fields) if facets is None else FacetCsv(facets, top, fields)
        self._format: Format = table if self.kind == "csv" else JsonLines()
        self._file: Any = None
        self._draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        self._rows: ParquetRows | None = None
        try:
            if self.kind in GROWING:
                self._begin(resume)
            elif self.kind == "parquet":
                self._rows = ParquetRows(self._draft, facets)
        except BaseException as error:
            give_back(self._lock)
            if isinstance(error, OSError):
                raise unwritable(path, error) from None
            raise
        self.earlier = self.done.total()

    def key(self, source: str) -> str:
        """What the file calls a source."""
        return csv_name(source) if self.kind == "csv" else source

    def remaining(self, sources: Iterable[Source]) -> Iterator[Source]:
        """The sources without a row; one that is given twice has two."""
        return (source for source in sources if self.is_new(source.name))

    def is_new(self, name: str) -> bool:
        """Whether a picture has no row of an earlier run; its row counts for one picture."""
        key = self.key(name)
        if self.done[key] <= 0:
            return True
        self.done[key] -= 1
        return False

    def write(self, prediction: Prediction | FacetPrediction) -> None:
        """Add a record, handed to the system at once. SourceError."""
        if self.kind == "json":
            self._records.append(prediction.to_dict())
            return
        if self._rows is not None:
            with writing(self.path):
                self._rows.write(prediction)
            return
        self._write_text(self._format.line(prediction))

    def close(self) -> None:
        """Give the file back; its manifest still says that the run did not end."""
        if self._file is not None:
            self._file.close()
        if self._rows is not None:
            with suppress(OSError):  # a disk that is full
                self._rows.close()
            self._draft.unlink(missing_ok=True)
        give_back(self._lock)

    def finish(self, summary: RunSummary, facts: Mapping[str, Any]) -> None:
        """Close the file and complete its manifest. SourceError."""
        try:
            self._complete(summary, facts)
        finally:
            self.close()

    def _complete(self, summary: RunSummary, facts: Mapping[str, Any]) -> None:
        try:
            if self.kind == "json":
                text = json_array(self._records)
                write_atomically(self.path, text.encode("utf-8", "backslashreplace"))
            elif self._rows is not None:
                self._rows.close()
                self._rows = None
                self._draft.replace(self.path)
        except OSError as error:
            raise unwritable(self.path, error) from None
        if self.manifest is None:
            return
        earlier = self.manifest.get("kept", {})
        self.manifest |= {
            **facts,
            "pictures": earlier.get("pictures", 0) + summary.pictures,
            "errors": earlier.get("errors", 0) + summary.errors,
            "complete": summary.complete,
            "summary": summary.to_dict(),
            "ended": now(),
        }
        try:
            write_manifest(self.path, self.manifest)
        except OSError as error:
            raise unwritable(manifest_path(self.path), error) from None

    def _write_text(self, text: str) -> None:
        # A file name need not be UTF-8; in JSON its odd bytes become escapes that read back.
        rest = text.encode("utf-8", "backslashreplace")
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise unwritable(self.path, error) from None

    def _begin(self, resume: bool) -> None:
        if self.path.exists() and resume:
            before = {} if self.manifest is None else self._earlier_manifest(self.manifest)
            failed = self._read_done()
            if self.manifest is not None:
                earlier = {key: before[key] for key in ("started", "versions") if key in before}
                self.manifest["kept"] = {
                    "pictures": self.done.total(),
                    "errors": failed,
                    "runs": [*before.get("kept", {}).get("runs", []), earlier],
                }
        else:
            self.path.unlink(missing_ok=True)
        if self.manifest is not None:
            write_manifest(self.path, self.manifest)
        elif not resume:
            manifest_path(self.path).unlink(missing_ok=True)  # it was of the file that is gone
        self._file = self.path.open("ab", buffering=0)
        if self.path.stat().st_size == 0:
            self._write_text(self._format.header)

    def _earlier_manifest(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """The manifest of the earlier run, when that was the same."""
        these = json.loads(json.dumps(manifest))  # a tuple is a list there
        beside = manifest_path(self.path)
        try:
            before: dict[str, Any] = json.loads(read_text(beside))
            changed = [name for key, name in COMPARED.items() if before[key] != these[key]]
        except (OSError, ValueError, KeyError, TypeError):
            raise SourceError(
                f"{beside} is missing or damaged, so nobody knows what made {self.path}; "
                "--overwrite replaces it."
            ) from None
        if changed:
            raise SourceError(
                f"{self.path} was made with another model, other labels, templates or options "
                f"(here: {', '.join(changed)}); --overwrite replaces it, or give another file."
            )
        return before

    def _read_done(self) -> int:
        """Count the sources of whole records → how many are errors; half a record at the end is
        cut off, to be done again."""
        end = failed = 0
        header: list[str] | None = None
        with self.path.open("rb+") as file:
            for record in _whole_records(file, quoted=self.kind == "csv"):
                cells = self._parse(record, header)
                if self.kind == "csv" and header is None:
                    header = list(cells)
                else:
                    self.done[str(cells["source"])] += 1
                    failed += bool(cells.get("error"))
                end += len(record)
            file.truncate(end)
        return failed

    def _parse(self, record: bytes, header: list[str] | None) -> dict[str, Any]:
        """A record by its columns or keys; of the header of a CSV, its columns."""
        try:
            text = record.decode("utf-8")
            if self.kind == "jsonl":
                fields: dict[str, Any] = dict(json.loads(text))
            else:
                cells = next(csv.reader(io.StringIO(text, newline="")))
                fields = dict(zip(cells if header is None else header, cells, strict=False))
            fields["source"]
        except (ValueError, KeyError, TypeError, StopIteration, csv.Error):
            raise SourceError(
                f"{self.path}: this line was not written by classify: {record[:60]!r}; "
                "--overwrite replaces the file."
            ) from None
        return fields


def _whole_records(file: Any, *, quoted: bool) -> Iterator[bytes]:
    """Whole lines; with `quoted`, those that a line break inside quotes parts are put together."""
    record = b""
    for line in file:
        record += line
        if line.endswith(b"\n") and not (quoted and record.count(b'"') % 2):
            yield record
            record = b""


def write(
    predictions: Iterable[Prediction],
    path: str | Path,
    *,
    manifest: Mapping[str, Any] | None = None,
    top_k: int = 1,
    extra: Iterable[str] = (),
    fields: Iterable[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> RunSummary:
    """Write predictions to a file, while they come.

    Parameters
    ----------
    predictions : iterable of Prediction
        What `Classifier.classify_many` gives, for example.
    path : str or Path
        A .jsonl, .csv, .json or .parquet file. The first two are written a whole record at a time.
    manifest : mapping, optional
        What made the predictions, from `unseen.results.manifest.manifest`; it is written to
        ``path.run.json``, and a resumed file must have the same model, labels and options.
    top_k : int
        How many labels a row of a CSV file has.
    extra : iterable of str
        More columns of a CSV file: ``likely``, ``evidence``.
    fields : iterable of str
        Keys of the metadata that are columns of a CSV file, too. JSON holds all metadata.
    resume : bool
        Go on with a .jsonl or .csv file: predictions that it holds already are left out.
    overwrite : bool
        Replace a file that exists.
    progress : callable
        Called when it begins and after each prediction.

    Returns
    -------
    RunSummary
        How many predictions were written, how many are errors, how many were there already.

    Raises
    ------
    SourceError
        If the file exists already, cannot be written, or was made by another model, other labels
        or other options.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import unseen
    >>> from unseen.results import write
    >>> path = Path(tempfile.mkdtemp(), "answers.csv")
    >>> answers = [unseen.Prediction("a.jpg", (unseen.Scored("cat", 0.9, 0.3),))]
    >>> write(answers, path).pictures
    1
    >>> print(path.read_text(), end="")
    source,label,score,unknown,error
    a.jpg,cat,0.900000,false,
    """
    file = ResultFile(
        Path(path),
        manifest=None if manifest is None else dict(manifest),
        top=top_k,
        extra=tuple(extra),
        fields=tuple(fields),
        resume=resume,
        overwrite=overwrite,
    )
    new = (prediction for prediction in predictions if file.is_new(prediction.source))
    return write_all(new, file, progress=progress)


class Writer(Protocol):
    """Takes predictions one at a time."""

    def write(self, prediction: Any) -> None:
        """Take one: a Prediction, or a FacetPrediction where there are several label sets."""

    def close(self) -> None:
        """There are no more."""


def write_all(
    predictions: Iterable[Prediction | FacetPrediction],
    output: Writer,
    *,
    facts: Callable[[], Mapping[str, Any]] = dict,
    left_out: Mapping[str, int] | None = None,
    progress: Progress = no_progress,
) -> RunSummary:
    """Give predictions to an output. `facts`: more for the manifest, known when they are made.
    `left_out`: of the summary.

    When it is interrupted, what was done is kept, and the manifest says that it is not complete.
    """
    file = output if isinstance(output, ResultFile) else None
    summary = RunSummary() if file is None else RunSummary(file.path, earlier=file.earlier)
    summary.left_out = left_out or {}
    started = time.perf_counter()

    def end(complete: bool) -> None:
        summary.seconds = time.perf_counter() - started
        summary.complete = complete
        if file is None:
            output.close()
        else:
            file.finish(summary, facts() if summary.pictures else {})

    try:
        progress(summary)
        for prediction in predictions:
            output.write(prediction)
            summary.count(prediction.source, prediction.error, listed=False)
            if prediction.ok:
                _count_answer(summary, prediction)
            progress(summary)
    except KeyboardInterrupt:
        end(complete=False)
        raise
    except BaseException:
        if file is not None:
            file.close()
        raise
    end(complete=True)
    return summary


def _count_answer(summary: RunSummary, prediction: Prediction | FacetPrediction) -> None:
    """Of several label sets each answer counts; a picture is unknown where all of them are."""
    if isinstance(prediction, Prediction):
        summary.answer(prediction.label)
        return
    answers = [f"{name}: {label}" for name, label in prediction.labels.items() if label is not None]
    if not answers:
        summary.answer(None)
    for answer in answers:
        summary.answer(answer)
