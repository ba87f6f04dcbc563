"""`unseen tune`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli import labelled, options, progress
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions

KEPT_ORIGINAL = 3  # exit status where nothing was written


@options.loads_model(
    refused={
        "adapter": "the model itself is changed",
        "precision": "weights are trained in 32 bits",
        "exact": "pictures are read as the tuned model will read them",
    }
)
def tune(
    examples: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder with a folder a label, a labelling, an index (its .sqlite file), or a "
            ".csv or .parquet of labels or captions.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="The folder to write.")
    ],
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    leash: Annotated[
        Path | None,
        typer.Option(
            help="A folder of ordinary pictures, without labels: what is not to be forgotten."
        ),
    ] = None,
    leash_weight: Annotated[float, typer.Option(min=0, help="How tight the leash is.")] = 10.0,
    lora: Annotated[
        int | None,
        typer.Option(metavar="RANK", min=1, max=256, help="Train only matrices of this rank."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Batches to learn from.", show_default="what suits the pictures"),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(min=0.01, help="How often each picture is learnt from.")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=1e-8, max=1, help="At its highest.", show_default="what suits the model"),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Labelled pictures in a step.")] = 40,
    blocks: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Train the last so many blocks; 0: all.",
            show_default="all; 3 of a large net on a CPU",
        ),
    ] = None,
    augment: Annotated[
        bool, typer.Option("--augment", help="Learn from a part of each picture, drawn anew.")
    ] = False,
    keep: Annotated[
        float,
        typer.Option(min=0, max=1, help="The least part of ordinary answers that must stay."),
    ] = 0.95,
    refit: Annotated[
        bool,
        typer.Option("--refit/--no-refit", help="Train again, with what was held out, at the end."),
    ] = True,
    beat_adapter: Annotated[
        bool,
        typer.Option(
            "--beat-adapter/--no-beat-adapter",
            help="Keep the original where an adapter is as good.",
        ),
    ] = True,
    template: options.Template = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn, and held out.")] = 0,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen tune xrays/ -m openai/clip-vit-base-patch32 --leash photos/ -o tuned

    Fine-tune a model, if pictures held out show that it helps and forgets little: unseen help tune.
    Needs torch: pip install "unseen[gpu]". What was stopped goes on when it is begun again.
    The exit status is 3 where the original is kept, and nothing is written.
    """
    from unseen.learning.tune import report_text  # noqa: PLC0415 - it loads what computes
    from unseen.learning.tune.network import require_torch  # noqa: PLC0415
    from unseen.learning.tune.options import TuneOptions  # noqa: PLC0415
    from unseen.learning.tune.run import TunePlan  # noqa: PLC0415
    from unseen.learning.tune.tuning import tune as learn  # noqa: PLC0415

    how = TuneOptions(
        leash=leash,
        leash_weight=leash_weight,
        rank=lora,
        steps=steps,
        epochs=epochs,
        learning_rate=learning_rate,
        batch=batch_size,
        blocks=blocks,
        augment=augment,
        keep=keep,
        refit=refit,
        beat_adapter=beat_adapter,
        seed=seed,
    )
    require_torch()
    classifier = unseen.load(load_options)
    summary = labelled.Summary(quiet)

    def on_plan(plan: TunePlan) -> None:
        for message in report_text.plan(plan):
            if not quiet or message.startswith("warning"):
                progress.say(message)

    with progress.line(quiet) as show, progress.stages(quiet) as stages:
        report = learn(
            classifier,
            examples,
            output,
            how,
            template=template,
            progress=stages,
            on_read=summary.show,
            on_plan=on_plan,
            on_progress=lambda step: show(report_text.line(step)),
        )
    progress.say_left_out(str(examples), quiet)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), ensure_ascii=False, indent=1))
    else:
        typer.echo("\n".join(report_text.tuned(report)))
    if report.decision != "tuned":
        raise typer.Exit(KEPT_ORIGINAL)
    if summary.errors:
        raise typer.Exit(1)
