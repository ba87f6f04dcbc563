"""`unseen classify`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Optional

import typer

from unseen import load
from unseen.cli import options, progress
from unseen.cli.output import Target
from unseen.encode import BATCH_SIZE
from unseen.sources import count, expand


def classify(
    sources: options.Sources,
    labels: options.Labels,
    model: options.Model = "builtin",
    revision: Annotated[Optional[str], typer.Option(help="Of a hub id.")] = None,  # noqa: UP045
    template: options.Template = None,
    unknown: options.Unknown = None,
    multi: Annotated[
        bool, typer.Option("--multi", help="Each label is a yes or no of its own.")
    ] = False,
    top: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="At most so many labels a picture.", show_default="all; CSV: 1"),
    ] = None,
    min_score: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0.0, max=1.0, help="Only labels as probable.", show_default=False),
    ] = None,
    batch_size: options.BatchSize = BATCH_SIZE,
    exact: options.Exact = False,
    threads: options.Threads = None,
    as_json: options.AsJson = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="A JSON object a line.")] = False,
    csv: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write this CSV file; - is standard output.", show_default=False),
    ] = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", help="A .jsonl, .csv or .json file.", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the file.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin the file anew.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen classify photo.jpg --labels cat,dog

    Say which labels fit each picture. A picture that cannot be read is a row with an error.
    """
    target = Target.of(as_json=as_json, jsonl=jsonl, csv=csv, output=output)
    classifier = load(model, revision=revision, exact=exact, threads=threads)
    with progress.prompts(quiet) as show:
        compiled = classifier.compile(
            labels,
            template=options.template_argument(template),
            background=unknown or (),
            progress=show,
        )
    made_by = {
        "model": classifier.model.fingerprint,
        "labels": hashlib.sha256(compiled.matrix.tobytes()).hexdigest(),
        "options": {"multi": multi, "top": top, "min_score": min_score, "exact": exact},
    }
    done = target.finished(made_by, resume=resume, overwrite=overwrite)
    total = count(sources)
    left = (source for source in expand(sources) if source.name not in done)
    predictions = classifier.classify_many(
        left,
        compiled,
        batch_size=min(batch_size, total or 1),
        multi_label=multi,
        top_k=top,
        min_score=min_score,
    )
    writer = target.writer(single=total == 1, top=top or 1)
    with progress.counting(total and total - len(done), quiet) as counter:
        try:
            for prediction in predictions:
                writer.write(prediction)
                counter.picture(prediction.ok)
        except KeyboardInterrupt:
            writer.close()
            raise typer.Exit(_stopped(counter.done + len(done), target)) from None
    writer.close()
    if counter.failed:
        progress.say(f"{counter.failed} of {counter.done} pictures could not be read.")
        raise typer.Exit(1)


def _stopped(done: int, target: Target) -> int:
    kept = f"; kept in {target.path}, --resume goes on" if target.path else ""
    progress.say(f"stopped: {done} done{kept}.")
    return 130
