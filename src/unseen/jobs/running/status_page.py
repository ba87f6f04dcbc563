"""How far a job is, as a page to send to somebody."""

from __future__ import annotations

from pathlib import Path

from unseen.errors import SourceError
from unseen.jobs.job import Job
from unseen.jobs.running.status import Status, duration
from unseen.pages.job_page import job_page
from unseen.results.manifest import now


def write_status_page(path: Path, job: Job, status: Status) -> None:
    """Write one HTML file, which asks nothing of anybody.

    Parameters
    ----------
    path : Path
        Replaced where it exists.
    job : Job
        What is looked at.
    status : Status
        How far it is.

    Raises
    ------
    SourceError
        If the file cannot be written.
    """
    fraction = status.done / status.pictures if status.pictures else 1.0
    left = status.seconds_left
    facts = [
        ("Model", str(job.facts["model"])),
        ("Pictures", f"{status.pictures:,}"),
        ("Done", f"{status.done:,}"),
        ("Failed", f"{status.failed:,}"),
        ("Shards done", f"{status.shards_done:,} of {status.shards:,}"),
        ("Pictures a second", f"{status.rate:.1f}"),
        ("Left", "" if left is None else duration(left)),
    ]
    try:
        job_page(
            path,
            f"Job {job.store.address.rpartition('/')[2]}",
            note=f"{job.store.address}, {now()}",
            share=f"{100 * fraction:.1f} %",
            fraction=fraction,
            facts=[(name, value) for name, value in facts if value],
            errors=[(name, f"{count:,}") for name, count in status.errors.items()],
            runners=[
                (one.name, f"shard {one.shard}", f"{one.done:,} done", f"{one.rate:.1f} a second")
                for one in status.runners
            ],
        )
    except OSError as error:
        raise SourceError(f"{path}: it cannot be written: {error.strerror or error}.") from None
