"""`unseen adapt`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

import unseen
from unseen.cli import label_options, labelled, options, progress
from unseen.cli.output import unwritable
from unseen.cli.output_file import prepare
from unseen.datasets.annotation import classes
from unseen.datasets.readers import read_annotations
from unseen.errors import LabelError
from unseen.labels.label_set import LabelSet
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.manifest import manifest, write_ended

if TYPE_CHECKING:
    from unseen.prediction.adapter import Adapter


@options.loads_model(refused={"adapter": "it makes one, of the model alone"})
def adapt(
    examples: Annotated[
        Path,
        typer.Argument(help="A folder with a folder a label, or a .csv of path,label."),
    ],
    output: options.OutFile,
    labels: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(
            "--labels",
            "-l",
            help="Labels, or a label file.",
            show_default="those of the examples",
        ),
    ] = None,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    template: options.Template = None,
    by_pictures: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            help="A label whose name says nothing: its pictures alone do. Repeatable.",
            show_default=False,
        ),
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
    debug: options.Debug = False,
) -> None:
    """unseen adapt examples/ -o mine.safetensors

    Learn from a few labelled pictures, if pictures held out show that it helps.
    classify --adapter and serve --adapter take the file: docs/adapt.md.
    """
    if output.suffix != ".safetensors":
        raise LabelError(f"{output}: an adapter is a .safetensors file.")
    prepare(output, overwrite=overwrite)
    from unseen.learning.adapt import adapt as learn  # noqa: PLC0415 - it loads what computes

    given = classes(read_annotations(examples)) if labels is None else labels
    label_set = LabelSet.of(options.labels_argument(given) if isinstance(given, str) else given)
    classifier = unseen.load(load_options)
    compiled = label_options.compiled(classifier, label_set, template, (), quiet)
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
    try:
        adapter.save(output)
    except OSError as error:
        raise unwritable(output, error) from None
    write_ended(output, makers, summary.pictures, summary.errors)
    size = output.stat().st_size
    if as_json:
        facts = {"method": adapter.method, "labels": adapter.labels, "bytes": size}
        typer.echo(json.dumps(facts | adapter.facts, ensure_ascii=False, indent=1))
    else:
        for line in _report(adapter, output, size):
            typer.echo(line)
    if summary.errors:
        raise typer.Exit(1)


def _report(adapter: Adapter, output: Path, size: int) -> Iterable[str]:
    """What was tried, what was chosen, and why."""
    facts = adapter.facts
    low, high = facts["shots"]
    shots = f"{low}" if low == high else f"{low} to {high}"
    yield f"{facts['pictures']} pictures of {len(adapter.labels)} labels, {shots} of each"
    held_out = facts["held_out"]
    if held_out:
        yield f"{'':12} {'settings':24} {'held out':>12} {'loss':>6}"
    for tried in facts["tried"] if held_out else ():
        settings = ", ".join(f"{key} {value:.3g}" for key, value in tried["settings"].items())
        part = f"{tried['right']} of {held_out}"
        yield f"{tried['method']:12} {settings:24} {part:>12} {tried['loss']:6.3f}"
    keep = adapter.method == "zero-shot"
    if held_out:
        why = "no method was right more often by more than noise" if keep else "the least loss"
    else:
        right = f"zero-shot is right for {facts['tried'][0]['right']} of them"
        why = f"one picture a label, nothing to hold out; {right}"
    what = "keep zero-shot: the adapter changes nothing" if keep else f"chosen: {adapter.method}"
    yield f"{what} ({why})"
    yield f"{output}: {size / 1000:.1f} kB"
