"""Sources and labels → a job: every picture in one shard, and all that determines its answer."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.classifier import Classifier, warn_if_alone
from unseen.errors import SourceError, StoreError
from unseen.jobs.job import FACTS, FORMAT, LABELS, Job, digest_of, require_parquet, write_generation
from unseen.jobs.key_set import KeySet
from unseen.jobs.shard import Entry, Shard
from unseen.jobs.stores.store import open_store
from unseen.labels.compiled import CompiledLabels
from unseen.prediction.calibration import Calibration
from unseen.prediction.calibration_file import AUTO, calibration_for
from unseen.prediction.decision import Decision
from unseen.prediction.predict import warn_undecided
from unseen.results.manifest import manifest
from unseen.sources.containers.container_file import size_of_container
from unseen.sources.containers.object_store import StoredObject
from unseen.sources.expand import expand, left_out
from unseen.sources.files import PATH_LENGTH
from unseen.sources.item import Source, Unreadable
from unseen.sources.local import local_path, size_of
from unseen.sources.registry import reader_of

if TYPE_CHECKING:
    from unseen.types import LabelsLike, TemplateLike

SHARD_PICTURES = 1000  # what a process that is killed loses, at most
TOP_LABELS = 5  # of a row

Planned = Callable[[int], None]  # called with how many pictures are planned


def plan(
    classifier: Classifier,
    sources: str | Path | Sequence[str | Path],
    job: str | Path,
    labels: LabelsLike | CompiledLabels | None = None,
    *,
    embed: bool = False,
    shard_pictures: int = SHARD_PICTURES,
    template: TemplateLike = None,
    background: Iterable[str] = (),
    multi_label: bool = False,
    top_k: int = TOP_LABELS,
    min_score: float | None = None,
    unknown: str | None = None,
    calibration: Calibration | str | Path | None = AUTO,
    progress: Planned | None = None,
) -> Job:
    """Plan a job: which pictures, and all that determines their answers.

    Sources are listed once, and streamed. The same pictures, labels and options give the same
    shards.

    Parameters
    ----------
    classifier : Classifier
        Its model, adapter and options are those of the job.
    sources : str, Path, or sequence of these
        Folders, globs, archives, tables, documents, addresses, paths of pictures.
    job : str or Path
        A folder that is not there yet or is empty, or an address such as s3://bucket/job.
    labels : labels, CompiledLabels, or None
        As `Classifier.compile` takes them. None: with `embed` embeddings only, else the labels of
        the adapter, or of the model.
    embed : bool
        Whether each row has the embedding.
    shard_pictures : int
        Pictures of a shard, at most.
    template, background, multi_label, min_score, unknown, calibration
        As in `Classifier.classify_many`.
    top_k : int
        The most labels of a row.
    progress : callable, optional
        Called with how many pictures are planned, now and then.

    Returns
    -------
    Job

    Raises
    ------
    StoreError
        If there is a job already, or the store cannot be written or does not publish once.
    SourceError
        If a source has no pictures, or is none that another process can open.
    LabelError
        If the labels or an option are invalid, or there are neither labels nor `embed`.
    MissingExtraError
        Without pyarrow, or the library of a store.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import unseen
    >>> from unseen.jobs.plan import plan
    >>> job = plan(unseen.load(), "examples/", Path(tempfile.mkdtemp(), "job"), ["cat", "dog"])
    >>> job.pictures, len(job.shards)
    (3, 1)
    """
    require_parquet()
    if shard_pictures < 1:
        raise SourceError(f"a shard has at least one picture, not {shard_pictures}.")
    store = open_store(job)
    if store.exists(FACTS):
        raise StoreError(f"{store.address}: there is a job already; give another folder.")
    compiled, decision = None, None
    if labels is not None or not embed:
        compiled = classifier.compile(labels, template=template, background=background)
        calibration = calibration_for(calibration, labels, compiled, multi_label=multi_label)
        decision = classifier.decision(multi_label, top_k, min_score, unknown, calibration)
        warn_if_alone(compiled, decision)
        warn_undecided(compiled, decision)
    facts = _facts(classifier, compiled, decision, embed)
    store.prepare()
    if compiled is not None:
        content = compiled.to_bytes()
        facts["labels_file_sha256"] = hashlib.sha256(content).hexdigest()
        store.write(LABELS, content)
    each = [sources] if isinstance(sources, (str, Path)) else [*sources]
    shards = _shards(each, shard_pictures, progress)
    generation = write_generation(store, 0, facts["answer_sha256"], shards)
    facts |= {
        "sources": [str(source) for source in each],
        "left_out": left_out(each),
        "plan": asdict(generation),
    }
    if not store.create(FACTS, json.dumps(facts, indent=1).encode()):
        raise StoreError(f"{store.address}: another process has planned a job here meanwhile.")
    return Job(store, facts, [generation])


def _facts(
    classifier: Classifier,
    compiled: CompiledLabels | None,
    decision: Decision | None,
    embed: bool,
) -> dict[str, Any]:
    """What `job.json` says, but for the plan."""
    encoder = classifier.encoder
    options = {
        **encoder.options.facts(),
        "limits": asdict(encoder.limits),
        "embed": embed,
    }
    if encoder.options.precision == "auto":
        options["precision"] = encoder.precision  # what it came to here is what all compute
    if compiled is not None and decision is not None:
        options |= {
            "multi": decision.multi_label,
            "top": decision.top_k,
            "min_score": decision.min_score,
            "unknown": None if decision.reference_set is None else "auto",
            "calibration": (
                None if decision.calibration is None else decision.calibration.to_data()
            ),
            "adapter": None if compiled.adapted is None else compiled.adapted.adapter,
        }
    made_by = manifest(encoder.model, compiled, options)
    answer = {
        "fingerprint": encoder.model.fingerprint,
        "preprocess": str(encoder.model.preprocess),
        "labels_sha256": made_by.get("labels_sha256"),
        "options": options,
    }
    answer = json.loads(json.dumps(answer))  # a tuple is a list there
    return {
        **made_by,
        "format": FORMAT,
        "answer": answer,
        "answer_sha256": digest_of(answer),
        "dimension": encoder.model.dimension,
        "weight_bytes": sum(
            size_of(str(Path(encoder.model.weights.folder) / name)) or 0
            for name in encoder.model.weights.files
        ),
        "base": str(Path.cwd()),
    }


def _shards(
    sources: Sequence[Any], size: int, progress: Planned | None
) -> Iterator[tuple[Shard, Sequence[Entry]]]:
    """All pictures, in order: a shard has no more than `size`, and those of one container."""
    keys, number = KeySet(), 0
    for container, entries in _runs(sources, size):
        repeated = set(keys.add([entry.key for entry in entries]))
        unique = [
            _renamed(entry, number + i) if i in repeated else entry
            for i, entry in enumerate(entries)
        ]
        shard = Shard("", number, len(unique), container=container, place=entries[0].place)
        if container is not None:
            shard = replace(shard, container_size=size_of_container(container))
        yield shard, unique
        number += len(unique)
        if progress is not None:
            progress(number)


def _renamed(entry: Entry, number: int) -> Entry:
    """A picture that is given twice has two rows, and each a key of its own."""
    return replace(entry, key=f"{entry.key}#entry={number}", source=entry.address)


def _runs(sources: Sequence[Any], size: int) -> Iterator[tuple[str | None, list[Entry]]]:
    run: list[Entry] = []
    before: str | None = None
    for container, entry in _entries(sources):
        if run and (container != before or len(run) == size):
            yield before, run
            run = []
        before = container
        run.append(entry)
    if run:
        yield before, run


def _entries(sources: Sequence[Any]) -> Iterator[tuple[str | None, Entry]]:
    """Every picture, with what must be opened to have it."""
    for source in sources:
        if isinstance(source, os.PathLike):
            source = os.fspath(source)
        if not isinstance(source, str):
            raise SourceError(
                f"{type(source).__name__}: a job is planned of paths and addresses, which other "
                "processes can open; write the pictures to files, an archive or a table first. "
                'A data set of Hugging Face: dataset.to_parquet("pictures.parquet").'
            )
        given = local_path(source)
        reader = reader_of(given)
        container = None if reader is None or reader.lists else given
        for place, item in enumerate(expand(given)):
            yield (
                container,
                _listed(item) if container is None else Entry(item.name, place=place),
            )


def _file_size(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - as a Path it takes twice the time
    except (OSError, ValueError):
        return None


def _listed(item: Source) -> Entry:
    """A picture that is opened by itself."""
    content = item.content
    if isinstance(content, Path):  # of a folder, which may have millions: straight to its size
        address = os.fspath(content)
        source = None if address == item.name else address
        return Entry(item.name, source, _file_size(address), meta=item.meta)
    if isinstance(content, Unreadable):
        return Entry(item.name, meta=item.meta, error=str(content.error))
    if isinstance(content, StoredObject):
        return Entry(item.name, size=content.size, etag=content.etag, meta=item.meta)
    address = os.fspath(content)
    if len(address) > PATH_LENGTH:
        error = f"{item.name}: a picture in the list itself is not planned; write it to a file."
        return Entry(item.name, meta=item.meta, error=error)
    source = None if address == item.name else address
    return Entry(item.name, source, size_of(address), meta=item.meta)
