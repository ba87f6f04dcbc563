"""`unseen calibrate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

import unseen
from unseen.cli import label_options, labelled, options, progress
from unseen.cli.output import unwritable
from unseen.cli.output_file import prepare
from unseen.errors import LabelError, SourceError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.manifest import manifest, write_ended

if TYPE_CHECKING:
    from unseen.prediction.calibration import Calibration


@options.loads_model()
def calibrate(
    pictures: Annotated[
        Path,
        typer.Argument(help="A folder with a folder a label, or a .csv of path,label."),
    ],
    labels: options.LabelsOrAdapters = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(
            "--output",
            "-o",
            help="A .json file.",
            show_default="LABELS.calibration.json beside the label file",
        ),
    ] = None,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    template: options.Template = None,
    unknown: options.Unknown = None,
    multi: Annotated[
        bool, typer.Option("--multi", help="A picture has all the labels that are true of it.")
    ] = False,
    target_precision: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="With --multi: thresholds for this precision.", show_default="best F1"),
    ] = None,
    coverage: Annotated[
        float, typer.Option(help="How often the right label is among the likely ones; 0: no sets.")
    ] = 0.9,
    sets: Annotated[str, typer.Option(help="How likely labels are chosen: lac or aps.")] = "lac",
    unlabelled: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Pictures without labels: correct by mean or em.", show_default=False),
    ] = None,
    no_index: options.NoIndex = False,
    batch_size: options.BatchSize = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen calibrate examples/labelled -l labels.txt

    Learn from 5 to 200 labelled pictures how far to trust the scores; classify then uses it.
    """
    from unseen.learning.calibrate import calibrate as learn  # noqa: PLC0415 - it loads what computes
    from unseen.prediction.calibration import beside  # noqa: PLC0415

    options.check_labels(labels, load_options)
    source = None if labels is None else options.labels_argument(labels)
    if output is None:
        if not isinstance(source, Path):
            given = "there is" if labels is None else f"{labels!r} is"
            raise LabelError(f"{given} no label file: say where it goes with -o FILE.")
        output = beside(source)
    if unknown and "auto" in unknown:
        raise LabelError("--unknown auto is not a label; give it to unseen classify.")
    if target_precision is not None and not multi:
        raise LabelError("--target-precision is for thresholds, which --multi has.")
    if unlabelled is not None and multi:
        raise LabelError("--unlabelled is for one label a picture; leave --multi out.")
    prepare(output, overwrite=overwrite)
    if not pictures.exists():
        raise SourceError(f"{pictures}: there is no such folder or file.")
    classifier = unseen.load(load_options)
    compiled = label_options.compiled(classifier, labels, template, unknown or (), quiet)
    how: dict[str, Any] = {"multi": multi, "coverage": coverage, "sets": sets}
    how |= {"target_precision": target_precision, **load_options.facts()}
    makers = manifest(classifier.model, compiled, {**how, "unlabelled": unlabelled})
    summary = labelled.Summary(quiet)
    with progress.stages(quiet) as show:
        calibration = learn(
            classifier,
            pictures,
            compiled,
            multi_label=multi,
            precision=target_precision,
            coverage=coverage or None,
            method=sets,
            prior=unlabelled,
            use_index=not no_index,
            batch_size=batch_size,
            progress=show,
            on_read=summary.show,
        )
    try:
        calibration.save(output)
    except OSError as error:
        raise unwritable(output, error) from None
    write_ended(output, makers, calibration.pictures + summary.errors, summary.errors)
    if as_json:
        typer.echo(json.dumps(calibration.to_data(), ensure_ascii=False))
    elif not quiet:
        progress.say(f"{output}: {_described(calibration)}")
    if summary.errors:
        raise typer.Exit(1)


def _described(calibration: Calibration) -> str:
    """What was learnt, in words."""
    parts = [f"{calibration.pictures} pictures"]
    if calibration.prior is not None:
        parts.append("a prior of the labels")
    else:
        parts.append(f"temperature {calibration.temperature:.2f}")
    if calibration.multi_label:
        parts.append(f"thresholds for {calibration.threshold_goal}")
    if calibration.likely is not None:
        parts.append(f"likely labels with {calibration.likely.coverage:.0%} coverage")
    return ", ".join(parts) + "."
