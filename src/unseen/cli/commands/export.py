"""`unseen export`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.label_options import compile_labels, load_calibration
from unseen.cli.options import NO_LABEL_OPTIONS, LabelOptions
from unseen.errors import LabelError, ModelError, SourceError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions


@options.loads_model(refused={"exact": "an exported file decodes no JPEG"})
@options.takes_labels()
def export(
    pictures: Annotated[
        list[str] | None,
        typer.Argument(help="Pictures for --check.", show_default="two that ship with the package"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The .onnx file to write.")
    ] = None,
    label_options: LabelOptions = NO_LABEL_OPTIONS,
    multi: Annotated[
        bool, typer.Option("--multi", help="Answer yes or no for each label by itself.")
    ] = False,
    fixed: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help="Take a batch of pictures of this size, such as 224x224; for runtimes without "
            "dynamic shapes.",
            show_default="one picture of any size",
        ),
    ] = None,
    with_embedding: Annotated[
        bool, typer.Option("--with-embedding", help="The picture's embedding is an output, too.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Run the file and compare it with the library.")
    ] = False,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen export -l cat,dog -o pets.onnx --check

    Write model and labels as one ONNX file that takes a raw picture: it runs in plain ONNX Runtime,
    without unseen and without Python.
    """
    if output is None:
        raise SourceError("no output was given; pass -o animals.onnx.")
    if output.exists() and not overwrite:
        raise SourceError(f"{output} exists; pass --overwrite to replace it.")
    if label_options.open_set:
        raise LabelError(
            "--unknown auto cannot be exported; give labels that mean none of these: "
            '--unknown "something else".'
        )
    if pictures and not check:
        raise SourceError("pictures are for --check; pass it, or leave the pictures out.")
    size = None if fixed is None else _size(fixed)
    options.check_labels(label_options.labels, load_options)
    file_options = unseen.ExportOptions(load_options.precision, size, with_embedding)
    classifier = unseen.load(load_options)
    labels = compile_labels(classifier, label_options, quiet=quiet)
    calibration = load_calibration(labels, label_options, multi=multi, quiet=quiet)
    written = classifier.export(
        labels, output, file_options, multi_label=multi, calibration=calibration
    )
    if not quiet:
        progress.say(
            f"{output}: {len(written.answers)} answers, {written.bytes / 1e6:.1f} MB; licence of "
            f"the model: {written.licence or 'not known'}."
        )
    if check:
        outcome = classifier.check_export(
            written, labels, pictures, multi_label=multi, calibration=calibration
        )
        typer.echo(str(outcome))
        if not outcome.passed or outcome.failed:
            raise typer.Exit(1)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text)
    if match is None:
        raise ModelError(f"--fixed is {text!r}; give height and width, such as 224x224.")
    return int(match[1]), int(match[2])
