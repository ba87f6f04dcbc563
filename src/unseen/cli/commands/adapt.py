"""`unseen adapt`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

import unseen
from unseen.cli import labelled, options, progress
from unseen.cli.label_options import compile_labels
from unseen.cli.options import LabelOptions
from unseen.datasets.annotation import classes
from unseen.datasets.readers import read_annotations
from unseen.errors import LabelError
from unseen.labels.label_set import LabelSet
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.manifest import manifest, write_ended
from unseen.results.result_file import check_output, writing


@options.loads_model(refused={"adapter": "it makes one, of the model alone"})
def adapt(
    examples: options.Examples,
    output: options.OutFile,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", "-l", help="Labels, or a label file.", show_default="those of the examples"
        ),
    ] = None,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    template: options.Template = None,
    by_pictures: Annotated[
        list[str] | None,
        typer.Option(help="A label whose name says nothing: its pictures alone do. Repeatable."),
    ] = None,
    shots: Annotated[
        int, typer.Option(min=1, help="At most so many pictures a label, drawn by the seed.")
    ] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn, and held out.")] = 0,
    no_index: options.NoIndex = False,
    batch_size: options.BatchSize = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen adapt examples/ -o mine.safetensors

    Learn from a few labelled pictures, if pictures held out show that it helps.
    classify --adapter and serve --adapter take the file: unseen help adapt.
    """
    if output.suffix != ".safetensors":
        raise LabelError(f"{output}: an adapter is a .safetensors file.")
    check_output(output, overwrite=overwrite)
    from unseen.learning import report_text  # noqa: PLC0415
    from unseen.learning.adapt import adapt as learn  # noqa: PLC0415 - it loads what computes

    label_set = LabelSet.of(
        classes(read_annotations(examples)) if labels is None else options.labels_argument(labels)
    )
    classifier = unseen.load(load_options)
    compiled = compile_labels(
        classifier, LabelOptions(template=template), quiet=quiet, label_set=label_set
    )
    how = {"shots": shots, "seed": seed, "by_pictures": by_pictures or []}
    makers = manifest(classifier.model, compiled, {**how, **load_options.facts()})
    summary = labelled.Summary(quiet)
    with progress.stages(quiet) as show:
        adapter = learn(
            classifier,
            examples,
            compiled,
            by_pictures=by_pictures or (),
            shots=shots,
            seed=seed,
            use_index=not no_index,
            batch_size=batch_size,
            progress=show,
            on_read=summary.show,
        )
    with writing(output):
        adapter.save(output)
    makers["left_out"] = progress.say_left_out(str(examples), quiet)
    write_ended(output, makers, summary.pictures, summary.errors)
    size = output.stat().st_size
    if as_json:
        facts = {"method": adapter.method, "labels": adapter.labels, "bytes": size}
        typer.echo(json.dumps(facts | adapter.facts, ensure_ascii=False, indent=1))
    else:
        typer.echo("\n".join(report_text.adapted(adapter, output, size)))
    if summary.errors:
        raise typer.Exit(1)
