"""The rows of a whole job, in the order of its plan: a retry takes the place of what it tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unseen.jobs.job import Job
from unseen.jobs.receipt import read_part
from unseen.jobs.shard import Shard


def merged(job: Job, columns: list[str] | None = None) -> Iterator[tuple[Shard, Any]]:
    """The rows of each shard of the plan, a table each; shards without a part are left out.

    Parameters
    ----------
    job : Job
        What was planned.
    columns : list of str, optional
        Of the rows. None: all.

    Yields
    ------
    tuple of (Shard, pyarrow.Table)

    Raises
    ------
    StoreError
        If a part or the plan is damaged.
    """
    published = job.parts()
    retries = [
        _Retry(job, [shard for shard in job.shards if shard.generation == one.number], columns)
        for one in job.generations[1:]
    ]
    for shard in job.shards:
        if shard.generation or shard.id not in published:
            continue
        table = read_part(job, shard, columns)[1]
        for retry in retries:
            table = retry.applied(shard, table)
        yield shard, table


class _Retry:
    """The rows of one retry, in the order of the plan, a shard at a time in memory."""

    def __init__(self, job: Job, shards: Sequence[Shard], columns: list[str] | None) -> None:
        self._job, self._columns = job, columns
        published = job.parts()
        self._shards = iter([shard for shard in shards if shard.id in published])
        self._numbers: list[int] = []
        self._table: Any = None
        self._position = 0

    def applied(self, shard: Shard, table: Any) -> Any:
        """The rows of a shard of the plan, with those that were tried again in their place."""
        import pyarrow as pa  # noqa: PLC0415 - an extra

        indices = np.arange(table.num_rows)
        pieces, length = [table], table.num_rows
        while (number := self._next()) is not None and number < shard.number + shard.count:
            if number >= shard.number:  # else its shard of the plan has no part
                indices[number - shard.number] = length
                pieces.append(self._table.slice(self._position, 1))
                length += 1
            self._position += 1
        return table if len(pieces) == 1 else pa.concat_tables(pieces).take(pa.array(indices))

    def _next(self) -> int | None:
        """The number in the plan of the next row; None at the end."""
        while self._position == len(self._numbers):
            shard = next(self._shards, None)
            if shard is None:
                return None
            self._numbers = [entry.number for entry in self._job.entries(shard)]
            self._table = read_part(self._job, shard, self._columns)[1]
            self._position = 0
        return self._numbers[self._position]
