"""Options that several commands share, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

Sources = Annotated[
    list[str], typer.Argument(help="Pictures, folders, globs or URLs.", show_default=False)
]
Labels = Annotated[
    str,
    typer.Option(
        "--labels",
        "-l",
        help="Labels with commas between them, or a .txt, .csv, .json, .yaml or compiled file.",
        show_default=False,
    ),
]
Model = Annotated[
    str, typer.Option("--model", "-m", help="builtin, a hub id (org/name[@revision]), a folder.")
]
Template = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads it at run time on Python 3.10
    typer.Option(
        help="A prompt with {} for the label, or a named set: simple, imagenet. Repeatable.",
        show_default=False,
    ),
]
Unknown = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(help="A label that means none of these. Repeatable.", show_default=False),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Pictures that the network takes at once.")]
Exact = Annotated[bool, typer.Option("--exact", help="Decode JPEGs in full before resizing.")]
Threads = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, help="Threads of the networks.", show_default="all cores"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
OutFile = Annotated[Path, typer.Option("--output", "-o", help="The file to write.")]


def template_argument(given: list[str] | None) -> str | list[str] | None:
    """One template (or the name of a set) by itself, several as a list."""
    return given[0] if given and len(given) == 1 else given or None
