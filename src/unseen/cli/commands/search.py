"""`unseen search`: the pictures of an index that are nearest to words, or to a picture."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Optional

import numpy as np
import typer
from numpy.typing import NDArray

import unseen
from unseen.cli import options, page, progress
from unseen.cli.commands.index import opened, the_model
from unseen.errors import SourceError
from unseen.results.manifest import manifest


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
        typer.Option("--not", help="What it shall not be like. Repeatable.", show_default=False),
    ] = None,
    folder: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--index", help="The folder of the index.", show_default="here"),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="At most so many pictures.")] = 50,
    model: options.IndexModel = None,
    device: options.Device = "auto",
    exact: Annotated[
        bool, typer.Option("--exact", help="Look at every vector, however many there are.")
    ] = False,
    html: page.Html = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen search "a red bicycle in the snow" --index photos/

    The pictures of an index that are nearest to words, to a picture, or to several of both. No
    image file of the index is opened. The number is a cosine: it orders, and is no probability.
    """
    with opened(folder) as found:
        classifier = unseen.load(the_model(found, model), device=device)
        query = sum(_vectors(classifier, queries)) - sum(_vectors(classifier, without or []))
        length = float(np.linalg.norm(query))
        if length < 1e-6:
            raise SourceError("what is asked for and what is not wanted are the same.")
        hits = found.search(
            classifier.encoder,
            np.asarray(query / length, dtype=np.float32),
            top=top,
            approximate=False if exact else None,
        )
        if html is not None:
            from unseen.pages import Section  # noqa: PLC0415 - it loads Pillow

            title = ", ".join(queries) + "".join(f", not {what}" for what in without or ())
            full = max((hit.cosine for hit in hits), default=1.0)
            section = Section(title, list(page.items(found, hits, html)), full=max(full, 1e-6))
            asked = {"queries": queries, "not": without or [], "top": top}
            makers = manifest(classifier.model, None, asked)
            page.write(html, title, [section], f"{len(hits)} of {found.root}", makers)
            return
        if as_json:
            typer.echo(json.dumps([asdict(hit) for hit in hits], indent=1))
            return
        for hit in hits:
            more = f"  (and {len(hit.paths) - 1} copies)" if len(hit.paths) > 1 else ""
            typer.echo(f"{hit.cosine:.3f}  {found.path(hit.paths[0])}{more}")
    if not hits and not quiet:
        progress.say("nothing is left in this index: every file of it is missing.")


def _vectors(classifier: unseen.Classifier, queries: list[str]) -> list[NDArray[np.float32]]:
    """Each query as its weight times a vector of length 1; zeros when there is none."""
    vectors: list[NDArray[np.float32]] = [np.zeros(classifier.model.dimension, dtype=np.float32)]
    for query in queries:
        weight, what = _weighed(query)
        if Path(what).is_file():
            vectors.append(weight * classifier.encode_images([what])[0])
        else:
            vectors.append(weight * classifier.encode_texts([what])[0])
    return vectors


def _weighed(query: str) -> tuple[float, str]:
    head, colon, rest = query.partition(":")
    try:
        return (float(head), rest.strip()) if colon and rest.strip() else (1.0, query)
    except ValueError:
        return 1.0, query
