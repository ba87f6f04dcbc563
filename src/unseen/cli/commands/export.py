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
from unseen.errors import ModelError, SourceError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.result_file import check_output, writing


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
    web: Annotated[
        Path | None, typer.Option("--web", help="A folder to write: a web app for any static host.")
    ] = None,
    dlstreamer: Annotated[
        Path | None,
        typer.Option(
            help="Write only the labels' vectors, as the .safetensors file that Intel's DL "
            "Streamer reads."
        ),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(
            help="A folder of the npm package onnxruntime-web, for --web.",
            show_default="fetched once, and checked",
        ),
    ] = None,
    webgpu: Annotated[
        bool,
        typer.Option(
            "--webgpu",
            help="For --web: compute with WebGPU where its answers are right. The runtime is "
            "twice as large.",
        ),
    ] = False,
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
    given: frozenset[str] = frozenset(),
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen export -l cat,dog -o pets.onnx --check

    Write model and labels as one ONNX file that takes a raw picture: it runs in plain ONNX Runtime,
    without unseen and without Python. Or as a web app that runs in the browser: --web FOLDER.
    """
    kind = _kind(output, web, dlstreamer)
    _check_options(
        kind,
        {
            "--check": check,
            "--fixed": fixed,
            "--with-embedding": with_embedding,
            "--runtime": runtime,
            "--webgpu": webgpu,
            "--multi": multi,
            "--unknown auto": label_options.open_set,
            "--precision": "precision" in given,
        },
    )
    if pictures and not check:
        raise SourceError("pictures are for --check; pass it, or leave the pictures out.")
    for file in (output, dlstreamer):
        if file is not None:
            check_output(file, overwrite=overwrite)
    if dlstreamer is not None:
        from unseen.deployment.dlstreamer import labels_file  # noqa: PLC0415 - it loads what computes

        check_output(labels_file(dlstreamer), overwrite=overwrite)
    size = None if fixed is None else _size(fixed)
    options.check_labels(label_options.labels, load_options)
    # In a browser half the size counts, and computes as fast.
    precision = load_options.precision
    if web is not None and "precision" not in given:
        precision = "fp16"
    file_options = unseen.ExportOptions(precision, size, with_embedding)
    classifier = unseen.load(load_options)
    labels = compile_labels(classifier, label_options, quiet=quiet)
    calibration = load_calibration(labels, label_options, multi=multi, quiet=quiet)
    if dlstreamer is not None:
        listed = classifier.export_dlstreamer(labels, dlstreamer, calibration=calibration)
        if not quiet:
            progress.say(f"{dlstreamer}: {len(labels.labels)} labels; labels-file: {listed}.")
        return
    if web is not None:
        with writing(web):
            app = classifier.export_web(
                labels,
                web,
                precision=precision,
                runtime=runtime,
                webgpu=webgpu,
                with_embedding=with_embedding,
                overwrite=overwrite,
                multi_label=multi,
                unknown=label_options.open_set,
                calibration=calibration,
            )
        _say(quiet, web, app)
        return
    assert output is not None
    unknown = label_options.open_set
    written = classifier.export(
        labels, output, file_options, multi_label=multi, unknown=unknown, calibration=calibration
    )
    _say(quiet, output, written)
    if check:
        outcome = classifier.check_export(
            written,
            labels,
            pictures,
            multi_label=multi,
            unknown=unknown,
            calibration=calibration,
        )
        typer.echo(str(outcome))
        if not outcome.passed or outcome.failed:
            raise typer.Exit(1)


def _kind(output: Path | None, web: Path | None, dlstreamer: Path | None) -> str:
    """What is written: the option that says it."""
    written = {"-o": output, "--web": web, "--dlstreamer": dlstreamer}
    given = [option for option, path in written.items() if path is not None]
    if len(given) != 1:
        raise SourceError(
            "give one of -o animals.onnx, --web FOLDER and --dlstreamer animals.safetensors."
        )
    return given[0]


# Which options each kind takes, of those that not every kind takes.
TAKEN = {
    "-o": {"--check", "--fixed", "--with-embedding", "--multi", "--unknown auto", "--precision"},
    "--web": {
        *("--runtime", "--webgpu", "--with-embedding"),
        *("--multi", "--unknown auto", "--precision"),
    },
    "--dlstreamer": set[str](),
}


def _check_options(kind: str, values: dict[str, object]) -> None:
    for option, value in values.items():
        if value and option not in TAKEN[kind]:
            kinds = [other for other, taken in TAKEN.items() if option in taken]
            raise SourceError(f"{option} is for {' and '.join(kinds)}, not for {kind}.")


def _say(quiet: bool, path: Path, written: unseen.Export | unseen.WebExport) -> None:
    if not quiet:
        progress.say(
            f"{path}: {len(written.answers)} answers, {written.bytes / 1e6:.1f} MB; licence of "
            f"the model: {written.licence or 'not known'}."
        )


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text)
    if match is None:
        raise ModelError(f"--fixed is {text!r}; give height and width, such as 224x224.")
    return int(match[1]), int(match[2])
