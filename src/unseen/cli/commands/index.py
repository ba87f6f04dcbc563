"""`unseen index`: look at a folder once; `index info`, `index prune`, `index export`."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Optional

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.command_group import defaulting
from unseen.cli.output_file import prepare
from unseen.errors import StoreError
from unseen.index.location import find
from unseen.results.manifest import versions, write_ended

WATCH_SECONDS = 5.0


index = typer.Typer(cls=defaulting("update"), no_args_is_help=True)


@index.callback()
def group() -> None:
    """unseen index photos/ -m fast

    Look at each picture of a folder once; from then on classify, search and the like open no image
    file. What an index holds: docs/index.md.
    """


@index.command(short_help="Look at what is new or changed.")
def update(
    folder: Annotated[Path, typer.Argument(help="The folder to look at.")],
    only: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Argument(help="Files or folders in it; all by default.", show_default=False),
    ] = None,
    model: options.Model = "builtin",
    revision: options.Revision = None,
    commercial: options.Commercial = False,
    batch_size: options.BatchSize = None,
    exact: options.Exact = False,
    threads: options.Threads = None,
    precision: options.Precision = "fp32",
    device: options.Device = "auto",
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and look again every few seconds.")
    ] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen index photos/ -m fast

    Look at what is new or changed in a folder. May be stopped at any time and goes on where it was.
    """
    classifier = unseen.load(
        model,
        revision=revision,
        exact=exact,
        threads=threads,
        precision=precision,
        device=device,
        commercial=commercial,
    )
    with unseen.Index(folder) as opened:
        while True:
            try:
                with progress.pictures(quiet) as show:
                    report = opened.update(
                        classifier.encoder, only or (), batch_size=batch_size, progress=show
                    )
            except KeyboardInterrupt:
                progress.say("stopped: what was looked at is kept; run it again to go on.")
                raise typer.Exit(130) from None
            if as_json:
                typer.echo(json.dumps(asdict(report)))
            elif not quiet and (not watch or report.encoded or report.failed or report.missing):
                progress.say(
                    f"{report.encoded} new, {report.known} known elsewhere, {report.unchanged} "
                    f"unchanged, {report.failed} could not be read, {report.missing} missing."
                )
            if not watch:
                raise typer.Exit(1 if report.failed else 0)
            try:
                time.sleep(WATCH_SECONDS)
            except KeyboardInterrupt:
                raise typer.Exit(130) from None


@index.command(short_help="What an index holds.")
def info(
    folder: options.IndexFolder = None,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """unseen index info photos/

    What an index holds: files, models, pictures, errors, sizes.
    """
    with opened(folder) as found:
        facts = found.info()
    if as_json:
        typer.echo(json.dumps(asdict(facts), indent=1))
        return
    typer.echo(f"{facts.path}: {facts.files} files, {facts.bytes / 1e6:.1f} MB")
    if facts.missing:
        typer.echo(f"{facts.missing} of them are missing; `unseen index prune` forgets them")
    for model in facts.models:
        typer.echo(
            f"  {model['name']} ({model['precision']}, {model['dimension']} numbers): "
            f"{model['pictures']} pictures, {model['errors']} that could not be read"
        )


@index.command(short_help="Forget the files that are missing.")
def prune(
    folder: options.IndexFolder = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen index prune photos/

    Forget the files that are missing, and the pictures that no file shows any more.
    """
    with opened(folder) as found:
        forgotten = found.prune()
    if as_json:
        typer.echo(json.dumps({"forgotten": forgotten}))
    elif not quiet:
        progress.say(f"{forgotten} files forgotten.")


@index.command(short_help="Write everything to a parquet file.")
def export(
    output: Annotated[Path, typer.Argument(help="A .parquet file.")],
    folder: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--index", help="The folder of the index.", show_default="here"),
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen index export out.parquet --index photos/

    A row a file and model: path, content, size, time, width, height, embedding or error.
    """
    prepare(output, overwrite=overwrite)
    with opened(folder) as found:
        rows = found.export(output)
        write_ended(output, {"models": found.models(), "versions": versions()}, rows, 0)
    if as_json:
        typer.echo(json.dumps({"file": str(output), "rows": rows}))
    elif not quiet:
        progress.say(f"{output}: {rows} rows.")


def opened(folder: Path | None) -> unseen.Index:
    """The index of a folder or of the nearest above it. Raises StoreError."""
    start = folder or Path()
    root = find(start)
    if root is None:
        where = start if folder else "this folder"
        raise StoreError(f"{where}: no index in it or above it; make one: unseen index FOLDER.")
    return unseen.Index(root, create=False)


def the_model(found: unseen.Index, model: str | None) -> str:
    """The model to ask with: what is named, or the only one there is. Raises StoreError."""
    if model is not None:
        return model
    names = list(dict.fromkeys(row["name"] for row in found.models() if row["pictures"]))
    if len(names) == 1:
        return str(names[0])
    known = ", ".join(names)
    raise StoreError(
        f"{found.root}: several models have looked at it: name one with -m ({known})."
        if names
        else f"{found.root}: nothing has looked at it yet: unseen index {found.root}."
    )
