"""`unseen calibrate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

import unseen
from unseen.cli import label_options, options, progress
from unseen.cli.output import unwritable
from unseen.cli.output_file import prepare
from unseen.datasets.annotation import match, read
from unseen.errors import LabelError, SourceError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.manifest import manifest, write_ended
from unseen.sources.files import image_files

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
    from unseen.prediction.calibration import beside  # noqa: PLC0415 - it loads what computes

    options.check_labels(labels, load_options)
    source = None if labels is None else options.labels_argument(labels)
    if output is None:
        if not isinstance(source, Path):
            given = "there is" if labels is None else f"{labels!r} is"
            raise LabelError(f"{given} no label file: say where it goes with -o FILE.")
        output = beside(source)
    if unknown and "auto" in unknown:
        raise LabelError("--unknown auto is no label; give it to unseen classify.")
    if target_precision is not None and not multi:
        raise LabelError("--target-precision is for thresholds, which --multi has.")
    if unlabelled is not None and multi:
        raise LabelError("--unlabelled is for one label a picture; leave --multi out.")
    prepare(output, overwrite=overwrite)
    if not pictures.exists():
        raise SourceError(f"{pictures}: there is no such folder or file.")
    classifier = unseen.load(load_options)
    compiled = label_options.compiled(classifier, labels, template, unknown or (), quiet)
    reading = {"index": not no_index, "batch_size": batch_size, "quiet": quiet}
    how: dict[str, Any] = {"multi": multi, "coverage": coverage, "sets": sets}
    how |= {"target_precision": target_precision, **load_options.facts()}
    makers = manifest(classifier.model, compiled, {**how, "unlabelled": unlabelled})
    if unlabelled is not None:
        made, failed = _prior(classifier, pictures, compiled, unlabelled, reading)
    else:
        wanted = {"precision": target_precision, "coverage": coverage or None, "method": sets}
        made, failed = _learnt(classifier, pictures, compiled, multi, wanted, reading)
    try:
        made.save(output)
    except OSError as error:
        raise unwritable(output, error) from None
    write_ended(output, makers, made.pictures + len(failed), len(failed))
    if as_json:
        typer.echo(json.dumps(made.to_data(), ensure_ascii=False))
    elif not quiet:
        progress.say(f"{output}: {_summary(made)}")
    if failed:
        raise typer.Exit(1)


def _learnt(
    classifier: unseen.Classifier,
    source: Path,
    compiled: unseen.CompiledLabels,
    multi: bool,
    how: dict[str, Any],
    reading: dict[str, Any],
) -> tuple[Calibration, dict[Path, str]]:
    """From labelled pictures; those that take no part are said."""
    import numpy as np  # noqa: PLC0415 - it loads what computes

    from unseen.cli import labelled  # noqa: PLC0415
    from unseen.learning.calibrate import learn  # noqa: PLC0415

    examples = read(source, several=multi)
    matched = match(examples, compiled.answers)
    used = np.flatnonzero(matched.judged(multi))
    failed: dict[Path, str] = {}
    paths = [examples[i].path for i in used]
    rows = labelled.encode(classifier, paths, source, failed, **reading)
    left_out = {
        "unreadable": labelled.unreadable(failed),
        "unlabelled": sum(not example.labels for example in examples),
        "unnamed": matched.unnamed,
    }
    labelled.say_left_out(left_out, len(paths), several=multi)
    kept = np.array([path not in failed for path in paths], dtype=bool)
    truth = matched.truth(used[kept].tolist(), True, len(compiled.answers))
    return learn(rows[kept], truth, compiled, multi_label=multi, **how), failed


def _prior(
    classifier: unseen.Classifier,
    source: Path,
    compiled: unseen.CompiledLabels,
    prior: str,
    reading: dict[str, Any],
) -> tuple[Calibration, dict[Path, str]]:
    """From pictures without labels."""
    import numpy as np  # noqa: PLC0415 - it loads what computes

    from unseen.cli import labelled  # noqa: PLC0415
    from unseen.learning.calibrate import learn_prior  # noqa: PLC0415

    paths = list(image_files(source))
    failed: dict[Path, str] = {}
    rows = labelled.encode(classifier, paths, source, failed, **reading)
    labelled.say_left_out({"unreadable": labelled.unreadable(failed)}, len(paths))
    kept = np.array([path not in failed for path in paths], dtype=bool)
    return learn_prior(rows[kept], compiled, prior), failed


def _summary(made: Calibration) -> str:
    """What was learnt, in words."""
    said = [f"{made.pictures} pictures"]
    if made.prior is not None:
        said.append("a prior of the labels")
    else:
        said.append(f"temperature {made.temperature:.2f}")
    if made.multi_label:
        said.append(f"thresholds for {made.wanted}")
    if made.likely is not None:
        said.append(f"likely labels with {made.likely.coverage:.0%} coverage")
    return ", ".join(said) + "."
