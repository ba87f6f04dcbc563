"""`unseen search`: the pictures of an index that are nearest to words, or to a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from unseen.cli import options, page, progress
from unseen.cli.commands.index import open_index, view_of
from unseen.results.manifest import row_manifest


@options.loads_recorded_model(refused={"adapter": options.NO_LABELS})
def search(
    queries: Annotated[
        list[str],
        typer.Argument(
            help="Words, or pictures; WEIGHT:WORDS weighs one, such as 0.5:snow.",
            show_default=False,
        ),
    ],
    without: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(
            "--not", help="Words or a picture to subtract. Repeatable.", show_default=False
        ),
    ] = None,
    folder: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--index", help="The folder of the index.", show_default="here"),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="At most so many pictures.")] = 50,
    overrides: Mapping[str, Any] = options.NO_OVERRIDES,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Compare every vector, however many there are.")
    ] = False,
    html: page.Html = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen search "a red bicycle in the snow" --index photos/

    The pictures of an index that are nearest to words, to a picture, or to several of both. No
    image file of the index is opened. The number is a cosine: it orders the pictures of one search,
    and is not a probability.
    """
    with open_index(folder) as index:
        view = view_of(index, overrides, quiet)
        query = view.query_vector(
            [_term(text) for text in queries], [_term(text) for text in without or ()]
        )
        hits = view.search(query, top=top, approximate=False if exhaustive else None)
        if html is not None:
            from unseen.pages import Section  # noqa: PLC0415 - it loads Pillow

            title = ", ".join(queries) + "".join(f", not {text}" for text in without or ())
            full = max((hit.cosine for hit in hits), default=1.0)
            section = Section(title, list(page.items(index, hits, html)), full=max(full, 1e-6))
            facts = {"queries": queries, "not": without or [], "top": top}
            note = f"{len(hits)} of {index.root}"
            page.write(html, title, [section], note, row_manifest(view.row, facts))
            return
        if as_json:
            typer.echo(json.dumps([asdict(hit) for hit in hits], indent=1))
            return
        for hit in hits:
            copies = f"  (and {len(hit.paths) - 1} copies)" if len(hit.paths) > 1 else ""
            typer.echo(f"{hit.cosine:.3f}  {index.path(hit.paths[0])}{copies}")
    if not hits and not quiet:
        progress.say("every file of this index is missing: unseen index finds what has moved.")


def _term(text: str) -> tuple[float, str | Path]:
    """A query as its weight, and words or the path of a picture."""
    from unseen.index.vectors.query import parse_weight  # noqa: PLC0415 - it loads numpy

    weight, item = parse_weight(text)
    try:
        return weight, Path(item) if Path(item).is_file() else item
    except (OSError, ValueError):  # far too long for a path
        return weight, item
