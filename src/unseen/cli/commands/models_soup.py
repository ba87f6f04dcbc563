"""`unseen models soup`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from unseen.cli import options, progress


def soup(
    tunings: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="Folders that `unseen tune` has written."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="The folder to write.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Labelled pictures that none has learnt from: they choose.",
            show_default="the mean is of all",
        ),
    ] = None,
    device: options.Device = "auto",
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen models soup run-1/ run-2/ run-3/ --data validation/ -o tuned

    Write the mean of several tunings of one model, which is often better than each: other seeds,
    steps or learning rates. With --data those that make the mean worse are left out.
    """
    from unseen.learning.tune.soup import soup as make  # noqa: PLC0415 - it loads what computes

    with progress.pictures(quiet) as show:
        made = make(tunings, output, data, device=device, progress=show)
    if as_json:
        facts = {
            "folder": str(made.folder),
            "chosen": list(made.chosen),
            "alone": {name: share.to_dict() for name, share in made.alone.items()},
            "together": None if made.together is None else made.together.to_dict(),
        }
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=1))
        return
    for name, share in made.alone.items():
        mark = "  in the mean" if name in made.chosen else ""
        typer.echo(f"{name}: right {share}{mark}")
    if made.together is not None:
        typer.echo(f"the mean: right {made.together}")
    if not quiet:
        progress.say(
            f"the mean of {len(made.chosen)} tunings, written to {made.folder}: use it with "
            f"-m {made.folder}."
        )
