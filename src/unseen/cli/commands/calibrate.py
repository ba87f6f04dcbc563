"""`unseen calibrate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

import unseen
from unseen.cli import labelled, options, progress
from unseen.cli.label_options import compile_labels
from unseen.cli.options import LabelOptions
from unseen.errors import LabelError, SourceError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.manifest import manifest, write_ended
from unseen.results.result_file import check_output, writing


@options.loads_model()
def calibrate(
    pictures: options.Examples,
    labels: options.LabelsOrAdapters = None,
    output: Annotated[
        Path | None,
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
        float | None,
        typer.Option(help="With --multi: thresholds for this precision.", show_default="best F1"),
    ] = None,
    coverage: Annotated[
        float, typer.Option(help="How often the right label is among the likely ones; 0: no sets.")
    ] = 0.9,
    sets: Annotated[str, typer.Option(help="How likely labels are chosen: lac or aps.")] = "lac",
    class_conditional: Annotated[
        bool,
        typer.Option(
            "--class-conditional",
            help="The coverage holds for the pictures of each label that has enough of them.",
        ),
    ] = False,
    max_wrong: Annotated[
        str | None,
        typer.Option(
            help="Answer only where at most this share of the answers is wrong: 1% or 0.01.",
            show_default="every picture is answered",
        ),
    ] = None,
    unlabelled: Annotated[
        str | None, typer.Option(help="Pictures without labels: correct by mean or em.")
    ] = None,
    no_index: options.NoIndex = False,
    batch_size: options.BatchSize = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen calibrate examples/labelled -l labels.txt

    Learn from 5 to 200 labelled pictures how far to trust the scores; classify then uses it.
    """
    from unseen.learning import report_text  # noqa: PLC0415
    from unseen.learning.calibrate import calibrate as learn  # noqa: PLC0415 - it loads what computes
    from unseen.prediction.calibration_file import beside  # noqa: PLC0415

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
    if max_wrong is not None and (multi or unlabelled is not None):
        raise LabelError(
            "--max-wrong is for labelled pictures with one label each; leave --multi and "
            "--unlabelled out."
        )
    if class_conditional and (multi or unlabelled is not None or not coverage):
        raise LabelError(
            "--class-conditional is for sets of labelled pictures with one label each; leave "
            "--multi, --unlabelled and --coverage 0 out."
        )
    share = None if max_wrong is None else _share(max_wrong)
    check_output(output, overwrite=overwrite)
    if not pictures.exists():
        raise SourceError(f"{pictures}: there is no such folder or file.")
    classifier = unseen.load(load_options)
    compiled = compile_labels(classifier, LabelOptions(labels, template, unknown), quiet=quiet)
    how: dict[str, Any] = {"multi": multi, "coverage": coverage, "sets": sets}
    how |= {"target_precision": target_precision, **load_options.facts()}
    how |= {"class_conditional": class_conditional, "max_wrong": share}
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
            class_conditional=class_conditional,
            max_wrong=share,
            prior=unlabelled,
            use_index=not no_index,
            batch_size=batch_size,
            progress=show,
            on_read=summary.show,
        )
    with writing(output):
        calibration.save(output)
    makers["left_out"] = progress.say_left_out(str(pictures), quiet)
    write_ended(output, makers, calibration.pictures + summary.errors, summary.errors)
    if as_json:
        typer.echo(json.dumps(calibration.to_data(), ensure_ascii=False))
    elif not quiet:
        first, *more = report_text.calibrated(calibration)
        for line in (f"{output}: {first}", *more):
            progress.say(line)
    if summary.errors:
        raise typer.Exit(1)


def _share(text: str) -> float:
    """A share of the answers: 1% or 0.01."""
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / (100 if number != text.strip() else 1)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise LabelError(
            f"--max-wrong is {text!r}; give a share of the answers, such as 1% or 0.01."
        )
    return share
