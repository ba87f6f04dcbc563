"""`unseen classify`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

import unseen
from unseen.cli import label_options, options, progress
from unseen.cli.commands.index import as_indexed
from unseen.cli.output import Writer
from unseen.cli.output_file import Target
from unseen.errors import LabelError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.manifest import manifest
from unseen.sources.expand import count, expand, fields_of
from unseen.sources.item import Source


@options.loads_model()
def classify(
    sources: options.Sources,
    labels: options.LabelsOrAdapters = None,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    given: frozenset[str] = frozenset(),
    template: options.Template = None,
    unknown: options.UnknownOrAuto = None,
    multi: Annotated[
        bool, typer.Option("--multi", help="Each label is a yes or no of its own.")
    ] = False,
    top: Annotated[
        Optional[int],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(min=1, help="At most so many labels a picture.", show_default="all; CSV: 1"),
    ] = None,
    min_score: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0.0, max=1.0, help="Only labels as probable.", show_default=False),
    ] = None,
    batch_size: options.BatchSize = None,
    calibration: options.CalibrationFile = None,
    no_calibration: options.NoCalibration = False,
    transductive: Annotated[
        bool,
        typer.Option("--transductive", help="Let the whole collection help each picture."),
    ] = False,
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
        raise LabelError("--transductive is for one label a picture; leave --multi out.")
    if transductive and calibration is not None:
        raise LabelError("a calibration is of scores that are not transductive: leave one out.")
    background, auto = options.unknown_argument(unknown)
    options.check_labels(labels, load_options)
    target = Target.of(as_json=as_json, jsonl=jsonl, csv=csv, output=output)
    target.check(resume=resume, overwrite=overwrite)
    total = count(sources)
    if not no_index:
        load_options = as_indexed(load_options, given, sources, quiet)
    classifier = unseen.load(load_options)
    compiled = label_options.compiled(classifier, labels, template, background, quiet)
    learnt = (
        None
        if transductive
        else label_options.calibration_of(
            labels, compiled, calibration, none=no_calibration, multi=multi, quiet=quiet
        )
    )
    how: dict[str, Any] = {"multi": multi, "top": top, "min_score": min_score}
    how |= {**load_options.facts(), "transductive": transductive}
    if auto is not None:
        how["unknown"] = auto
    if learnt is not None:
        how["calibration"] = learnt.to_data()
    fields = fields_of(sources) if target.format == "csv" else ()
    if fields:  # columns of the file, so that only a run with the same goes on with it
        how["fields"] = fields
    makers = manifest(classifier.model, compiled, how)
    done = target.finished(makers, resume=resume)
    decision = classifier.decision(multi, top, min_score, auto, learnt)
    from unseen.index.stored import index_of, stored_embeddings  # noqa: PLC0415 - it loads what computes

    index_root = None if no_index else index_of(sources, classifier.encoder)
    before = done.total()
    if index_root is not None:
        if not quiet:
            progress.say(f"from the index of {index_root}; --no-index looks at the files.")
        folder = Path(sources[0])
        with progress.pictures(quiet) as show:
            stream = stored_embeddings(index_root, folder, classifier.encoder, progress=show)
    else:
        # What is done already need not be looked at, unless each picture's answer needs all.
        wanted = expand(sources) if transductive else _left(expand(sources), done, target)
        stream = classifier.encoder.stream_images(wanted, batch_size=batch_size)
    if transductive:
        predictions = classifier.together(stream, compiled, decision)
    else:
        predictions = classifier.predictions(stream, compiled, decision, batch_size=batch_size)
    if index_root is not None or transductive:
        predictions = (p for p in predictions if _take(done, target.key(p.source)))
    likely = None if learnt is None else learnt.likely
    writer = target.writer(
        single=total == 1,
        top=top or 1,
        more=[*(["likely"] if likely else []), *(["evidence"] if auto is not None else [])],
        fields=fields,
        coverage=None if likely is None else likely.coverage,
    )
    _run(predictions, writer, target, makers, classifier, total, before, quiet)


def _take(done: Counter[str], key: str) -> bool:
    """Whether a row is still to be made."""
    done[key] -= 1
    return done[key] < 0


def _left(sources: Iterable[Source], done: Counter[str], target: Target) -> Iterator[Source]:
    """The sources without a row; one that is given twice has two."""
    skip = done.copy()
    for source in sources:
        key = target.key(source.name)
        if skip[key] > 0:
            skip[key] -= 1
        else:
            yield source


def _run(
    predictions: Iterator[Any],
    writer: Writer,
    target: Target,
    makers: dict[str, Any],
    classifier: unseen.Classifier,
    total: int | None,
    before: int,
    quiet: bool,
) -> None:
    with progress.counting(total and max(total - before, 0), quiet) as counter:
        try:
            for prediction in predictions:
                writer.write(prediction)
                counter.picture(prediction.ok)
        except KeyboardInterrupt:
            stopped = True
        else:
            stopped = False
    writer.close()
    if counter.done:
        # What auto came to; by now that is known, and not looked for.
        makers["precision"] = classifier.encoder.precision
        makers["device"] = str(classifier.encoder.target.device)
    target.ended(makers, counter.done, counter.failed, complete=not stopped)
    if stopped:
        kept = f", kept in {target.path}" if target.path else ""
        go_on = "; go on with --resume" if target.path and target.format != "json" else ""
        progress.say(f"stopped: {before + counter.done} done{kept}{go_on}.")
    progress.failures(counter)
    if stopped or counter.failed:
        raise typer.Exit(130 if stopped else 1)
