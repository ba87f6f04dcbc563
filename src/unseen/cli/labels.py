"""`unseen labels`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from unseen import load
from unseen.cli import options, progress

labels = typer.Typer(help="Label sets.", no_args_is_help=True)


@labels.callback()
def group() -> None:
    """Label sets."""


@labels.command("compile")
def compile_labels(
    source: Annotated[str, typer.Argument(help="A label file, or labels with commas.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .safetensors file.")],
    model: options.Model = "builtin",
    revision: Annotated[Optional[str], typer.Option(help="Of a hub id.")] = None,  # noqa: UP045
    template: options.Template = None,
    unknown: options.Unknown = None,
    quiet: options.Quiet = False,
) -> None:
    """unseen labels compile labels.yaml -o animals.safetensors

    Encode a label set for one model, once; classify -l animals.safetensors then encodes no label.
    """
    classifier = load(model, revision=revision)
    with progress.prompts(quiet) as show:
        compiled = classifier.compile(
            source,
            template=options.template_argument(template),
            background=unknown or (),
            progress=show,
        )
    compiled.save(output)
    prompts = sum(len(own) for own in compiled.prompts)
    progress.say(f"{output}: {len(compiled.labels)} labels, {prompts} prompts, {model}.")
