"""`unseen classify`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.output import Writer
from unseen.cli.target import Target
from unseen.errors import LabelError
from unseen.runs import manifest
from unseen.sources import Source, count, expand
from unseen.store.place import find

if TYPE_CHECKING:
    from unseen.calibration import Calibration
    from unseen.decide import Decision
    from unseen.encode import Encoded


def classify(
    sources: options.Sources,
    labels: options.LabelsOrAdapters = None,
    model: options.Model = "builtin",
    revision: options.Revision = None,
    commercial: options.Commercial = False,
    adapter: options.Adapter = None,
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
    exact: options.Exact = False,
    threads: options.Threads = None,
    precision: options.Precision = "fp32",
    device: options.Device = "auto",
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
    options.check_labels(labels, model, adapter)
    target = Target.of(as_json=as_json, jsonl=jsonl, csv=csv, output=output)
    target.check(resume=resume, overwrite=overwrite)
    total = count(sources)
    classifier = unseen.load(
        model,
        revision=revision,
        exact=exact,
        threads=threads,
        precision=precision,
        device=device,
        commercial=commercial,
        adapter=adapter,
    )
    with progress.prompts(quiet) as show:
        compiled = classifier.compile(
            None if labels is None else options.labels_argument(labels),
            template=options.template_argument(template),
            background=background,
            progress=show,
        )
    learnt = (
        None
        if transductive
        else calibration_of(
            labels, compiled, calibration, none=no_calibration, multi=multi, quiet=quiet
        )
    )
    how: dict[str, Any] = {"multi": multi, "top": top, "min_score": min_score, "exact": exact}
    how |= {"precision": precision, "transductive": transductive}
    if auto is not None:
        how["unknown"] = auto
    if learnt is not None:
        how["calibration"] = learnt.to_data()
    makers = manifest(classifier.model, compiled, how)
    done = target.finished(makers, resume=resume)
    decision = classifier.decision(multi, top, min_score, auto, learnt)
    indexed = None if no_index else _indexed(sources, classifier)
    before = done.total()
    if indexed is not None and not quiet:
        progress.say(f"from the index of {indexed.root}; --no-index looks at the files.")
    if indexed is not None:
        stream = _from_index(indexed, Path(sources[0]), classifier, quiet)
    else:
        # What is done already need not be looked at, unless each picture's answer needs all.
        wanted = expand(sources) if transductive else _left(expand(sources), done, target)
        stream = classifier.encoder.stream_images(wanted, batch_size=batch_size)
    if transductive:
        predictions = classifier.together(stream, compiled, decision)
    else:
        predictions = classifier.predictions(stream, compiled, decision, batch_size=batch_size)
    if indexed is not None or transductive:
        predictions = (p for p in predictions if _take(done, target.key(p.source)))
    likely = None if learnt is None else learnt.likely
    writer = target.writer(
        single=total == 1,
        top=top or 1,
        more=[*(["likely"] if likely else []), *(["evidence"] if auto is not None else [])],
        coverage=None if likely is None else likely.coverage,
    )
    _run(predictions, writer, target, makers, classifier, total, before, quiet)


def calibration_of(
    labels: str | None,
    compiled: unseen.CompiledLabels,
    given: Path | None,
    *,
    none: bool,
    multi: bool,
    quiet: bool,
) -> Calibration | None:
    """What is given, or lies beside the label file and fits; which of them is said."""
    from unseen.calibration import Calibration, beside  # noqa: PLC0415 - it loads what computes

    if given is not None:
        if none:
            raise LabelError("give one of --calibration and --no-calibration.")
        found = Calibration.load(given)
        found.check(compiled, multi_label=multi)
        return found
    source = None if labels is None else options.labels_argument(labels)
    if none or not isinstance(source, Path) or not beside(source).exists():
        return None
    path = beside(source)
    found = Calibration.load(path)
    reason = found.misfit(compiled, multi_label=multi)
    if reason is not None:
        progress.say(f"{path} is not used: {reason}.")
        return None
    if not quiet:
        progress.say(f"calibrated by {path}; --no-calibration leaves it alone.")
    return found


def predictions_of(
    classifier: unseen.Classifier,
    sources: list[str],
    labels: unseen.CompiledLabels,
    decision: Decision,
    *,
    batch_size: int | None,
    quiet: bool,
) -> Iterator[unseen.Prediction]:
    """A prediction for each picture, from the index where there is one."""
    stream = encoded(classifier, sources, batch_size=batch_size, quiet=quiet)
    return classifier.predictions(stream, labels, decision, batch_size=batch_size)


def encoded(
    classifier: unseen.Classifier,
    sources: list[str],
    *,
    batch_size: int | None = None,
    quiet: bool,
) -> Iterator[Encoded]:
    """The embedding of each picture, from the index where there is one."""
    indexed = _indexed(sources, classifier)
    if indexed is None:
        return classifier.encoder.stream_images(expand(sources), batch_size=batch_size)
    return _from_index(indexed, Path(sources[0]), classifier, quiet)


def _indexed(sources: list[str], classifier: unseen.Classifier) -> unseen.Index | None:
    """The index that knows these pictures: of one folder, and of just this model."""
    if len(sources) != 1 or not Path(sources[0]).is_dir():
        return None
    root = find(sources[0])
    if root is None:
        return None
    index = unseen.Index(root, create=False)
    return index if index.has(classifier.encoder) else None


def _from_index(
    index: unseen.Index,
    folder: Path,
    classifier: unseen.Classifier,
    quiet: bool,
) -> Iterator[Encoded]:
    """The embeddings under the names that the files have when they are looked at themselves."""
    with progress.pictures(quiet) as show:
        index.update(classifier.encoder, [folder], progress=show)
    key = index.name(folder)
    below = "" if key == "." else f"{key}/"
    for encoded in index.encoded(classifier.encoder, below=below):
        yield replace(encoded, name=str(folder / encoded.name.removeprefix(below)))


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
        makers["device"] = str(classifier.encoder.place.device)
    target.ended(makers, counter.done, counter.failed, complete=not stopped)
    if stopped:
        kept = f", kept in {target.path}" if target.path else ""
        go_on = "; go on with --resume" if target.path and target.format != "json" else ""
        progress.say(f"stopped: {before + counter.done} done{kept}{go_on}.")
    progress.failures(counter)
    if stopped or counter.failed:
        raise typer.Exit(130 if stopped else 1)
