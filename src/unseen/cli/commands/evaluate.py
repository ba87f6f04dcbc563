"""`unseen eval`: how good are models, templates and labels on labelled pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import unseen
from unseen.cli import labelled, options, progress
from unseen.cli.output import Lines
from unseen.errors import LabelError, ModelError, UnseenError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.manifest import write_ended
from unseen.results.result_file import check_output

if TYPE_CHECKING:
    from unseen.evaluation.report import EvaluationReport


@options.loads_model()
def evaluate(
    truth: Annotated[
        str,
        typer.Argument(
            help="A folder with a folder for each class, an index of such, a CSV file; or an "
            "archive, a table or an address whose pictures have labels."
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="builtin, a hub id (org/name[@revision]), a folder. Repeatable: compares.",
            show_default="builtin",
        ),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels",
            "-l",
            help="Labels with commas, or a label file. Repeatable: compares.",
            show_default="the classes",
        ),
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            help="A prompt with {}, or a named set. Repeatable: compares.",
            show_default="the model's own",
        ),
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(help="A file of `unseen adapt`; none: without one. Repeatable: compares."),
    ] = None,
    calibration: Annotated[
        list[str] | None,
        typer.Option(
            help="A file of `unseen calibrate`; none: without one. Repeatable: compares.",
            show_default="the file beside the label file",
        ),
    ] = None,
    unknown: options.Unknown = None,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    multi: Annotated[
        bool, typer.Option("--multi", help="A picture may have several labels, ; between them.")
    ] = False,
    retrieval: Annotated[
        bool, typer.Option("--retrieval", help="A CSV file of path,caption: which finds which?")
    ] = False,
    top_k: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Right in the first so many. Repeatable.", show_default="1, 5; retrieval 10"
        ),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="A column of the CSV file: is it alike for all?")
    ] = None,
    min_group: Annotated[
        int, typer.Option(min=2, help="Of a group with fewer pictures nothing is claimed.")
    ] = 30,
    at_least: Annotated[
        list[str] | None,
        typer.Option("--min", help="top1=0.7: exit with 1 when it is less. Repeatable."),
    ] = None,
    at_most: Annotated[
        list[str] | None,
        typer.Option("--max", help="ece=0.1: exit with 1 when it is more. Repeatable."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a report to this file.")
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Show in the report what the worst mistakes came from."),
    ] = False,
    no_index: options.NoIndex = False,
    batch_size: options.BatchSize = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen eval sorted/ -m builtin -m openai/clip-vit-base-patch32

    How often models, templates and label files are right on pictures whose labels are known, with
    95 % intervals, compared in one table. What each figure is: unseen help eval.
    """
    # They load what computes, which --help must not wait for.
    from unseen.evaluation.evaluation import Comparison, choices, compare, known_metrics  # noqa: PLC0415
    from unseen.evaluation.report import parse_gates  # noqa: PLC0415
    from unseen.evaluation.retrieval import evaluate_retrieval  # noqa: PLC0415
    from unseen.prediction.adapter import Adapter  # noqa: PLC0415
    from unseen.prediction.calibration import Calibration  # noqa: PLC0415
    from unseen.prediction.calibration_file import AUTO  # noqa: PLC0415

    if retrieval and multi:
        raise LabelError("give one of --multi and --retrieval.")
    if retrieval and any((labels, template, unknown, adapter, calibration, group is not None)):
        raise LabelError(
            "--retrieval compares pictures with captions as they are: leave out --labels, "
            "--template, --unknown, --adapter, --calibration and --group."
        )
    if explain and (html is None or retrieval):
        raise LabelError("--explain draws into the report of labels: give --html, no --retrieval.")
    models = model or ["builtin"]
    if load_options.revision is not None and len(models) > 1:
        raise ModelError("--revision is for one model; of several write org/name@revision.")
    kind = "retrieval" if retrieval else "multi" if multi else "single"
    gates = parse_gates(at_least or (), at_most or (), known_metrics(kind, top_k))
    if html is not None:
        check_output(html, overwrite=True)
    # One after another: a model is loaded when the one before it has answered. Whether all are
    # there is looked at before.
    each = [replace(load_options, model=name) for name in models]
    for one in each[1:]:
        unseen.load(one)
    failures: list[UnseenError] = []
    summary = labelled.Summary(quiet)
    with progress.stages(quiet) as show:
        if retrieval:
            report = evaluate_retrieval(
                map(unseen.load, each),
                truth,
                top_k=top_k,
                use_index=not no_index,
                batch_size=batch_size,
                progress=show,
                on_read=summary.show,
            )
        else:
            comparison = Comparison(
                labels=choices(labels, options.labels_argument),
                templates=choices(template),
                adapters=choices(adapter, Adapter.load, none=True),
                calibrations=choices(
                    calibration or [AUTO],
                    lambda text: text if text == AUTO else Calibration.load(text),
                    none=True,
                ),
                background=unknown or (),
                multi_label=multi,
                top_k=top_k,
                group=group,
                min_group=min_group,
                use_index=not no_index,
                batch_size=batch_size,
                explain=explain,
            )
            report = compare(
                each,
                truth,
                comparison,
                progress=show,
                on_read=summary.show,
                on_error=failures.append,
            )
    for error in failures:
        progress.say(f"error: {error}")
    progress.say_left_out(str(truth), quiet)
    _show(report.check(gates), html, as_json, quiet)
    if failures:
        raise typer.Exit(2)


def _show(
    report: EvaluationReport,
    html: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Ends with 1 when a bound was missed or a picture could not be read."""
    unreadable = len(report.left_out["unreadable"])
    if report.rough:
        progress.say(f"warning: with {report.pictures} pictures every interval is rough.")
    if html is not None:
        report.to_html(html)
        runs = [candidate["run"] for candidate in report.candidates]
        write_ended(html, {"runs": runs}, report.pictures + unreadable, unreadable)
    text = json.dumps(report.to_dict(), ensure_ascii=False, indent=1) if as_json else str(report)
    Lines().write(text + "\n")
    if html is not None and not quiet:
        progress.say(f"{html}: the report.")
    missed = report.missed_lines()
    for line in missed:
        progress.say(line)
    if missed or unreadable:
        raise typer.Exit(1)
