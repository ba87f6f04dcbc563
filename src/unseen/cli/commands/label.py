"""`unseen label`: a model proposes; `label info`: how far a labelling is, and how good."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.command_group import defaulting
from unseen.cli.commands.index import as_indexed
from unseen.cli.label_options import compile_labels, load_calibration
from unseen.cli.options import NO_LABEL_OPTIONS, LabelOptions
from unseen.cli.output import named
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.sources.containers.container_file import resolve
from unseen.sources.frame_names import is_video

if TYPE_CHECKING:
    from unseen.annotation.labelling import Labelling

label = typer.Typer(cls=defaulting("propose"), no_args_is_help=True)


@label.callback()
def group() -> None:
    """unseen label photos/ -l labels.txt

    Label a folder: a model proposes, a person reviews what is doubtful, and the result is exported
    as a data set. The pictures are not changed. More: unseen help label.
    """


@label.command(short_help="Let a model propose a label for each picture.")
@options.loads_model()
@options.takes_labels()
def propose(
    folder: options.LabelledFolder,
    label_options: LabelOptions = NO_LABEL_OPTIONS,
    sure: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="The probability from which a proposal is sure, unless the label file gives its "
            "label a threshold.",
        ),
    ] = 0.9,
    name: options.Labelling = "labels",
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    given: frozenset[str] = frozenset(),
    batch_size: options.BatchSize = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen label photos/ -l labels.txt

    Propose a label for each picture, and put it into a pile: sure, unsure or none of these. Each
    picture is read once; other labels or thresholds take no time, and keep what was reviewed.
    """
    options.check_labels(label_options.labels, load_options)
    load_options = as_indexed(load_options, given, [folder], quiet)
    classifier = unseen.load(load_options)
    if folder.is_file() and is_video(folder):
        folder = _frames_of(classifier, folder, quiet)
    compiled = compile_labels(classifier, label_options, quiet=quiet)
    calibration = load_calibration(compiled, label_options, quiet=quiet)
    with progress.pictures(quiet) as show:
        labelling = unseen.label(
            classifier,
            folder,
            compiled,
            name=name,
            sure=sure,
            unknown=label_options.open_set,
            calibration=calibration,
            batch_size=batch_size,
            progress=show,
        )
    with labelling:
        left_out = progress.say_left_out(str(folder), quiet)
        failed = _show(labelling, folder, {"left_out": left_out}, as_json=as_json, quiet=quiet)
    if failed:
        raise typer.Exit(1)


@label.command(short_help="Show the progress, and how often the model was right.")
def info(
    folder: options.LabelledFolder,
    name: options.Labelling = "labels",
    as_json: options.AsJson = False,
) -> None:
    """unseen label info photos/

    Show the piles, the labels, what was reviewed, and how often the model was right there.
    """
    from unseen.annotation.labelling import Labelling  # noqa: PLC0415 - it loads what computes

    with Labelling.open(folder, name) as labelling:
        _show(labelling, folder, {}, as_json=as_json, quiet=False)


def _frames_of(classifier: unseen.Classifier, video: Path, quiet: bool) -> Path:
    """The folder of the frames of a video that are worth a label; they are written once."""
    from unseen.video.extraction import extract, folder_of  # noqa: PLC0415 - it loads what computes

    folder = folder_of(video)
    if not folder.is_dir():
        with progress.videos(quiet) as show:
            files = extract(
                classifier.encoder,
                video,
                folder,
                progress=lambda done, total: show(str(video), done, total),
            )
        if not quiet:
            frames = "1 frame" if len(files) == 1 else f"{len(files)} frames that differ"
            progress.say(f"{video}: {frames}, in {folder}.")
    return folder


def _show(
    labelling: Labelling, folder: Path, more: Mapping[str, Any], *, as_json: bool, quiet: bool
) -> bool:
    """Show what a labelling holds → whether some of its pictures could not be read.

    `more`: for the JSON.
    """
    from unseen.annotation.progress_report import progress_of  # noqa: PLC0415 - it loads what computes

    report = progress_of(labelling)
    for path, error in report.failures:
        progress.say(named(str(resolve(path, labelling.root)), error))
    if as_json:
        typer.echo(json.dumps({**report.to_dict(), **more}, ensure_ascii=False, indent=1))
    else:
        typer.echo(report)
        if not quiet and report.doubtful:
            progress.say(f"look over what is doubtful: unseen label review {folder}")
    return bool(report.failures)
