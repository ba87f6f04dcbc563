"""`unseen job`: `status`, `verify`, `retry`, `export` of a job that is planned."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from unseen.cli import options, progress
from unseen.cli.command_group import PlainGroup
from unseen.cli.output import Lines

job = typer.Typer(cls=PlainGroup, no_args_is_help=True)

Address = Annotated[
    str, typer.Argument(metavar="JOB", help="The folder of the job, or its address: s3://….")
]


@job.callback()
def group() -> None:
    """unseen job plan photos/ -o job -l cat,dog

    Plan a job once, run it in any number of processes on any number of machines, and prove at the
    end that every picture has exactly one row. More: unseen help jobs.
    """


def opened(address: str) -> Any:
    """The job at an address."""
    from unseen.jobs.job import Job, require_parquet  # noqa: PLC0415 - help does not wait for it

    require_parquet()
    return Job.open(address)


def status(
    address: Address,
    html: options.Html = None,
    as_json: options.AsJson = False,
) -> None:
    """unseen job status JOB

    Say how many pictures are done, how many failed and why, who works at it and how long it takes.
    """
    from unseen.jobs.running.status import StatusReader  # noqa: PLC0415 - help does not wait for it

    reader = StatusReader(opened(address))
    current = reader.read()
    if html is not None:
        from unseen.jobs.running.status_page import write_status_page  # noqa: PLC0415

        write_status_page(html, reader.job, current)
    _show(current, as_json)


def verify(address: Address, as_json: options.AsJson = False, quiet: options.Quiet = False) -> None:
    """unseen job verify JOB

    Read every part, and hold it against the plan. The status is 0 only when every planned picture
    has its row once, and no part was removed, cut, doubled or altered.
    """
    from unseen.jobs.verify import verify as verification  # noqa: PLC0415

    with progress.stages(quiet) as show:
        result = verification(
            opened(address), progress=lambda done, total: show("shards", done, total)
        )
    _show(result, as_json)
    if not result.ok:
        raise typer.Exit(1)


def retry(
    address: Address,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="Only errors of this class, such as SourceError. Repeatable."),
    ] = None,
    shard: Annotated[int, typer.Option(min=1, help="Pictures of a shard, at most.")] = 1000,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen job retry JOB

    Plan the pictures again whose rows are errors, as their files are now; `job run` does them.
    """
    from unseen.jobs.retry import retry as plan_retry  # noqa: PLC0415

    result = plan_retry(opened(address), classes=classes or (), shard_pictures=shard)
    if as_json:
        _show_json(vars(result))
    elif not result.pictures:
        typer.echo("Nothing failed that could be tried again.")
    else:
        kinds = ", ".join(f"{name} {count:,}" for name, count in result.errors.items())
        typer.echo(f"{result.pictures:,} pictures planned again: {kinds}.")
        if not quiet:
            progress.say(f"do them: unseen job run {address}")


def export(
    address: Address,
    output: options.OutFile,
    partial: Annotated[
        bool, typer.Option("--partial", help="Write what there is, where the job is not done.")
    ] = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen job export JOB -o out.parquet

    Write the rows in the order of the plan to a .parquet, .jsonl or .csv file. What was tried again
    is there once, with its latest answer. A folder gets the embeddings into its index.
    """
    from unseen.jobs.export import export as write_rows  # noqa: PLC0415
    from unseen.jobs.indexed import export_to_index  # noqa: PLC0415

    if output.is_dir():
        with progress.pictures(quiet) as show:
            indexed = export_to_index(opened(address), output, progress=show)
        if not quiet:
            progress.say(
                f"index of {output}: {indexed.files:,} files, {indexed.left_out:,} left out (not "
                "below it, changed, or not read)."
            )
        return
    with progress.pictures(quiet) as show:
        result = write_rows(
            opened(address), output, partial=partial, overwrite=overwrite, progress=show
        )
    if not quiet:
        missing = f", {result.missing:,} not done" if result.missing else ""
        progress.say(f"{output}: {result.rows:,} rows, {result.errors:,} failed{missing}.")


def _show(result: Any, as_json: bool) -> None:
    if as_json:
        _show_json(result.to_dict())
    else:
        Lines().write(f"{result}\n")


def _show_json(facts: Any) -> None:
    typer.echo(json.dumps(facts, ensure_ascii=False, indent=1))
