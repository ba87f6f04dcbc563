"""`unseen search`: the pictures of an index that are nearest to words, or to a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from unseen.cli import options, progress
from unseen.cli.commands.index import open_index, view_of
from unseen.cli.output import shown, write_paths, write_paths0


@options.loads_recorded_model(refused={"adapter": options.NO_LABELS})
def search(
    queries: Annotated[
        list[str],
        typer.Argument(help="Words, or pictures; WEIGHT:WORDS weighs one, such as 0.5:snow."),
    ],
    without: Annotated[
        list[str] | None, typer.Option("--not", help="Words or a picture to subtract. Repeatable.")
    ] = None,
    folder: options.IndexOption = None,
    top: Annotated[int, typer.Option(min=1, help="At most so many pictures.")] = 50,
    tiles: Annotated[
        str | None,
        typer.Option(
            metavar="TILING",
            help="Look in the tiles of index --tiles, too, and say where: auto is any of them.",
        ),
    ] = None,
    overrides: Mapping[str, Any] = options.NO_OVERRIDES,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Compare every vector, however many there are.")
    ] = False,
    html: options.Html = None,
    as_json: options.AsJson = False,
    print0: options.Print0 = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen search "a red bicycle in the snow" --index photos/

    The pictures of an index that are nearest to words, to a picture, or to several of both. No
    image file of the index is opened. The number is a cosine: it orders the pictures of one search,
    and is not a probability.
    """
    from unseen.index.vectors.query import parse_term  # noqa: PLC0415 - it loads numpy
    from unseen.results.prediction_text import tile_text  # noqa: PLC0415 - as above

    with open_index(folder) as index:
        view = view_of(index, overrides, quiet)
        query = view.query_vector(
            [parse_term(text) for text in queries], [parse_term(text) for text in without or ()]
        )
        approximate = False if exhaustive else None
        hits = view.search(query, top=top, approximate=approximate, tiles=tiles)
        if html is not None:
            from unseen.index.pages import write_search  # noqa: PLC0415 - it loads Pillow

            write_search(view, hits, html, queries, without or (), top=top, tiles=tiles)
            return
        if as_json:
            typer.echo(json.dumps([asdict(hit) for hit in hits], indent=1))
            return
        if print0:
            write_paths0(index.address(hit.paths[0]) for hit in hits)
            return
        write_paths(
            f"{hit.cosine:.3f}  {shown(index.address(hit.paths[0]))}"
            + (f"  in {tile_text(hit.tile)}" if hit.tile else "")
            + (f"  (and {len(hit.paths) - 1} copies)" if len(hit.paths) > 1 else "")
            for hit in hits
        )
    if not hits and not quiet:
        progress.say("every file of this index is missing: unseen index finds what has moved.")
