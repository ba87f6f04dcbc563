"""`unseen diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.output import write_json, write_lines
from unseen.results.compare import Gate


def diff(
    a: Annotated[
        Path, typer.Argument(help="What classify wrote: .jsonl, .csv, .json or .parquet.")
    ],
    b: Annotated[Path, typer.Argument(help="The same of another run.")],
    max_flips: Annotated[
        str | None, typer.Option("--max-flips", help="Exit 1 when more changed: 1% or a number.")
    ] = None,
    facet: Annotated[
        str | None,
        typer.Option(help="Of runs with several label sets: the one whose answers are compared."),
    ] = None,
    html: options.Html = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen diff before.jsonl after.jsonl --max-flips 1%

    Which pictures changed their answer between two runs, and what differs in what made them.
    """
    gate = None if max_flips is None else Gate.of(max_flips)
    difference = unseen.diff(a, b, facet=facet)
    if as_json:
        write_json(difference.to_dict(gate))
    else:
        write_lines([str(difference)])
    if html is not None:
        from unseen.results.compare_page import write_page  # noqa: PLC0415 - it loads Pillow

        write_page(difference, a, b, html)
    if gate is not None and not gate.passed(difference):
        if not quiet:
            progress.say(f"{len(difference.flips)} changed; --max-flips {gate.text} allows fewer.")
        raise typer.Exit(1)
