"""`unseen job run`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from unseen.cli import options, progress
from unseen.cli.commands.job import Address, opened
from unseen.errors import SourceError
from unseen.results.summary import RunSummary

PLANNED = "it is that of the plan"
PART = re.compile(r"(\d+)/(\d+)")


def _part(text: str | None) -> tuple[int, int] | None:
    """ "2/8" → (2, 8)."""
    if text is None:
        return None
    match = PART.fullmatch(text)
    if match is None:
        raise SourceError(f"--part is {text!r}; give i/n, such as 0/8 for the first of eight.")
    return int(match[1]), int(match[2])


@options.loads_recorded_model(
    refused=dict.fromkeys(("revision", "adapter", "exact", "precision", "commercial"), PLANNED)
)
def run(
    address: Address,
    workers: Annotated[
        int, typer.Option(min=1, max=1024, help="Processes, each with a model of its own.")
    ] = 1,
    part: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Every Nth shard, from the Ith on, counted from 0: for array jobs."
        ),
    ] = None,
    overrides: Mapping[str, Any] = options.NO_OVERRIDES,
    batch_size: options.BatchSize = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen job run JOB --workers 2

    Do what is not done yet, in processes of this machine. Any number of machines may do this at the
    same time; what is killed is taken over, and no picture gets two rows.
    """
    from unseen.jobs.running.workers import plan_workers, run_workers  # noqa: PLC0415

    job = opened(address)
    chosen = plan_workers(workers, overrides.get("threads"), job.facts["weight_bytes"])
    if not quiet:
        progress.say(f"{chosen}.")
    if chosen.is_too_much:
        progress.say("warning: that is more memory than is free; give fewer --workers.")
    earlier: list[int] = []
    with progress.counting(job.pictures, quiet) as counter:

        def show(status: Any) -> None:
            if not earlier:
                earlier.append(status.done)
            done = status.done + status.running - earlier[0]
            counter.show(
                RunSummary(pictures=max(done, 0), errors=status.failed, earlier=earlier[0])
            )

        status = run_workers(
            job,
            workers=workers,
            part=_part(part),
            overrides=overrides,
            batch_size=batch_size,
            progress=show,
        )
    if as_json:
        from unseen.cli.output import write_json  # noqa: PLC0415 - as above

        write_json(status.to_dict())
    if not quiet:
        progress.say(f"{status}.")
        if status.failed:
            progress.say(f"try what failed again: unseen job retry {address}")
    if status.failed:
        raise typer.Exit(1)
