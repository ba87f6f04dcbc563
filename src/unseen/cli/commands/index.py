"""`unseen index`: look at a folder once; `index info`, `index prune`, `index export`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.command_group import defaulting
from unseen.cli.interruption import interruption
from unseen.errors import SourceError, StoreError
from unseen.index.location import find, index_above, named_root
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.manifest import versions, write_ended
from unseen.results.result_file import check_output
from unseen.sources.expand import reopenable

if TYPE_CHECKING:
    from unseen.explanation.explainer import Explainer
    from unseen.index.vectors.parts import StoredRows
    from unseen.index.vectors.tiles import StoredTiles
    from unseen.index.view import IndexView

WATCH_SECONDS = 5.0


index = typer.Typer(cls=defaulting("update"), no_args_is_help=True)


@index.callback()
def group() -> None:
    """unseen index photos/ -m fast

    Look at each picture of a folder once; from then on classify, search and the like open no image
    file. What an index holds: unseen help index.
    """


@index.command(short_help="Look at what is new or changed.")
@options.loads_model(refused={"adapter": options.NO_LABELS})
def update(
    folder: Annotated[
        str, typer.Argument(help="The folder to look at; or an archive or table in it.")
    ],
    only: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to look at: files and folders in it, archives, tables, PDF, s3:// and "
            "https:// addresses; by default the folder, and what it looked at before."
        ),
    ] = None,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    batch_size: options.BatchSize = None,
    videos: Annotated[
        bool, typer.Option("--videos", help="Look at videos, too: about a frame a second.")
    ] = False,
    explainable: Annotated[
        bool,
        typer.Option(
            "--explainable",
            help="Keep what each place says: any label is then explained from the index.",
        ),
    ] = False,
    tiles: Annotated[
        str | None,
        typer.Option(
            metavar="TILING",
            help="Keep tiles of each picture, for search --tiles: auto, 2x2, 3x3 or pyramid.",
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and look again every few seconds.")
    ] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen index photos/ -m fast

    Look at what is new or changed in a folder. May be stopped at any time and goes on where it was.
    """
    if tiles is not None:
        from unseen.images.tiling import check_tiling  # noqa: PLC0415 - it loads Pillow

        check_tiling(tiles)
    home, sources = _home_of(folder, only or [])
    classifier = unseen.load(load_options)
    encoder = classifier.encoder
    explainer = classifier.explainer() if explainable else None  # what cannot is an error at once
    with unseen.Index(home) as index:
        while True:
            try:
                with progress.pictures(quiet) as show:
                    report = index.update(
                        encoder,
                        sources,
                        videos=videos,
                        batch_size=batch_size,
                        progress=show,
                    )
                stored = None if explainer is None else _keep_parts(index, explainer, quiet)
                divided = None
                if tiles is not None:
                    divided = _keep_tiles(index, encoder, tiles, batch_size, quiet)
            except KeyboardInterrupt:
                progress.say("stopped: what was looked at is kept; run it again to go on.")
                interruption.explained = True
                raise typer.Exit(130) from None
            if as_json:
                rows = {} if stored is None else {"rows": asdict(stored)}
                rows |= {} if divided is None else {"tiles": asdict(divided)}
                typer.echo(json.dumps(asdict(report) | rows))
            elif not quiet and (not watch or report.encoded or report.failed or report.missing):
                progress.say(str(report))
                if stored is not None:
                    progress.say(f"explainable: {stored}.")
                if divided is not None:
                    progress.say(f"{divided}.")
            if not watch:
                raise typer.Exit(1 if report.failed else 0)
            try:
                time.sleep(WATCH_SECONDS)
            except KeyboardInterrupt:
                interruption.explained = True  # it had nothing left to do
                raise typer.Exit(130) from None


def _home_of(first: str, others: list[str]) -> tuple[Path, list[str | Path]]:
    """The folder of the index, and what is looked at: an archive is in the index of its folder."""
    from unseen.index.collections.reading import is_collection  # noqa: PLC0415 - it loads what reads

    source = reopenable(first)
    if isinstance(source, str):
        raise SourceError(
            f"{first}: an index lies in a folder; give that first: unseen index FOLDER {first}"
        )
    if is_collection(source):
        return source.absolute().parent, [source, *others]
    return source, [*others]


def _keep_parts(index: unseen.Index, explainer: Explainer, quiet: bool) -> StoredRows:
    with progress.stages(quiet) as show:
        return index.keep_parts(explainer, partial(show, "rows"))


def _keep_tiles(
    index: unseen.Index, encoder: unseen.Encoder, tiles: str, batch_size: int | None, quiet: bool
) -> StoredTiles:
    with progress.stages(quiet) as show:
        return index.keep_tiles(
            encoder, tiles, batch_size=batch_size, progress=partial(show, "tiles of pictures")
        )


@index.command(short_help="What an index holds.")
def info(
    folder: options.IndexFolder = None,
    as_json: options.AsJson = False,
) -> None:
    """unseen index info photos/

    What an index holds: files, models, pictures, errors, sizes.
    """
    with open_index(folder) as index:
        facts = index.info()
    typer.echo(json.dumps(facts.to_dict(), indent=1) if as_json else facts)


@index.command(short_help="Forget the files that are missing.")
def prune(
    folder: options.IndexFolder = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen index prune photos/

    Forget the files that are missing, and the pictures that no file shows any more.
    """
    with open_index(folder) as index:
        forgotten = index.prune()
    if as_json:
        typer.echo(json.dumps({"forgotten": forgotten}))
    elif not quiet:
        progress.say(f"{forgotten} files forgotten.")


@index.command(short_help="Write everything to a parquet file.")
def export(
    output: Annotated[Path, typer.Argument(help="A .parquet file.")],
    folder: options.IndexOption = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen index export out.parquet --index photos/

    A row a file and model: path, content, size, time, width, height, embedding or error.
    """
    check_output(output, overwrite=overwrite)
    with open_index(folder) as index:
        rows = index.export(output)
        models = [row.to_dict() for row in index.models()]
        write_ended(output, {"models": models, "versions": versions()}, rows, 0)
    if as_json:
        typer.echo(json.dumps({"file": str(output), "rows": rows}))
    elif not quiet:
        progress.say(f"{output}: {rows} rows.")


def open_index(folder: Path | None) -> unseen.Index:
    """The index of a folder or of the nearest above it. Raises StoreError."""
    start = folder or Path()
    root = find(start) or (named_root() if folder is None else None)
    if root is None:
        where = start if folder else "this folder"
        raise StoreError(f"{where}: no index in it or above it; make one: unseen index FOLDER.")
    return unseen.Index(root, create=False)


def view_of(index: unseen.Index, overrides: Mapping[str, Any], quiet: bool) -> IndexView:
    """The view of the model that the options choose; of several the latest, which is said."""
    view, others = index.view_with(overrides)
    if others and not quiet:
        progress.say(
            f"{index.root}: the embeddings are those of {view.row}; choose others with --model, "
            f"--precision, --exact or --revision: {'; '.join(map(str, others))}."
        )
    return view


def as_indexed(
    load_options: LoadOptions, given: frozenset[str], sources: Sequence[str | Path], quiet: bool
) -> LoadOptions:
    """The options that the index of `sources` was made with, as far as the user gave no others."""
    if index_above(sources) is None:
        return load_options
    from unseen.index.stored import recorded_options  # noqa: PLC0415 - it loads what computes

    recorded, rows = recorded_options(sources, load_options, given)
    if rows and not quiet:
        *others, row = (str(row) for row in rows)
        more = f" It has as well: {'; '.join(others)}." if others else ""
        progress.say(
            f"the index was made by {row}, and the same is used here; --precision, --exact or "
            f"--revision choose otherwise.{more}"
        )
    return recorded
