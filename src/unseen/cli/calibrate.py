"""`unseen calibrate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.output import unwritable
from unseen.cli.target import prepare
from unseen.errors import LabelError

if TYPE_CHECKING:
    from unseen.calibration import Calibration


def calibrate(
    pictures: Annotated[
        str,
        typer.Argument(help="A folder with a folder a label, or a .csv of path,label."),
    ],
    labels: options.Labels,
    output: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(
            "--output",
            "-o",
            help="A .json file.",
            show_default="LABELS.calibration.json beside the label file",
        ),
    ] = None,
    model: options.Model = "builtin",
    revision: options.Revision = None,
    commercial: options.Commercial = False,
    template: options.Template = None,
    unknown: options.Unknown = None,
    multi: Annotated[
        bool, typer.Option("--multi", help="A picture has all the labels that are true of it.")
    ] = False,
    precision: Annotated[
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
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen calibrate examples/labelled -l labels.txt

    Learn from 5 to 200 labelled pictures how far to trust the scores; classify then uses it.
    """
    from unseen.calibrate import calibrate as learn  # noqa: PLC0415 - it loads what computes
    from unseen.calibrate import calibrate_unlabelled  # noqa: PLC0415
    from unseen.calibration import beside  # noqa: PLC0415

    source = options.labels_argument(labels)
    if output is None:
        if not isinstance(source, Path):
            raise LabelError(f"{labels!r} is no label file: say where it goes with -o FILE.")
        output = beside(source)
    if unknown and "auto" in unknown:
        raise LabelError("--unknown auto is no label; give it to unseen classify.")
    if precision is not None and not multi:
        raise LabelError("--precision is for thresholds, which --multi has.")
    if unlabelled is not None and multi:
        raise LabelError("--unlabelled is for one label a picture; leave --multi out.")
    prepare(output, overwrite=overwrite)
    classifier = unseen.load(model, revision=revision, device=device, commercial=commercial)
    with progress.prompts(quiet) as show:
        compiled = classifier.compile(
            source,
            template=options.template_argument(template),
            background=unknown or (),
            progress=show,
        )
    if unlabelled is not None:
        made = calibrate_unlabelled(
            classifier, pictures, compiled, prior=unlabelled, batch_size=batch_size
        )
    else:
        made = learn(
            classifier,
            pictures,
            compiled,
            multi_label=multi,
            precision=precision,
            coverage=coverage or None,
            method=sets,
            batch_size=batch_size,
        )
    try:
        made.save(output)
    except OSError as error:
        raise unwritable(output, error) from None
    if as_json:
        typer.echo(json.dumps(made.to_data(), ensure_ascii=False))
    elif not quiet:
        progress.say(f"{output}: {_summary(made)}")


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
