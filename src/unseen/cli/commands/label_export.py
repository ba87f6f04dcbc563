"""`unseen label export`: what was labelled, as a data set with splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from unseen.cli import options, progress
from unseen.cli.commands.label import Name
from unseen.cli.output import printable
from unseen.errors import SourceError

if TYPE_CHECKING:
    from unseen.annotation.export import ExportReport

SHOWN = 10  # failures and labels that are named


def export(
    folder: Annotated[Path, typer.Argument(help="The folder of the pictures.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder to make.", show_default=False)
    ],
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
        Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(help="unsure: proposals of that pile, too.", show_default=False),
    ] = None,
    how: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="copy, link (symbolic) or hardlink.", show_default="copy"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export, and nothing else.")
    ] = False,
    name: Name = "labels",
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen label export photos/ -o dataset/ --format imagefolder

    Write what was reviewed, and what the model is sure of, as a data set. Pictures that are nearly
    the same are never in two splits. The formats: docs/label-export.md.
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
    for path, why in report.failed[:SHOWN]:
        progress.say(printable(f"{path}: {why}."))
    if report.failed:
        whole = report.pictures + len(report.failed)
        progress.say(f"{len(report.failed)} of {whole} pictures could not be exported.")
    if not quiet:
        _tell(report, near)
    if as_json:
        typer.echo(json.dumps(_facts(report), indent=1))
    if report.failed:
        raise typer.Exit(1)


def _tell(report: ExportReport, near: float) -> None:
    """What was done, and what one should know of it."""
    parts = [f"{name} {sum(counts.values())}" for name, counts in report.counts.items()]
    progress.say(f"{report.folder}: {report.pictures} pictures, {', '.join(parts)}.")
    left = [f"{count} {why}" for why, count in report.left_out.items() if count]
    if left:
        progress.say(f"left out: {', '.join(left)}.")
    splits = report.splits
    if splits.groups:
        progress.say(
            f"{splits.groups} groups of near-duplicates were kept together, the largest of "
            f"{splits.largest}."
        )
    if splits.chained:
        progress.say(
            f"warning: one group holds {splits.largest} of {len(splits.of)} pictures: each is near "
            f"the next, the ends need not be. The splits are lopsided; --near above {near:g} "
            "parts it."
        )
    for part, labels in splits.lacking.items():
        if labels:
            named = ", ".join(labels[:SHOWN]) + (", …" if len(labels) > SHOWN else "")
            progress.say(printable(f"{part} has no picture of {len(labels)} labels: {named}."))
    for name, its in report.folders.items():
        progress.say(printable(f"warning: the folder of {name} is called {its}."))


def _facts(report: ExportReport) -> dict[str, Any]:
    splits = report.splits
    return {
        "folder": report.folder,
        "pictures": report.pictures,
        "counts": report.counts,
        "left_out": report.left_out,
        "failed": report.failed,
        "folders": report.folders,
        "lacking": splits.lacking,
        "groups": splits.groups,
        "largest": splits.largest,
        "chained": splits.chained,
    }
