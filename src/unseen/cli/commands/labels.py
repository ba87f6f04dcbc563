"""`unseen labels`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli import label_options, options, progress
from unseen.cli.commands.labels_doctor import doctor
from unseen.cli.options import LabelOptions
from unseen.errors import LabelError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.manifest import manifest, write_manifest
from unseen.results.result_file import check_output, writing

labels = typer.Typer(no_args_is_help=True)


@labels.callback()
def group() -> None:
    """unseen labels doctor labels.txt

    Check a label set for mistakes, or encode it once for a model.
    """


@labels.command("compile", short_help="Encode a label set for a model, once.")
@options.loads_model()
def compile_labels(
    source: options.LabelSource,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .safetensors file.")],
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    template: options.Template = None,
    concept: options.Concept = None,
    unknown: options.Unknown = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen labels compile labels.yaml -o animals.safetensors

    Encode a label set for one model, once; classify -l animals.safetensors then encodes no label.
    """
    if output.suffix != ".safetensors":
        raise LabelError(f"{output}: a compiled label set is a .safetensors file.")
    if unknown and "auto" in unknown:
        raise LabelError("--unknown auto is not a label; give it to unseen classify.")
    check_output(output, overwrite=overwrite)
    classifier = unseen.load(load_options)
    compiled = label_options.compile_labels(
        classifier, LabelOptions(source, template, unknown, concept=concept), quiet=quiet
    )
    how = {"precision": load_options.precision}
    with writing(output):
        compiled.save(output)
        write_manifest(output, manifest(classifier.model, compiled, how), hidden=True)
    if not quiet:
        prompts = sum(len(own) for own in compiled.prompts)
        name = load_options.model
        texts = f"{prompts} prompts"
        if compiled.adapted is not None:
            texts = f"{prompts} prompts and pictures; {compiled.adapted.adapter}"
        progress.say(f"{output}: {len(compiled.labels)} labels, {texts}, {name}.")


labels.command("doctor", short_help="Find mistakes in a label set.")(doctor)
