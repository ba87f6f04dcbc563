"""`unseen eval`: how good are models, templates and labels on labelled pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

import unseen
from unseen.cli import labelled, options, progress
from unseen.cli.output import Lines
from unseen.cli.output_file import prepare
from unseen.errors import LabelError, ModelError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.manifest import write_ended

if TYPE_CHECKING:
    from unseen.evaluation.evaluation import Choice
    from unseen.evaluation.report import EvaluationReport, Gate


@options.loads_model()
def evaluate(
    truth: Annotated[
        Path,
        typer.Argument(
            help="A folder with a folder for each class, an index of such, or a CSV file.",
            show_default=False,
        ),
    ],
    model: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--model",
            "-m",
            help="builtin, a hub id (org/name[@revision]), a folder. Repeatable: compares.",
            show_default="builtin",
        ),
    ] = None,
    labels: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--labels",
            "-l",
            help="Labels with commas, or a label file. Repeatable: compares.",
            show_default="the classes",
        ),
    ] = None,
    template: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            help="A prompt with {}, or a named set. Repeatable: compares.",
            show_default="the model's own",
        ),
    ] = None,
    adapter: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            help="A file of `unseen adapt`; none: without one. Repeatable: compares.",
            show_default=False,
        ),
    ] = None,
    calibration: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            help="A file of `unseen calibrate`; none: without one. Repeatable: compares.",
            show_default=False,
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
        Optional[list[int]],  # noqa: UP045
        typer.Option(
            min=1, help="Right in the first so many. Repeatable.", show_default="1, 5; retrieval 10"
        ),
    ] = None,
    group: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="A column of the CSV file: is it alike for all?", show_default=False),
    ] = None,
    min_group: Annotated[
        int, typer.Option(min=2, help="Of a group with fewer pictures nothing is claimed.")
    ] = 30,
    at_least: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--min", help="top1=0.7: exit with 1 when it is less. Repeatable.", show_default=False
        ),
    ] = None,
    at_most: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--max", help="ece=0.1: exit with 1 when it is more. Repeatable.", show_default=False
        ),
    ] = None,
    html: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--html", help="Write a report to this file.", show_default=False),
    ] = None,
    no_index: options.NoIndex = False,
    batch_size: options.BatchSize = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen eval sorted/ -m builtin -m openai/clip-vit-base-patch32

    How often models, templates and label files are right on pictures whose labels are known, with
    95 % intervals, compared in one table. docs/eval.md says what each figure is.
    """
    # They load what computes, which --help must not wait for.
    from unseen.evaluation.evaluation import Comparison, compare  # noqa: PLC0415
    from unseen.evaluation.retrieval import evaluate_retrieval  # noqa: PLC0415
    from unseen.prediction.adapter import Adapter  # noqa: PLC0415
    from unseen.prediction.calibration import Calibration  # noqa: PLC0415

    if retrieval and multi:
        raise LabelError("give one of --multi and --retrieval.")
    if retrieval and any((labels, template, unknown, adapter, calibration, group is not None)):
        raise LabelError(
            "--retrieval compares pictures with captions as they are: leave out --labels, "
            "--template, --unknown, --adapter, --calibration and --group."
        )
    models = model or ["builtin"]
    if load_options.revision is not None and len(models) > 1:
        raise ModelError("--revision is for one model; of several write org/name@revision.")
    kind = "retrieval" if retrieval else "multi" if multi else "single"
    gates = [_gate(text, True, kind, top_k) for text in at_least or []]
    gates += [_gate(text, False, kind, top_k) for text in at_most or []]
    if html is not None:
        prepare(html, overwrite=True)
    # One after another: a model is loaded when the one before it has answered.
    classifiers = (unseen.load(replace(load_options, model=name)) for name in models)
    summary = labelled.Summary(quiet)
    with progress.stages(quiet) as show:
        if retrieval:
            report = evaluate_retrieval(
                classifiers,
                truth,
                top_k=top_k,
                use_index=not no_index,
                batch_size=batch_size,
                progress=show,
                on_read=summary.show,
            )
        else:
            comparison = Comparison(
                labels=_choices(labels, options.labels_argument),
                templates=_choices(template, str),
                adapters=_choices(adapter, _or_none(Adapter.load)),
                calibrations=_choices(calibration, _or_none(Calibration.load)),
                background=unknown or (),
                multi_label=multi,
                top_k=top_k,
                group=group,
                min_group=min_group,
                use_index=not no_index,
                batch_size=batch_size,
            )
            report = compare(classifiers, truth, comparison, progress=show, on_read=summary.show)
    _show(report.check(gates), html, as_json, quiet)


def _choices(given: list[str] | None, read: Callable[[str], Any]) -> list[Choice]:
    """The values of a repeatable option, and what the report calls them."""
    from unseen.evaluation.evaluation import Choice  # noqa: PLC0415

    return [Choice(text, read(text)) for text in given or ()] or [Choice()]


def _or_none(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """`none` stands for the model without an adapter or calibration, to compare with."""
    return lambda text: None if text == "none" else read(text)


def _gate(text: str, at_least: bool, kind: str, top_k: list[int] | None) -> Gate:
    """`top1=0.7` as a bound. LabelError."""
    from unseen.evaluation.evaluation import known_metrics  # noqa: PLC0415
    from unseen.evaluation.report import Gate  # noqa: PLC0415

    name, _, value = text.partition("=")
    known = known_metrics(kind, top_k)
    if name not in known:
        raise LabelError(f"{text!r}: unknown figure {name!r}; choose one of: {', '.join(known)}.")
    if known[name].higher != at_least:
        better, option = ("more", "--min") if known[name].higher else ("less", "--max")
        raise LabelError(f"{text!r}: {name} is better when it is {better}; use {option}.")
    try:
        return Gate(name, float(value), at_least)
    except ValueError:
        raise LabelError(f"{text!r}: give a number after =, such as {name}=0.7.") from None


def _show(report: EvaluationReport, html: Path | None, as_json: bool, quiet: bool) -> None:
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
    missed = [gate for gate in report.gates if not gate["met"]]
    for gate in missed:
        sign = "<" if gate["at_least"] else ">"
        progress.say(
            f"{gate['letter']}: {gate['figure']} is {gate['value']}, {sign} {gate['bound']}."
        )
    if missed or unreadable:
        raise typer.Exit(1)
