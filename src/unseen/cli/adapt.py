"""`unseen adapt`."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.output import named, unwritable
from unseen.cli.target import prepare
from unseen.errors import LabelError, SourceError
from unseen.labels import LabelSet
from unseen.sources import Source, expand


def adapt(
    folder: Annotated[Path, typer.Argument(help="A folder of folders: one a label.")],
    output: options.OutFile,
    labels: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(
            "--labels",
            "-l",
            help="Labels or a label file; a folder is of the label of its name.",
            show_default="the names of the folders",
        ),
    ] = None,
    model: options.Model = "builtin",
    revision: options.Revision = None,
    commercial: options.Commercial = False,
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
    batch_size: options.BatchSize = None,
    exact: options.Exact = False,
    threads: options.Threads = None,
    precision: options.Precision = "fp32",
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen adapt examples/ -o mine.safetensors

    Learn from a few labelled pictures, a folder a label, if pictures held out show that it helps.
    classify --adapter and serve --adapter take the file: docs/adapt.md.
    """
    if output.suffix != ".safetensors":
        raise LabelError(f"{output}: an adapter is a .safetensors file.")
    prepare(output, overwrite=overwrite)
    examples = _examples(folder)
    if labels is None:
        label_set = LabelSet.of([*examples])
    else:
        label_set = LabelSet.of(options.labels_argument(labels))
    strangers = [name for name in examples if name not in label_set.names]
    if strangers:
        raise LabelError(
            f"{folder}: there is a folder for {strangers[0]!r}, and no such label; add it to the "
            "labels, or rename the folder."
        )
    chosen = [*_drawn(examples, shots, random.Random(seed))]
    classifier = unseen.load(
        model,
        revision=revision,
        exact=exact,
        threads=threads,
        precision=precision,
        device=device,
        commercial=commercial,
    )
    with progress.prompts(quiet) as show:
        compiled = classifier.compile(
            label_set, template=options.template_argument(template), progress=show
        )
    rows, owners = [], []
    stream = classifier.encoder.stream_images((s for _, s in chosen), batch_size=batch_size)
    with progress.counting(len(chosen), quiet) as counter:
        for (name, _), encoded in zip(chosen, stream, strict=True):
            if encoded.embedding is None:
                progress.say(named(encoded.name, str(encoded.error)))
            else:
                rows.append(encoded.embedding)
                owners.append(label_set.names.index(name))
            counter.picture(encoded.error is None)
    import numpy as np  # noqa: PLC0415 - it loads what computes

    from unseen.adapt import adapt as made_of  # noqa: PLC0415

    if not rows:
        raise SourceError(f"{folder}: none of its pictures could be read.")
    with progress.folds(quiet) as show:
        adapter = made_of(
            np.stack(rows),
            np.array(owners),
            compiled,
            classifier.model.score,
            by_pictures=by_pictures or (),
            seed=seed,
            progress=show,
        )
    try:
        adapter.save(output)
    except OSError as error:
        raise unwritable(output, error) from None
    size = output.stat().st_size
    if as_json:
        summary = {"method": adapter.method, "labels": adapter.labels, "bytes": size}
        typer.echo(json.dumps(summary | adapter.facts, ensure_ascii=False, indent=1))
    else:
        for line in _report(adapter, output, size):
            typer.echo(line)
    progress.failures(counter)
    if counter.failed:
        raise typer.Exit(1)


def _examples(folder: Path) -> dict[str, list[Source]]:
    """The pictures of each folder, under the name of its label: underscores are spaces."""
    if not folder.is_dir():
        raise SourceError(f"{folder}: there is no such folder.")
    found: dict[str, list[Source]] = {}
    for inner in sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."):
        name = " ".join(inner.name.replace("_", " ").split())
        found.setdefault(name, []).extend(expand(inner))
    if not found:
        raise SourceError(f"{folder}: no folders in it; give a folder with one for each label.")
    return found


def _drawn(
    examples: dict[str, list[Source]], shots: int, rng: random.Random
) -> Iterator[tuple[str, Source]]:
    for name, pictures in examples.items():
        drawn = sorted(rng.sample(range(len(pictures)), min(shots, len(pictures))))
        yield from ((name, pictures[i]) for i in drawn)


def _report(adapter: Any, output: Path, size: int) -> Iterable[str]:
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
