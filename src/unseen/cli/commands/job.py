"""`unseen job`: `status`, `verify`, `retry`, `export` of a job that is planned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from unseen.cli import options, progress
from unseen.cli.command_group import PlainGroup
from unseen.cli.output import Lines
from unseen.errors import SourceError

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
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write, or a folder with an index."),
    ] = None,
    postgres: options.Postgres = None,
    table: options.PostgresTable = None,
    hnsw: Annotated[
        bool,
        typer.Option("--hnsw", help="With --postgres: index the embeddings, for fast searches."),
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Write what there is, where the job is not done.")
    ] = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen job export JOB -o out.parquet

    Write the rows in the order of the plan to a .parquet, .jsonl or .csv file, or to a .lance data
    set. What was tried again is there once, with its latest answer. A folder gets the embeddings
    into its index; --postgres puts the rows into a table, by their keys.
    """
    from unseen.jobs.export import LANCE  # noqa: PLC0415 - help does not wait for it
    from unseen.jobs.export import export as write_rows  # noqa: PLC0415

    if output is None:
        _export_to_postgres(address, postgres, table, hnsw, partial, quiet)
        return
    if table is not None or hnsw:
        raise SourceError("--table and --hnsw are for --postgres, which takes no -o.")
    if output.is_dir() and output.suffix.lower() != LANCE:
        _export_to_index(address, output, quiet)
        return
    with progress.pictures(quiet) as show:
        result = write_rows(
            opened(address), output, partial=partial, overwrite=overwrite, progress=show
        )
    _say_exported(str(output), result, quiet)


def _export_to_index(address: str, folder: Path, quiet: bool) -> None:
    from unseen.jobs.indexed import export_to_index  # noqa: PLC0415 - help does not wait for it

    with progress.pictures(quiet) as show:
        indexed = export_to_index(opened(address), folder, progress=show)
    if not quiet:
        progress.say(
            f"index of {folder}: {indexed.files:,} files, {indexed.left_out:,} left out (not "
            "below it, changed, or not read)."
        )


def _export_to_postgres(
    address: str, url: str | None, table: str | None, hnsw: bool, partial: bool, quiet: bool
) -> None:
    if url is None:
        raise SourceError("where to? give -o out.parquet, -o FOLDER, or --postgres URL.")
    from unseen.jobs.postgres_rows import export_to_postgres  # noqa: PLC0415 - an extra
    from unseen.postgres.connection import shown  # noqa: PLC0415
    from unseen.postgres.table import DEFAULT_TABLE  # noqa: PLC0415

    name = table or DEFAULT_TABLE
    with progress.pictures(quiet) as show:
        result = export_to_postgres(
            opened(address), url, name, hnsw=hnsw, partial=partial, progress=show
        )
    _say_exported(f"{shown(url)}, table {name}", result, quiet)


def _say_exported(name: str, result: Any, quiet: bool) -> None:
    if not quiet:
        missing = f", {result.missing:,} not done" if result.missing else ""
        progress.say(f"{name}: {result.rows:,} rows, {result.errors:,} failed{missing}.")


def _show(result: Any, as_json: bool) -> None:
    if as_json:
        _show_json(result.to_dict())
    else:
        Lines().write(f"{result}\n")


def _show_json(facts: Any) -> None:
    typer.echo(json.dumps(facts, ensure_ascii=False, indent=1))
