"""`unseen job run`; `job estimate`: what it will take."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from unseen.cli import options, progress
from unseen.cli.commands.job import Address, opened
from unseen.cli.output import write_json, write_lines
from unseen.errors import SourceError
from unseen.results.summary import RunSummary

PLANNED = "it is that of the plan"
REFUSED = dict.fromkeys(("revision", "adapter", "exact", "precision", "commercial"), PLANNED)
PART = re.compile(r"(\d+)/(\d+)")


def _part(text: str | None) -> tuple[int, int] | None:
    """ "2/8" → (2, 8)."""
    if text is None:
        return None
    match = PART.fullmatch(text)
    if match is None:
        raise SourceError(f"--part is {text!r}; give i/n, such as 0/8 for the first of eight.")
    return int(match[1]), int(match[2])


@options.loads_recorded_model(refused=REFUSED)
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
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Work as actors of Ray: the address of a cluster, auto, or local for a new one.",
        ),
    ] = None,
    gpus_per_worker: Annotated[
        float, typer.Option(min=0.0, help="GPUs that Ray keeps for each actor.")
    ] = 0.0,
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

    if ray is not None and part is not None:
        raise SourceError("--part is for array jobs; Ray shares the work itself: leave one out.")
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

        status = (
            run_workers(
                job,
                workers=workers,
                part=_part(part),
                overrides=overrides,
                batch_size=batch_size,
                progress=show,
            )
            if ray is None
            else _on_ray(
                job, ray, workers, chosen.threads, gpus_per_worker, overrides, batch_size, show
            )
        )
    if as_json:
        write_json(status.to_dict())
    if not quiet:
        progress.say(f"{status}.")
        if status.failed:
            progress.say(f"try what failed again: unseen job retry {address}")
    if status.failed:
        raise typer.Exit(1)


def _on_ray(
    job: Any,
    address: str,
    workers: int,
    threads: int,
    gpus_per_worker: float,
    overrides: Mapping[str, Any],
    batch_size: int | None,
    show: Callable[[Any], None],
) -> Any:
    from unseen.jobs.running.on_ray import run_on_ray  # noqa: PLC0415 - it loads what computes

    return run_on_ray(
        job,
        workers=workers,
        address=address,
        threads=threads,
        gpus_per_worker=gpus_per_worker,
        overrides=overrides,
        batch_size=batch_size,
        progress=show,
    )


@options.loads_recorded_model(refused=REFUSED)
def estimate(
    address: Address,
    sample: Annotated[int, typer.Option(min=1, help="Pictures that are timed.")] = 200,
    machines: Annotated[int, typer.Option(min=1, help="How many there will be.")] = 1,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes on each.")] = 1,
    bandwidth: Annotated[
        float | None,
        typer.Option(help="MB a second that each machine reads.", show_default="no limit"),
    ] = None,
    disk: Annotated[
        float | None,
        typer.Option(
            help="MB a second of each machine's disk, where pictures and rows lie on it.",
            show_default="no limit",
        ),
    ] = None,
    price: Annotated[
        float | None, typer.Option(help="Of a machine for an hour, in any currency.")
    ] = None,
    overrides: Mapping[str, Any] = options.NO_OVERRIDES,
    batch_size: options.BatchSize = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen job estimate JOB --machines 10 --workers 4 --price 0.80

    Time a sample with one worker here, and say what the job and a million to a billion pictures
    take at that rate. Nothing is published.
    """
    from unseen.jobs.running.estimate import (  # noqa: PLC0415 - it loads what computes
        HEADER,
        SCALES,
        Machines,
        measure,
    )
    from unseen.jobs.running.estimate import estimate as expected  # noqa: PLC0415
    from unseen.jobs.running.session import Session  # noqa: PLC0415
    from unseen.jobs.running.workers import plan_workers  # noqa: PLC0415

    if any(rate is not None and rate <= 0 for rate in (bandwidth, disk)):
        raise SourceError("--bandwidth and --disk are more than 0.")
    if price is not None and price < 0:
        raise SourceError("--price is at least 0.")
    job = opened(address)
    threads = plan_workers(workers, overrides.get("threads"), 0).threads
    with progress.working("timing a sample", quiet):
        session = Session.load(job, {**overrides, "threads": threads}, batch_size)
        measured = measure(job, session, pictures=sample)
    chosen = Machines(machines, workers, bandwidth, price, disk)
    rows = [expected(measured, chosen, count) for count in (job.pictures, *SCALES)]
    if as_json:
        write_json({"sample": vars(measured), "estimates": [row.to_dict() for row in rows]})
        return
    write_lines(
        [
            f"measured: {measured.pictures:,} pictures by one worker of {threads} "
            f"thread{'s' * (threads > 1)} in {measured.seconds:.1f} s, {measured.rate:.1f} a "
            f"second; {100 * measured.failed:.1f} % failed",
            f"arithmetic, for {machines:,} machine{'s' * (machines > 1)} of {workers} "
            f"worker{'s' * (workers > 1)}:",
            HEADER + ("          cost" if price is not None else ""),
            *map(str, rows),
        ]
    )
