"""`unseen distil`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import unseen
from unseen.cli import labelled, options, progress
from unseen.cli.output import named, printable
from unseen.datasets import labelling_file
from unseen.datasets.annotation import classes
from unseen.errors import LabelError, SourceError, UnseenError
from unseen.load_options import LoadOptions
from unseen.results.result_file import check_output, writing

if TYPE_CHECKING:
    from unseen.classifier import Classifier
    from unseen.encoder import Encoder
    from unseen.learning.distil.classifier import DistilOptions
    from unseen.learning.distil.model_card import Teacher
    from unseen.learning.distil.training_set import TrainingSet

LABELLING = labelling_file.NAME


@options.loads_recorded_model(
    refused={
        "adapter": "the teacher is a model by itself",
        "exact": "its pictures are read as the classifier will read them",
    }
)
def distil(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder that `unseen label` has labelled; or a folder with a folder a label, an "
            "index (its .sqlite file), or a .csv, .jsonl or .parquet of labels.",
        ),
    ],
    output: options.OutFile,
    name: Annotated[
        str, typer.Option(help="Of the labelling, where a folder has several.")
    ] = LABELLING,
    unsure: Annotated[
        bool, typer.Option("--unsure", help="Learn from unsure pictures that nobody reviewed, too.")
    ] = False,
    multi: Annotated[
        bool, typer.Option("--multi", help="A picture has all the labels that are true of it.")
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

    Make a small classifier of labelled pictures: one ONNX file, which unseen takes as a model, and
    birds.card.md, which says how good it is. Of a folder that was labelled it learns from what was
    reviewed and what the model was sure of; of other DATA, from its labels and what --model says
    (builtin unless given). It needs three pictures of each label: unseen help distil.
    """
    if output.suffix != ".onnx":
        raise SourceError(f"{output}: a classifier is an .onnx file.")
    from unseen.learning.distil import classifier as small  # noqa: PLC0415 - it loads what computes
    from unseen.learning.distil.model_card import better_buy, summary_lines  # noqa: PLC0415
    from unseen.learning.distil.training import Teaching  # noqa: PLC0415

    for path in (output, small.card_path(output)):
        check_output(path, overwrite=overwrite)
    how = small.DistilOptions(
        side=side,
        head=head,
        teaching=Teaching(temperature, reviewed),
        seed=seed,
        threads=overrides.get("threads"),
        batch_size=batch_size,
        multi_label=multi,
    )
    summary = labelled.Summary(quiet)
    if not multi and _is_labelled(folder, name):
        review = f"Review more (unseen label review {folder})"
        material = _of_labelling(folder, name, overrides, unsure=unsure, quiet=quiet)
    else:
        review = "Add pictures of them"
        if name != LABELLING or unsure:
            raise SourceError(
                f"{folder}: --name and --unsure are for what `unseen label` has labelled, without "
                f"--multi; leave them out, or label it: unseen label {folder} --labels …"
            )
        material = _of_data(folder, LoadOptions(**overrides), how, summary)
    _require_enough(material.training_set, review, anyway=anyway)
    measure = _encoder(material, quiet=quiet) if latency else None
    with progress.stages(quiet) as report:
        distilled = small.distil(
            material.teacher, material.training_set, how, measure=measure, progress=report
        )
    with writing(output):
        distilled.save(output)
    for source, reason in distilled.failed:
        progress.say(named(str(source), str(reason)))
    if as_json:
        typer.echo(json.dumps(distilled.card, ensure_ascii=False, indent=1))
    else:
        typer.echo("\n".join(summary_lines(distilled.card, output)))
        advice = better_buy(distilled.card, folder)
        if advice is not None and folder.suffix != labelling_file.SUFFIX:  # it may be an index
            progress.say(advice)
    if distilled.failed:
        total = len(material.training_set.pictures)
        progress.say(f"{len(distilled.failed)} of {total} pictures could not be read.")
    if distilled.failed or summary.errors:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Material:
    """Who teaches what; `load` gives the teacher, where it is here, to measure its latency."""

    teacher: Teacher | Classifier
    training_set: TrainingSet
    load: Callable[[], Classifier]


def _is_labelled(source: Path, name: str) -> bool:
    """Whether `unseen label` has been here, whatever the labelling of a folder is called."""
    from unseen.annotation.labelling import home_of  # noqa: PLC0415 - it loads what computes

    try:
        if source.is_dir():
            return labelling_file.labelling_of(source) is not None
        root, _, name = home_of(source, name)
    except SourceError:  # a folder has several; a list, whose pictures lie elsewhere, has none
        return source.is_dir()
    return labelling_file.locate(root, name).is_file()


def _of_labelling(
    folder: Path, name: str, overrides: Mapping[str, Any], *, unsure: bool, quiet: bool
) -> Material:
    """What was reviewed, and what the model was sure of."""
    from unseen.annotation.labelling import Labelling  # noqa: PLC0415
    from unseen.annotation.training_set import teacher_of, training_set_of  # noqa: PLC0415
    from unseen.learning.distil.model_card import Teacher  # noqa: PLC0415

    with Labelling.open(folder, name) as labelling:
        with progress.pictures(quiet) as show:
            training_set = training_set_of(labelling, unsure=unsure, progress=show)
        manifest = labelling.manifest
    teacher = Teacher.of(manifest["model"], manifest["revision"], manifest["fingerprint"])
    if overrides.get("commercial"):
        teacher.require_commercial()
    return Material(teacher, training_set, partial(teacher_of, manifest, overrides))


def _of_data(
    source: Path, load_options: LoadOptions, how: DistilOptions, summary: labelled.Summary
) -> Material:
    """Labelled pictures, and what a model that is loaded now says of them."""
    from unseen.learning.distil.model_card import Teacher  # noqa: PLC0415
    from unseen.learning.distil.training_set import TrainingSet, read_pictures  # noqa: PLC0415

    try:
        names = classes(read_pictures(source, multi_label=how.multi_label))
    except SourceError as error:
        if not source.is_dir() or _is_labelled(source, LABELLING):
            raise
        raise SourceError(
            f"{error} Or label it, as there is no labelling here: unseen label {source} --labels …"
        ) from None
    if len(names) < 2:
        raise LabelError(
            f"{source}: a classifier tells at least two labels apart, and its pictures have "
            f"{printable(names[0]) if names else 'none'}; add pictures of another label."
        )
    teacher = unseen.load(load_options)
    if load_options.commercial:
        model = teacher.model
        Teacher.of(model.name, model.revision, model.fingerprint).require_commercial()
    with progress.pictures(summary.quiet) as show:
        training_set = TrainingSet.read(
            source,
            teacher=teacher,
            multi_label=how.multi_label,
            batch_size=how.batch_size,
            progress=lambda _, done, total: show(done, total),
            on_read=summary.show,
        )
    progress.say_left_out(str(source), summary.quiet)
    return Material(teacher, training_set, lambda: teacher)


def _require_enough(training_set: TrainingSet, review: str, *, anyway: bool) -> None:
    try:
        training_set.require_enough()
    except LabelError as error:
        if not anyway:
            raise LabelError(
                f"{error} {review}, leave such labels out, or make it --anyway."
            ) from None
        progress.say(f"warning: {error}")


def _encoder(material: Material, *, quiet: bool) -> Encoder | None:
    """That of the teacher; None where it is not here, with a message."""
    try:
        return material.load().encoder
    except UnseenError as error:
        if not quiet:
            progress.say(f"the latency is not measured: {error}")
        return None
