"""`unseen distil`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from unseen.cli import options, progress
from unseen.cli.output import named
from unseen.errors import LabelError, SourceError, UnseenError
from unseen.results.result_file import check_output, writing


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
        bool, typer.Option("--unsure", help="Learn from unsure pictures that nobody reviewed, too.")
    ] = False,
    side: Annotated[
        int, typer.Option(min=128, max=512, help="Of the pictures, in pixels: fewer are quicker.")
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
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also where a label has too few pictures.")
    ] = False,
    batch_size: options.BatchSize = None,
    overrides: Mapping[str, Any] = options.NO_OVERRIDES,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen distil photos/ -o birds.onnx

    Make a small classifier of a labelled folder: one ONNX file, which unseen takes as a model, and
    birds.card.md, which says how good it is. It learns from what was reviewed and what the model
    was sure of, and needs three pictures of each label: unseen help distil.
    """
    if output.suffix != ".onnx":
        raise SourceError(f"{output}: a classifier is an .onnx file.")
    from unseen.annotation.labelling import Labelling  # noqa: PLC0415 - it loads what computes
    from unseen.annotation.training_set import teacher_of, training_set_of  # noqa: PLC0415
    from unseen.learning.distil import classifier as small  # noqa: PLC0415
    from unseen.learning.distil.model_card import Teacher, better_buy, summary_lines  # noqa: PLC0415
    from unseen.learning.distil.training import Teaching  # noqa: PLC0415

    for path in (output, small.card_path(output)):
        check_output(path, overwrite=overwrite)
    with Labelling.open(folder, name) as labelling:
        with progress.pictures(quiet) as show:
            training_set = training_set_of(labelling, unsure=unsure, progress=show)
        manifest = labelling.manifest
    try:
        training_set.require_enough()
    except LabelError as error:
        if not anyway:
            raise LabelError(
                f"{error} Review more (unseen label review {folder}), leave such labels out, or "
                "make it --anyway."
            ) from None
        progress.say(f"warning: {error}")
    teacher = Teacher.of(manifest["model"], manifest["revision"], manifest["fingerprint"])
    if overrides.get("commercial"):
        teacher.require_commercial()
    how = small.DistilOptions(
        side=side,
        head=head,
        teaching=Teaching(temperature, reviewed),
        seed=seed,
        threads=overrides.get("threads"),
        batch_size=batch_size,
    )
    measure = None
    if latency:
        try:
            measure = teacher_of(manifest, overrides).encoder
        except UnseenError as error:
            if not quiet:
                progress.say(f"the latency is not measured: {error}")
    with progress.stages(quiet) as report:
        distilled = small.distil(teacher, training_set, how, measure=measure, progress=report)
    with writing(output):
        distilled.save(output)
    for source, reason in distilled.failed:
        progress.say(named(str(source), str(reason)))
    if as_json:
        typer.echo(json.dumps(distilled.card, ensure_ascii=False, indent=1))
    else:
        typer.echo("\n".join(summary_lines(distilled.card, output)))
        advice = better_buy(distilled.card, folder)
        if advice is not None:
            progress.say(advice)
    if distilled.failed:
        total = len(training_set.pictures)
        progress.say(f"{len(distilled.failed)} of {total} pictures could not be read.")
        raise typer.Exit(1)
