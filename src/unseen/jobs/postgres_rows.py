"""The rows of a job → a table of PostgreSQL, which then answers searches."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.errors import SourceError
from unseen.jobs.export import Exported, check_done
from unseen.jobs.job import Job
from unseen.jobs.merged import merged
from unseen.jobs.shard import Entry, Shard
from unseen.postgres.loading import load_rows
from unseen.postgres.table import COLUMNS, DEFAULT_TABLE, ModelFacts, Table
from unseen.sources.local import SCHEME, local_path
from unseen.system.printable import escaped

if TYPE_CHECKING:
    from unseen.types import Floats


def export_to_postgres(
    job: Job,
    url: str,
    table: str = DEFAULT_TABLE,
    *,
    hnsw: bool = False,
    partial: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Put the rows of a job into a table, by their keys: all in one transaction, or none.

    Parameters
    ----------
    job : Job
        Planned with `embed`.
    url : str
        Of the database: ``postgresql://user@host/name``.
    table : str
        ``NAME`` or ``SCHEMA.NAME``; made where there is none. A row whose key is there replaces it.
    hnsw : bool
        Make an HNSW index of the embeddings, too: it makes searches of many rows fast.
    partial : bool
        Take what there is, where the job is not done.
    progress : callable, optional
        Called with how many rows are copied, and how many are planned.

    Returns
    -------
    Exported

    Raises
    ------
    SourceError
        If the job has no embeddings or is not done, or the address or the name is none.
    StoreError
        If the table has embeddings of another model; the database refuses something; or a part is
        damaged.
    MissingExtraError
        Without psycopg.
    """
    if not job.answer["options"]["embed"]:
        raise SourceError(
            f"{job.store.address}: the job has no embeddings; plan it with --embed for a table."
        )
    check_done(job, partial=partial)
    errors = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal errors
        done = 0
        for shard, part in merged(job):
            errors += part.num_rows - part.column("error_class").null_count
            done += part.num_rows
            yield from _rows(job, shard, part)
            if progress is not None:
                progress(done, job.pictures)

    count = load_rows(url, Table(table), facts_of(job), rows(), hnsw=hnsw)
    return Exported(count, job.pictures - count, errors)


def facts_of(job: Job) -> ModelFacts:
    """Which model makes the embeddings of a job."""
    options = job.answer["options"]
    return ModelFacts(
        model=job.facts["model"],
        revision=job.facts["revision"],
        fingerprint=job.answer["fingerprint"],
        preprocess=job.answer["preprocess"],
        precision=options["precision"],
        exact=options["exact"],
        dimension=job.facts["dimension"],
    )


def _rows(job: Job, shard: Shard, part: Any) -> Iterator[dict[str, Any]]:
    embeddings = _embeddings(part.column("embedding"))
    plain = part.select([name for name in part.schema.names if name in COLUMNS]).drop_columns(
        ["embedding"]
    )
    for entry, row, embedding in zip(
        job.entries(shard), plain.to_pylist(), embeddings, strict=True
    ):
        if row["metadata"] is not None:
            row["metadata"] = json.loads(row["metadata"])
        yield {**row, "embedding": embedding, "source": _file_of(job.base, shard, entry)}


def _embeddings(column: Any) -> list[Floats | None]:
    """The embeddings of a column, None for those that are missing."""
    array = column.combine_chunks()
    width = array.type.list_size
    numbers = iter(np.asarray(array.flatten()).reshape(-1, width))  # of those that are there alone
    return [next(numbers) if valid else None for valid in array.is_valid().to_pylist()]


def _file_of(base: Path, shard: Shard, entry: Entry) -> str | None:
    """The file that a picture is by itself; None where it is in a container, or elsewhere."""
    address = local_path(entry.address)
    if shard.container is not None or entry.error is not None or SCHEME.match(address):
        return None
    return escaped(os.path.join(base, address))  # noqa: PTH118 - as it was planned
