"""Whether every planned picture has exactly one row, and every part is what was published."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from unseen.errors import StoreError
from unseen.jobs.job import PART_SUFFIX, PARTS, Job, part_name
from unseen.jobs.receipt import read_part, read_receipt
from unseen.jobs.rows import ANSWER_KEY, SHARD_KEY, schema_of
from unseen.jobs.shard import Shard
from unseen.system.printable import escaped

SHOWN = 20  # problems, for people


@dataclass
class Verification:
    """What was found.

    Parameters
    ----------
    pictures : int
        Planned pictures that have their row.
    planned : int
        All planned pictures.
    missing : int
        Shards without a part, whose pictures have no row yet.
    problems : list of str
        What is wrong with a part, a sentence each.
    """

    pictures: int = 0
    planned: int = 0
    missing: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every planned key is there once, and nothing else."""
        return not self.missing and not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        Returns
        -------
        dict
        """
        return {
            "ok": self.ok,
            "pictures": self.pictures,
            "planned": self.planned,
            "missing_shards": self.missing,
            "problems": self.problems,
        }

    def __str__(self) -> str:
        lines = [f"{self.pictures:,} of {self.planned:,} planned pictures have their row, once"]
        if self.missing:
            lines.append(f"{self.missing:,} shards are not done: unseen job run")
        lines += self.problems[:SHOWN]
        more = len(self.problems) - SHOWN
        return "\n".join([*lines, *([f"and {more:,} more problems"] if more > 0 else [])])


def verify(job: Job, *, progress: Callable[[int, int], None] | None = None) -> Verification:
    """Read every part, and hold it against the plan and its receipt.

    Parameters
    ----------
    job : Job
        What was planned.
    progress : callable, optional
        Called with how many shards were looked at, and how many there are.

    Returns
    -------
    Verification
        It finds a part that is missing, cut, altered, twice there, or of another job.

    Raises
    ------
    StoreError
        If the plan is damaged, or the store cannot be read.
    """
    result = Verification(planned=job.pictures)
    shards = job.shards
    expected = {f"{shard.id}{PART_SUFFIX}" for shard in shards}
    for name in sorted(job.store.names(PARTS)):
        if name not in expected:
            result.problems.append(f"{PARTS}/{name} belongs to no shard of this job.")
    for number, shard in enumerate(shards, 1):
        problem = _problem(job, shard)
        if problem == "":
            result.pictures += shard.count if shard.generation == 0 else 0
        elif problem is None:
            result.missing += 1
        else:
            result.problems.append(problem)
        if progress is not None:
            progress(number, len(shards))
    return result


def _problem(job: Job, shard: Shard) -> str | None:
    """What is wrong with the part of a shard; "" where nothing is, None where there is no part."""
    name = part_name(shard)
    entries = job.entries(shard)  # also where there is no part: a plan that is damaged is an error
    try:
        receipt = read_receipt(job, shard.id)
    except StoreError as error:
        return str(error)
    try:
        content, table = read_part(job, shard)
    except FileNotFoundError:
        return None if receipt is None else f"{name} was removed."
    except StoreError as error:
        return str(error)
    metadata = table.schema.metadata or {}
    if metadata.get(SHARD_KEY) != shard.id.encode():
        return f"{name} is the part of another shard: {metadata.get(SHARD_KEY, b'?').decode()}."
    if metadata.get(ANSWER_KEY) != job.answer_sha256.encode():
        return f"{name} was made with another model, labels or options."
    if receipt is not None and hashlib.sha256(content).hexdigest() != receipt.sha256:
        return f"{name} was altered: its bytes are not those that were published."
    if not table.schema.equals(schema_of(job.facts, shard.id)):
        return f"{name} has other columns than were planned."
    if table.column("key").to_pylist() != [escaped(entry.key) for entry in entries]:
        return f"{name} does not have the planned keys, each once and in their order."
    return ""
