"""`unseen eval`: how good are models, templates and labels on labelled pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from unseen.cli import options, progress
from unseen.cli.output import Lines
from unseen.cli.output_file import prepare
from unseen.errors import LabelError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.manifest import write_ended


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
    from unseen.cli import figures  # noqa: PLC0415
    from unseen.cli.evaluation import Question, answer  # noqa: PLC0415

    if retrieval and multi:
        raise LabelError("give one of --multi and --retrieval.")
    question = Question(
        truth,
        "retrieval" if retrieval else "multi" if multi else "single",
        model or ["builtin"],
        labels or [],
        template or [],
        adapter or [],
        calibration or [],
        unknown or [],
        top_k,
        group,
        min_group,
        index=not no_index,
        batch_size=batch_size,
        quiet=quiet,
        load_options=load_options,
    )
    gates = [question.gate(text, at_least=True) for text in at_least or []]
    gates += [question.gate(text, at_least=False) for text in at_most or []]
    if html is not None:
        prepare(html, overwrite=True)
    found = answer(question)
    found["gates"] = [_held(one, *gate) for gate in gates for one in found["candidates"]]
    if html is not None:
        from unseen.cli.report import write  # noqa: PLC0415 - it loads Pillow

        write(html, found)
        runs = [one["run"] for one in found["candidates"]]
        unreadable = len(found["left_out"]["unreadable"])
        write_ended(html, {"runs": runs}, found["pictures"] + unreadable, unreadable)
    if as_json:
        Lines().write(json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    else:
        Lines().write("\n".join(figures.lines(found)) + "\n")
    if html is not None and not quiet:
        progress.say(f"{html}: the report.")
    missed = [gate for gate in found["gates"] if not gate["met"]]
    for gate in missed:
        sign = "<" if gate["at_least"] else ">"
        progress.say(
            f"{gate['letter']}: {gate['figure']} is {gate['value']}, {sign} {gate['bound']}."
        )
    if missed or found["left_out"]["unreadable"]:
        raise typer.Exit(1)


def _held(candidate: dict[str, Any], name: str, bound: float, at_least: bool) -> dict[str, Any]:
    """Whether a candidate passes a gate. A figure that there is not passes none."""
    value = candidate["figures"].get(name, {}).get("value")
    met = value is not None and (value >= bound if at_least else value <= bound)
    gate = {"letter": candidate["letter"], "figure": name, "value": value, "bound": bound}
    return {**gate, "at_least": at_least, "met": met}
