"""What is known of a part without opening it: its digest, its rows, its errors."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unseen.errors import StoreError
from unseen.jobs.job import RECEIPT_SUFFIX, RECEIPTS, Job, part_name
from unseen.jobs.shard import Shard
from unseen.system.digest import file_chunks, sha256


@dataclass(frozen=True)
class Receipt:
    """What stands beside a part.

    Parameters
    ----------
    rows : int
        Of the part.
    sha256 : str
        Of its bytes.
    bytes : int
        How many these are.
    errors : dict of str to int
        Class of error → rows.
    seconds : float
        How long it took. 0: whoever made it did not live to say so.
    runner : str
        Who made it, for people.
    """

    rows: int
    sha256: str
    bytes: int
    errors: dict[str, int] = field(default_factory=dict, hash=False)
    seconds: float = 0.0
    runner: str = ""


def receipt_name(shard: str) -> str:
    """Where the receipt of a shard lies, by its id."""
    return f"{RECEIPTS}/{shard}{RECEIPT_SUFFIX}"


def receipt_of(
    part: Path, errors: Counter[str], rows: int, seconds: float = 0.0, runner: str = ""
) -> Receipt:
    """The receipt of a part that lies here. OSError."""
    digest = sha256(file_chunks(part)).hex()
    return Receipt(rows, digest, part.stat().st_size, dict(errors), seconds, runner)


def write_receipt(job: Job, shard: Shard, receipt: Receipt) -> None:
    """Publish a receipt; the first of a part stays. StoreError."""
    job.store.create(receipt_name(shard.id), json.dumps(asdict(receipt)).encode())


def read_receipt(job: Job, shard: str) -> Receipt | None:
    """The receipt of a shard; None where there is none. StoreError where it is damaged."""
    name = receipt_name(shard)
    try:
        receipt = Receipt(**json.loads(job.store.read(name)))
        if not (
            all(isinstance(count, int) for count in (receipt.rows, receipt.bytes))
            and isinstance(receipt.errors, dict)
            and all(isinstance(count, int) for count in receipt.errors.values())
            and isinstance(receipt.seconds, (int, float))
            and isinstance(receipt.runner, str)
        ):
            raise ValueError("a value of another type")
        return receipt
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, RecursionError):
        raise StoreError(f"{job.store.address}: {name} is damaged; delete it.") from None


def missing_receipt(job: Job, shard: Shard) -> Receipt:
    """The receipt of a part whose runner died before it wrote one; it is written where that can be.

    StoreError where the part is damaged.
    """
    part, table = read_part(job, shard, columns=["error_class"])
    classes: Counter[str] = Counter(
        name for name in table.column("error_class").to_pylist() if name is not None
    )
    receipt = Receipt(table.num_rows, hashlib.sha256(part).hexdigest(), len(part), dict(classes))
    with suppress(StoreError):  # whoever only looks need not be allowed to write
        write_receipt(job, shard, receipt)
    return receipt


def read_part(job: Job, shard: Shard, columns: list[str] | None = None) -> tuple[bytes, Any]:
    """The bytes of a part, and its table. FileNotFoundError; StoreError where it is damaged."""
    import pyarrow as pa  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415

    content = job.store.read(part_name(shard))
    try:
        # In this thread: those of a pool may still run when a short command ends, which aborts it.
        table = parquet.read_table(
            pa.BufferReader(content), columns=columns, use_threads=False, pre_buffer=False
        )
        return content, table
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise StoreError(f"{part_name(shard)} is cut or damaged: {reason}") from None
