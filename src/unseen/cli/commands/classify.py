"""`unseen classify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

import unseen
from unseen.cli import image_stream, options, progress
from unseen.cli.label_options import compile_labels, load_calibration
from unseen.cli.options import NO_LABEL_OPTIONS, LabelOptions
from unseen.cli.output_file import Target
from unseen.errors import LabelError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.sources.expand import count


@options.loads_model()
@options.takes_labels()
def classify(
    sources: options.Sources,
    label_options: LabelOptions = NO_LABEL_OPTIONS,
    multi: Annotated[
        bool, typer.Option("--multi", help="Answer yes or no for each label by itself.")
    ] = False,
    top: Annotated[
        Optional[int],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(min=1, help="The most labels of a picture.", show_default="all; CSV: 1"),
    ] = None,
    min_score: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            min=0.0,
            max=1.0,
            help="Only labels with at least this probability.",
            show_default=False,
        ),
    ] = None,
    transductive: Annotated[
        bool,
        typer.Option("--transductive", help="Let the whole collection help each picture."),
    ] = False,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    batch_size: options.BatchSize = None,
    no_index: options.NoIndex = False,
    as_json: options.AsJson = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="A JSON object a line, on standard output.")
    ] = False,
    csv: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write this CSV file; - is standard output.", show_default=False),
    ] = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--output", "-o", help="Write this .jsonl, .csv or .json file.", show_default=False
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a .jsonl or .csv file where it stopped.")
    ] = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen classify photo.jpg --labels cat,dog

    Say which labels fit each picture. A picture that cannot be read is a row with an error.
    """
    if transductive and multi:
        raise LabelError("--transductive cannot be combined with --multi.")
    if transductive and label_options.calibration is not None:
        raise LabelError("--transductive cannot be combined with --calibration.")
    options.check_labels(label_options.labels, load_options)
    target = Target.of(as_json=as_json, jsonl=jsonl, csv=csv, output=output)
    target.check(resume=resume, overwrite=overwrite)
    total = count(sources)
    classifier = unseen.load(load_options)
    labels = compile_labels(classifier, label_options, quiet=quiet)
    calibration = (
        None if transductive else load_calibration(labels, label_options, multi=multi, quiet=quiet)
    )
    prediction_sets = None if calibration is None else calibration.likely
    index = None if no_index else image_stream.indexed_of(sources, classifier)
    if index is not None and not quiet:
        progress.say(f"from the index of {index.root}; --no-index reads the files.")
    with progress.counting(total, quiet) as counter, counter.interruptible():
        unseen.classify_to_file(
            classifier,
            sources,
            labels,
            target.output(
                single=total == 1,
                top=top or 1,
                extra=(
                    *(["likely"] if prediction_sets else []),
                    *(["evidence"] if label_options.open_set else []),
                ),
                coverage=None if prediction_sets is None else prediction_sets.coverage,
            ),
            multi_label=multi,
            top_k=top,
            min_score=min_score,
            unknown=label_options.open_set,
            calibration=calibration,
            transductive=transductive,
            encoded=None
            if index is None
            else image_stream.from_index(index, Path(sources[0]), classifier, quiet),
            batch_size=batch_size,
            kind=target.kind,
            resume=resume,
            overwrite=overwrite,
            progress=counter.show,
        )
    summary = counter.finished()
    kept = f", kept in {target.path}" if target.path else ""
    go_on = "; go on with --resume" if target.path and target.kind != "json" else ""
    progress.end(summary, f"{summary.earlier + summary.pictures} done{kept}{go_on}")
