"""`unseen label export`: what was labelled, as a data set with splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from unseen.cli import options, progress
from unseen.errors import SourceError


def export(
    folder: options.LabelledFolder,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.")],
    form: Annotated[
        str, typer.Option("--format", "-f", help="folders, csv, jsonl, coco or imagefolder.")
    ] = "folders",
    split: Annotated[
        str, typer.Option(help="The shares of train, valid and test; 80/20 and 100 go, too.")
    ] = "80/10/10",
    seed: Annotated[int, typer.Option(help="Another draw of the splits.")] = 0,
    near: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="The least cosine of two that stay in one split."),
    ] = 0.9,
    reviewed_only: Annotated[
        bool, typer.Option("--reviewed-only", help="Only what a person gave a label.")
    ] = False,
    include: Annotated[
        str | None, typer.Option(help="unsure: proposals of that pile, too.")
    ] = None,
    how: Annotated[
        str | None, typer.Option(help="copy, link (symbolic) or hardlink.", show_default="copy")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export, and nothing else.")
    ] = False,
    name: options.Labelling = "labels",
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen label export photos/ -o dataset/ --format imagefolder

    Write what was reviewed, and what the model is sure of, as a data set. Pictures that are nearly
    the same are never in two splits. The formats: unseen help label-export.
    """
    from unseen.annotation import export as exporting  # noqa: PLC0415 - it loads what computes
    from unseen.annotation.labelling import Labelling  # noqa: PLC0415
    from unseen.datasets.splits import fractions  # noqa: PLC0415
    from unseen.datasets.writers import FORMS  # noqa: PLC0415

    if include not in (None, "unsure"):
        raise SourceError(f"--include {include}: unsure is what can be included.")
    if include and reviewed_only:
        raise SourceError("give one of --reviewed-only and --include unsure.")
    if how is not None and form in FORMS and FORMS[form].place is None:
        raise SourceError(
            f"--how {how}: {form} names the pictures where they are, and copies none."
        )
    with Labelling.open(folder, name) as labelling, progress.pictures(quiet) as show:
        report = exporting.export(
            labelling,
            output,
            form,
            fractions(split),
            seed=seed,
            near_duplicate_cosine=near,
            reviewed_only=reviewed_only,
            unsure=include is not None,
            how=how or "copy",
            overwrite=overwrite,
            progress=show,
        )
    for line in report.failure_lines():
        progress.say(line)
    if not quiet:
        for line in report.lines(near):
            progress.say(line)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=1))
    if report.failed:
        raise typer.Exit(1)
