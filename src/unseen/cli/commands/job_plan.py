"""`unseen job plan`."""

from __future__ import annotations

from typing import Annotated

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.label_options import compile_labels, load_calibration
from unseen.cli.options import NO_LABEL_OPTIONS, LabelOptions
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.summary import RunSummary


@options.loads_model()
@options.takes_labels()
def plan(
    sources: Annotated[
        list[str],
        typer.Argument(help="Folders, globs, archives, tables, PDF files, addresses, pictures."),
    ],
    job: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="JOB", help="A new folder, or an address: s3://bucket/job."
        ),
    ],
    label_options: LabelOptions = NO_LABEL_OPTIONS,
    embed: Annotated[
        bool, typer.Option("--embed", help="Keep the embedding of each picture; labels or not.")
    ] = False,
    shard: Annotated[int, typer.Option(min=1, help="Pictures of a shard, at most.")] = 1000,
    multi: Annotated[
        bool, typer.Option("--multi", help="Answer yes or no for each label by itself.")
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="The most labels of a picture.")] = 5,
    min_score: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Only labels with at least this probability."),
    ] = None,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    quiet: options.Quiet = False,
) -> None:
    """unseen job plan photos/ -o job -l cat,dog

    List the pictures once, and keep with them all that determines their answers: model, labels,
    options, calibration. `job run` then does it.
    """
    from unseen.jobs.plan import plan as write_plan  # noqa: PLC0415 - it loads what computes

    if not embed:
        options.check_labels(label_options.labels, load_options, sources)
    classifier = unseen.load(load_options)
    labels = calibration = None
    if label_options.labels is not None or not embed:
        labels = compile_labels(classifier, label_options, quiet=quiet)
        calibration = load_calibration(labels, label_options, multi=multi, quiet=quiet)
    with progress.counting(None, quiet) as counter:
        planned = write_plan(
            classifier,
            sources,
            job,
            labels,
            embed=embed,
            shard_pictures=shard,
            multi_label=multi,
            top_k=top,
            min_score=min_score,
            unknown=label_options.open_set,
            calibration=calibration,
            progress=lambda done: counter.show(RunSummary(pictures=done)),
        )
    if not quiet:
        count = len(planned.shards)
        progress.say(
            f"{planned.pictures:,} pictures in {count:,} shard{'s' * (count > 1)}; "
            f"do them: unseen job run {job}"
        )
