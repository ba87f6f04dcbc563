"""`unseen distil`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.output import named, printable, unwritable
from unseen.cli.output_file import prepare
from unseen.errors import ModelError, SourceError, UnseenError
from unseen.load_options import LoadOptions

if TYPE_CHECKING:
    from unseen.encoder import Encoder


@options.loads_recorded_model(
    refused={
        "adapter": options.NO_LABELS,
        "exact": "its pictures are read as the classifier will read them",
    }
)
def distil(
    folder: Annotated[Path, typer.Argument(help="A folder that `unseen label` has labelled.")],
    output: options.OutFile,
    name: Annotated[
        str, typer.Option(help="Of the labelling, where a folder has several.")
    ] = "labels",
    unsure: Annotated[
        bool,
        typer.Option("--unsure", help="Learn from unsure pictures that nobody reviewed, too."),
    ] = False,
    side: Annotated[
        int,
        typer.Option(min=128, max=512, help="Of the pictures, in pixels: fewer are quicker."),
    ] = 224,
    head: Annotated[
        str, typer.Option(help="linear, mlp, or auto: what is better on pictures held out.")
    ] = "auto",
    temperature: Annotated[
        float, typer.Option(min=1.0, max=20.0, help="That the teacher's scores are softened by.")
    ] = 1.0,
    reviewed: Annotated[
        float, typer.Option(min=0.1, max=1000.0, help="Pictures that a reviewed one counts as.")
    ] = 4.0,
    latency: Annotated[
        bool,
        typer.Option(
            "--latency/--no-latency", help="Measure it, against the teacher if that is here."
        ),
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of what is held out.")] = 0,
    batch_size: options.BatchSize = None,
    overrides: Mapping[str, Any] = options.NO_OVERRIDES,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen distil photos/ -o birds.onnx

    Make a small classifier of a labelled folder: one ONNX file, which unseen takes as a model, and
    birds.card.md, which says how good it is. It learns from what was reviewed and what the model
    was sure of: docs/distil.md.
    """
    if output.suffix != ".onnx":
        raise SourceError(f"{output}: a classifier is an .onnx file.")
    from unseen.annotation.labelling import Labelling  # noqa: PLC0415 - it loads what computes
    from unseen.annotation.training_set import training_set_of  # noqa: PLC0415
    from unseen.learning.distil import classifier as small  # noqa: PLC0415
    from unseen.learning.distil.model_card import Teacher  # noqa: PLC0415
    from unseen.learning.distil.training import Teaching  # noqa: PLC0415

    for path in (output, small.card_path(output)):
        prepare(path, overwrite=overwrite)
    with Labelling.open(folder, name) as labelling:
        with progress.pictures(quiet) as show:
            training_set = training_set_of(labelling, unsure=unsure, progress=show)
        manifest = labelling.manifest
    teacher = Teacher.of(manifest["model"], manifest["revision"], manifest["fingerprint"])
    if overrides.get("commercial") and teacher.commercial is not True:
        raise ModelError(
            f"{teacher.name}: its licence is not known to allow commercial use; leave --commercial "
            "out when that allows your use."
        )
    how = small.DistilOptions(
        side=side,
        head=head,
        teaching=Teaching(temperature, reviewed),
        seed=seed,
        threads=overrides.get("threads"),
        batch_size=batch_size,
    )
    measure = _teacher(manifest, overrides, quiet) if latency else None
    with progress.stages(quiet) as report:
        distilled = small.distil(teacher, training_set, how, measure=measure, progress=report)
    try:
        distilled.save(output)
    except OSError as error:
        raise unwritable(output, error) from None
    for source, reason in distilled.failed:
        progress.say(named(str(source), str(reason)))
    if as_json:
        typer.echo(json.dumps(distilled.card, ensure_ascii=False, indent=1))
    else:
        for line in _report(distilled.card, output):
            typer.echo(line)
    if distilled.failed:
        total = len(training_set.pictures)
        progress.say(f"{len(distilled.failed)} of {total} pictures could not be read.")
        raise typer.Exit(1)


def _teacher(manifest: dict[str, Any], overrides: Mapping[str, Any], quiet: bool) -> Encoder | None:
    """What proposed the labels, if it is here, and still the same."""
    from unseen.models import hub  # noqa: PLC0415 - it loads what computes

    recorded = LoadOptions(
        manifest["model"],
        manifest["revision"],
        precision=manifest["options"].get("precision", "fp32"),
        exact=manifest["options"].get("exact", False),
    )
    load_options = replace(recorded, **overrides)
    model = load_options.model
    reason = "is not here"
    if Path(model).exists() or hub.is_here(model):
        try:
            teacher = unseen.load(load_options)
        except UnseenError as error:
            reason = str(error)
        else:
            if teacher.model.fingerprint == manifest["fingerprint"]:
                return teacher.encoder
            reason = "is another than the one that proposed the labels"
    if not quiet:
        progress.say(f"the latency is not measured: {model} {reason}.")
    return None


def _report(card: dict[str, Any], output: Path) -> Iterator[str]:
    """What it learnt from, and how good it is."""
    used, figures, head = card["pictures"], card["figures"], card["head"]
    left_out = ", ".join(f"{n} {why}" for why, n in used["left_out"].items() if n)
    yield (
        f"{len(card['labels'])} labels, from {used['reviewed']} reviewed pictures and "
        f"{used['proposed']} as proposed" + (f"; left out: {left_out}" if left_out else "")
    )
    if card["untaught"]:
        yield f"no pictures, and so left out: {printable(', '.join(card['untaught']))}"
    kind = f"a hidden layer of {head['hidden']}" if head["hidden"] else "linear"
    yield f"head: {kind}, penalty {head['penalty']:g}; {figures['held_out']} pictures held out:"
    for what, key in ROWS.items():
        figure = figures[key]
        if figure is not None:
            low, high = 100 * figure["low"], 100 * figure["high"]
            part = f"{100 * figure['right'] / figure['of']:.1f} %"
            yield (
                f"  {what:42} {figure['right']:>5} of {figure['of']:<5} {part:>7} "
                f"({low:.0f} to {high:.0f})"
            )
    if card["latency"] is not None:
        small, large = (card["latency"][key]["net"] for key in ("student_ms", "teacher_ms"))
        ratio = card["latency"]["ratio"]["net"]
        yield (
            f"image net, here: {small:.1f} ms; its teacher's {large:.1f} ms, {ratio:.2f} times that"
        )
    yield f"teacher: {card['teacher']['name']}; its licence: {card['teacher']['means']}"
    yield f"{output}: {card['bytes'] / 1e6:.1f} MB; beside it, {output.stem}.card.md"


ROWS = {
    "agrees with its teacher": "agreement",
    "right, of reviewed pictures": "accuracy",
    "its teacher, of the same": "teacher_accuracy",
    "right, of sure ones drawn for review": "drawn",
}
