"""`unseen search`: the pictures of an index that are nearest to words, or to a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from unseen.cli import options, progress
from unseen.cli.commands.index import open_index, view_of
from unseen.cli.output import shown, write_paths, write_paths0
from unseen.errors import SourceError
from unseen.system.printable import printable

INDEX_ONLY = "--{} is of an index, and --postgres searches a table: leave one out."
TABLE_ONLY = "--{} is of a table: give --postgres URL with it."


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
    postgres: options.Postgres = None,
    table: options.PostgresTable = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="With --postgres: NAME=VALUE, also != < <= > >=, of the metadata or of label, "
            "score, width, height. Repeatable: all hold."
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
    image file of the index is opened; --postgres searches what `job export --postgres` made. The
    number is a cosine: it orders the pictures of one search,
    and is not a probability.
    """
    from unseen.index.vectors.query import parse_term  # noqa: PLC0415 - it loads numpy

    terms = [parse_term(text) for text in queries], [parse_term(text) for text in without or ()]
    if postgres is not None:
        _refuse(INDEX_ONLY, {"index": folder, "tiles": tiles, "html": html})
        rows = _table_rows(postgres, table, terms, where or (), top, overrides, exhaustive)
        _write_rows(rows, as_json=as_json, print0=print0, quiet=quiet)
        return
    _refuse(TABLE_ONLY, {"table": table, "where": where})
    from unseen.results.prediction_text import tile_text  # noqa: PLC0415 - as above

    with open_index(folder) as index:
        view = view_of(index, overrides, quiet)
        query = view.query_vector(*terms)
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


def _refuse(reason: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if value is not None:
            raise SourceError(reason.format(name))


def _table_rows(
    url: str,
    table: str | None,
    terms: tuple[Sequence[Any], Sequence[Any]],
    where: Sequence[str],
    top: int,
    overrides: Mapping[str, Any],
    exhaustive: bool,
) -> list[dict[str, Any]]:
    """The nearest pictures of a table."""
    import unseen  # noqa: PLC0415 - it loads what computes
    from unseen.postgres.filters import parse_filter  # noqa: PLC0415 - as above
    from unseen.postgres.gallery import Gallery  # noqa: PLC0415
    from unseen.postgres.table import DEFAULT_TABLE, Table  # noqa: PLC0415

    filters = [parse_filter(text) for text in where]
    with Gallery(url, Table(table or DEFAULT_TABLE)) as gallery:
        encoder = unseen.load(gallery.options(overrides)).encoder
        query = gallery.query_vector(encoder, *terms)
        matches = gallery.search(query, top=top, filters=filters, exhaustive=exhaustive)
    return [asdict(match) for match in matches]


def _write_rows(
    rows: Sequence[dict[str, Any]], *, as_json: bool, print0: bool, quiet: bool
) -> None:
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    elif print0:
        write_paths0(row["source"] or row["key"] for row in rows)
    else:
        write_paths(
            f"{row['cosine']:.3f}  {shown(row['source'] or row['key'])}"
            + (f"  {printable(row['label'])}" if row["label"] else "")
            for row in rows
        )
    if not rows and not quiet:
        progress.say("no picture of the table meets that.")
