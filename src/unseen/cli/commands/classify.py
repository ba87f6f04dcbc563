"""`unseen classify`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.commands.index import as_indexed
from unseen.cli.label_options import compile_facets, compile_labels, load_calibration
from unseen.cli.options import NO_LABEL_OPTIONS, LabelOptions
from unseen.cli.output_file import Target
from unseen.errors import LabelError
from unseen.index.location import index_above
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.result_file import GROWING
from unseen.sources.expand import count, expand, fields_of

if TYPE_CHECKING:
    from unseen.encoder import Encoded
    from unseen.results.summary import RunSummary


@options.loads_model()
@options.takes_labels(several=True)
def classify(
    sources: options.Sources,
    label_options: LabelOptions = NO_LABEL_OPTIONS,
    multi: Annotated[
        bool, typer.Option("--multi", help="Answer yes or no for each label by itself.")
    ] = False,
    multi_set: Annotated[
        list[str] | None,
        typer.Option(
            "--multi-set", help="--multi, of several label sets for this one. Repeatable."
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1, help="The most labels of a picture.", show_default="all; CSV, Parquet: 1"
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Only labels with at least this probability."),
    ] = None,
    transductive: Annotated[
        bool, typer.Option("--transductive", help="Let the whole collection help each picture.")
    ] = False,
    tiles: options.Tiles = None,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    given: frozenset[str] = frozenset(),
    batch_size: options.BatchSize = None,
    no_index: options.NoIndex = False,
    as_json: options.AsJson = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="A JSON object a line, on standard output.")
    ] = False,
    csv: Annotated[
        Path | None, typer.Option(help="Write this CSV file; - is standard output.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write this .jsonl, .csv, .json or .parquet file."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a .jsonl or .csv file where it stopped.")
    ] = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen classify photo.jpg --labels cat,dog

    Say which labels fit each picture. A picture that cannot be read is a row with an error.
    """
    if transductive and multi:
        raise LabelError("--transductive cannot be combined with --multi.")
    if transductive and label_options.calibration is not None:
        raise LabelError("--transductive cannot be combined with --calibration.")
    if tiles is not None:
        _check_tiles(tiles, label_options, transductive=transductive)
    if multi_set and not label_options.sets:
        raise LabelError("--multi-set names one of several label sets; of one set take --multi.")
    for labels in label_options.sets or (label_options.labels,):
        options.check_labels(labels, load_options, sources)
    target = Target.of(as_json=as_json, jsonl=jsonl, csv=csv, output=output)
    target.check(resume=resume, overwrite=overwrite)
    total = count(sources)
    if not no_index:
        load_options = as_indexed(load_options, given, sources, quiet)
    classifier = unseen.load(load_options)
    if total == 1:
        classifier.encoder.begin_compiling()
    answering = _Answering(multi or multi_set or False, top, min_score, transductive, tiles, quiet)
    prepare = _several_sets if label_options.sets else _one_set
    classify_all = prepare(classifier, sources, label_options, target, answering, total == 1)
    encoded: Iterator[Encoded] | None = None
    if not no_index:
        encoded = _from_index(sources, classifier, tiles, batch_size, quiet)
    if encoded is None and total == 1 and tiles is None and not resume:
        encoded = map(classifier.encoder.encode_one, expand(sources))
    with progress.counting(total, quiet) as counter, counter.interruptible():
        classify_all(
            transductive=transductive,
            encoded=encoded,
            batch_size=batch_size,
            kind=target.kind,
            resume=resume,
            overwrite=overwrite,
            progress=counter.show,
        )
    summary = counter.finished()
    where = f", kept in {target.path}" if target.path else ""
    go_on = "; go on with --resume" if target.path and target.kind in GROWING else ""
    done = f"{summary.earlier + summary.pictures} done{where}{go_on}"
    several = total != 1 or bool(summary.left_out)
    progress.end(summary, done, closing=several and not quiet)


def _check_tiles(tiles: str, label_options: LabelOptions, *, transductive: bool) -> None:
    """Raise, before a model is loaded, for tiles that cannot be had, or not with what is given."""
    from unseen.images.tiling import check_tiling  # noqa: PLC0415 - it loads Pillow

    check_tiling(tiles)
    if transductive:
        raise LabelError("--tiles cannot be combined with --transductive.")
    if label_options.sets:
        raise LabelError("--tiles takes one label set; classify again for each other one.")
    if label_options.calibration is not None:
        raise LabelError(
            "--tiles cannot be combined with --calibration, which was learnt of whole pictures."
        )


def _leave_calibration(
    labels: unseen.CompiledLabels, label_options: LabelOptions, *, multi: bool
) -> None:
    """Say that the calibration beside the labels, if there is one, is not used with tiles."""
    from unseen.prediction.calibration_file import AUTO, refuse_for_tiles  # noqa: PLC0415 - as above

    if label_options.labels is not None and not label_options.no_calibration:
        words = options.labels_argument(label_options.labels)
        refuse_for_tiles(AUTO, words, labels, multi_label=multi)


@dataclass(frozen=True)
class _Answering:
    """The options of answers. `multi`: of all label sets, or the names of some."""

    multi: bool | list[str]
    top: int | None
    min_score: float | None
    transductive: bool
    tiles: str | None
    quiet: bool


def _one_set(
    classifier: unseen.Classifier,
    sources: list[str],
    label_options: LabelOptions,
    target: Target,
    answering: _Answering,
    single: bool,
) -> Callable[..., RunSummary]:
    """`classify_to_file` of one label set. `single`: it is shown with every label."""
    multi, quiet = bool(answering.multi), answering.quiet
    labels = compile_labels(classifier, label_options, quiet=quiet)
    calibration = None
    if answering.tiles is not None:
        _leave_calibration(labels, label_options, multi=multi)
    elif not answering.transductive:
        calibration = load_calibration(labels, label_options, multi=multi, quiet=quiet)
    prediction_sets = None if calibration is None else calibration.likely
    output = target.output(
        single=single,
        top=answering.top or 1,
        extra=(
            *(["likely"] if prediction_sets else []),
            *(["evidence"] if label_options.open_set else []),
            *(["tile"] if answering.tiles else []),
        ),
        fields=fields_of(sources),
        coverage=None if prediction_sets is None else prediction_sets.coverage,
    )
    return partial(
        unseen.classify_to_file,
        classifier,
        sources,
        labels,
        output,
        multi_label=multi,
        top_k=answering.top,
        min_score=answering.min_score,
        unknown=label_options.open_set,
        calibration=calibration,
        tiles=answering.tiles,
    )


def _several_sets(
    classifier: unseen.Classifier,
    sources: list[str],
    label_options: LabelOptions,
    target: Target,
    answering: _Answering,
    single: bool,
) -> Callable[..., RunSummary]:
    """`classify_facets_to_file`. `single`: it is shown with every label."""
    from unseen.results.classification import extra_columns  # noqa: PLC0415 - it loads what computes

    facets = compile_facets(
        classifier,
        label_options,
        answering.multi,
        top=answering.top,
        min_score=answering.min_score,
        transductive=answering.transductive,
        quiet=answering.quiet,
    )
    likely = {
        name: facet.decision.calibration.likely
        for name, facet in facets.items()
        if facet.decision.calibration is not None
    }
    output = target.output_of_facets(
        single=single,
        top=answering.top or 1,
        facets={name: extra_columns(facet.decision) for name, facet in facets.items()},
        fields=fields_of(sources),
        coverages={name: sets.coverage for name, sets in likely.items() if sets is not None},
    )
    return partial(
        unseen.classify_facets_to_file, classifier, sources, facets, output, top_k=answering.top
    )


def _from_index(
    sources: list[str],
    classifier: unseen.Classifier,
    tiles: str | None,
    batch_size: int | None,
    quiet: bool,
) -> Iterator[Encoded] | None:
    """The embeddings that an index has of the sources, once it is up to date."""
    if index_above(sources) is None:
        return None
    from unseen.index.stored import index_of, stored_embeddings  # noqa: PLC0415 - it loads what computes

    root = index_of(sources, classifier.encoder, tiles)
    if root is None:
        return None
    if not quiet:
        progress.say(f"from the index of {root}; --no-index reads the files.")
    with progress.pictures(quiet) as show:
        return stored_embeddings(
            root,
            Path(sources[0]),
            classifier.encoder,
            tiles=tiles,
            batch_size=batch_size,
            progress=show,
        )
