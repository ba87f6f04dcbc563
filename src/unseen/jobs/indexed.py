"""The rows of a job → the index of a folder, which then need not encode these files again."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unseen.errors import SourceError, StoreError
from unseen.index.exchange.embeddings import EncodedFile, add_embeddings
from unseen.index.index import Index
from unseen.index.model_rows import EXACT
from unseen.jobs.job import Job
from unseen.jobs.merged import merged
from unseen.jobs.shard import Shard
from unseen.sources.local import local_path
from unseen.system.digest import file_chunks, sha256
from unseen.system.locks import locked

COLUMNS = ["sha256", "width", "height", "embedding", "error", "error_class"]


@dataclass(frozen=True)
class Indexed:
    """What came into an index.

    Parameters
    ----------
    files : int
        That have a row in it.
    left_out : int
        Pictures that are no files below the folder, have changed since, or could not be read.
    """

    files: int
    left_out: int


def export_to_index(
    job: Job, folder: str | Path, *, progress: Callable[[int, int], None] | None = None
) -> Indexed:
    """Put the embeddings of a job into the index of a folder, which is made where there is none.

    Parameters
    ----------
    job : Job
        Planned with `embed`. Shards that are not done are left out.
    folder : str or Path
        Above the pictures. Each is read again, so that one that has changed is left out.
    progress : callable, optional
        Called with how many rows were looked at, and how many are planned.

    Returns
    -------
    Indexed

    Raises
    ------
    SourceError
        If the job has no embeddings, or the folder is not there.
    StoreError
        If the index cannot be written, or a part is damaged.
    """
    options = job.answer["options"]
    if not options["embed"]:
        raise SourceError(
            f"{job.store.address}: the job has no embeddings; plan it with --embed for an index."
        )
    with Index(folder) as index:
        key = (
            job.answer["fingerprint"],
            job.answer["preprocess"] + (EXACT if options["exact"] else ""),
            options["precision"],
        )
        seen = 0

        def batches() -> Iterator[list[EncodedFile]]:
            nonlocal seen
            for shard, table in merged(job, COLUMNS):
                files = [] if shard.container is not None else _files(job, index.root, shard, table)
                seen += table.num_rows
                yield files
                if progress is not None:
                    progress(seen, job.pictures)

        try:
            with locked(index.folder / "update.lock", str(index.file)):
                count = add_embeddings(
                    index.database,
                    index.root,
                    job.facts["model"],
                    job.facts["revision"],
                    key,
                    job.facts["dimension"],
                    batches(),
                )
        except sqlite3.OperationalError as error:
            raise StoreError(f"{index.file}: cannot be written: {error}.") from None
    return Indexed(count, job.pictures - count)


def _files(job: Job, root: Path, shard: Shard, table: Any) -> list[EncodedFile]:
    rows = table.to_pylist()
    files = (
        _file(job.base / local_path(entry.address), root, row)
        for entry, row in zip(job.entries(shard), rows, strict=True)
    )
    return [file for file in files if file is not None]


def _file(path: Path, root: Path, row: dict[str, Any]) -> EncodedFile | None:
    """None for what is no file below the folder, or is another by now."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are named
    changed = row["sha256"] is None or row["error_class"] == "ChangedError"
    if changed or not path.is_relative_to(root):
        return None
    try:
        stat = path.stat()
        digest = sha256(file_chunks(path))
    except OSError:
        return None
    if digest.hex() != row["sha256"]:
        return None
    embedding = row["embedding"]
    return EncodedFile(
        path,
        digest,
        stat.st_size,
        stat.st_mtime_ns,
        row["width"],
        row["height"],
        None if embedding is None else np.array(embedding, dtype="<f2").tobytes(),
        row["error"],
    )
