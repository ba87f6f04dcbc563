"""`unseen models`."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import typer

from unseen.cli import options, progress
from unseen.cli.command_group import PlainGroup
from unseen.models import catalog, hub
from unseen.models.description import (
    comparison,
    describe,
    describe_name,
    is_downloaded,
    size_text,
    table,
)

SIZE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(MB|GB)?", re.IGNORECASE)

models = typer.Typer(cls=PlainGroup, invoke_without_command=True)


def _megabytes(given: str) -> float:
    size = SIZE.fullmatch(given.strip())
    if size is None:
        raise typer.BadParameter(f"invalid size {given!r}; write 600MB, 1.5GB, or a number of MB.")
    return float(size[1]) * (1000 if (size[2] or "").upper() == "GB" else 1)


@models.callback()
def list_models(
    context: typer.Context,
    licence: Annotated[
        str | None, typer.Option(help="Only those of this licence, such as MIT.")
    ] = None,
    max_size: Annotated[
        float | None,
        typer.Option(
            parser=_megabytes,
            metavar="SIZE",
            help="Only downloads up to 600MB, 1.5GB, or a number of MB.",
        ),
    ] = None,
    multilingual: Annotated[
        bool, typer.Option("--multilingual", help="Only those that know several languages.")
    ] = False,
    commercial: Annotated[
        bool, typer.Option("--commercial", help="Only those that allow commercial use.")
    ] = False,
    domain: Annotated[
        str | None, typer.Option(help="Only those of this domain, such as fashion or species.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="Only those with this in the architecture, such as ViT-B.")
    ] = None,
    min_top1: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            metavar="PERCENT",
            help="Only those with this figure on ImageNet, or more.",
        ),
    ] = None,
    max_gflops: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="GFLOPS", help="Only those with this much work a picture, or less."
        ),
    ] = None,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """unseen models --max-size 1.5GB --commercial

    List the known models: size, licence, published ImageNet zero-shot accuracy and its source.
    Any other checkpoint of the same families works as well: pass its id or folder to -m.
    """
    filters: dict[str, Any] = {
        "licence": licence,
        "max_mb": max_size,
        "multilingual": multilingual,
        "commercial": commercial,
        "domain": domain,
        "architecture": architecture,
        "min_top1": min_top1,
        "max_gflops": max_gflops,
    }
    if context.invoked_subcommand is not None:
        if as_json or any(value not in (None, False) for value in filters.values()):
            # Else `unseen models --commercial pull ID` would fetch what it seems to refuse.
            raise typer.BadParameter(f"put options of {context.invoked_subcommand} after it.")
        return
    if licence is not None:
        catalog.check_licence(licence)
    if domain is not None:
        catalog.check_domain(domain)
    facts = [describe(row) for row in catalog.select(**filters)]
    if as_json:
        typer.echo(json.dumps([row.to_dict() for row in facts], indent=1))
    elif facts:
        typer.echo("\n".join(table(facts)))
    else:
        progress.say("no known model meets all of these conditions.")


@models.command(short_help="Show everything that is known about a model.")
def info(model: options.Id, as_json: options.AsJson = False) -> None:
    """unseen models info fast

    Show everything that is known about a model; of an .onnx file of unseen distil, its model card.
    """
    if model.endswith(".onnx"):
        typer.echo(_card(model, as_json))
        return
    facts = describe_name(model)
    typer.echo(json.dumps(facts.to_dict(), indent=1) if as_json else facts)


def _card(file: str, as_json: bool) -> str:
    from unseen.learning.distil.model_card import read_card, text  # noqa: PLC0415 - it loads what computes

    card = read_card(file)
    return json.dumps(card, indent=1) if as_json else text(card, file)


@models.command(short_help="Show several models side by side.")
def compare(
    names: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Ids or short names.")],
    as_json: options.AsJson = False,
) -> None:
    """unseen models compare fast balanced

    Show two models or more side by side: size, work, licence, accuracy.
    """
    if len(names) < 2:
        raise typer.BadParameter("give two models or more, such as fast and balanced.")
    facts = [describe_name(name) for name in names]
    if as_json:
        typer.echo(json.dumps([row.to_dict() for row in facts], indent=1))
    else:
        typer.echo("\n".join(comparison(facts)))


@models.command("import", short_help="Make a model folder of bare weights.")
def import_model(
    weights: Annotated[str, typer.Argument(help="A .pt, .pth, .bin or .safetensors file.")] = "",
    architecture: Annotated[
        str | None, typer.Option(help="open_clip's name of it, such as ViT-B-32.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="By default named as the file."),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="A folder or hub id with the tokenizer's files."),
    ] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Colours: openai, imagenet, half (0.5) or none."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="The side of the pictures, if it is another.")
    ] = None,
    show_list: Annotated[
        bool, typer.Option("--list", help="Print the architectures, and stop.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen models import RemoteCLIP-ViT-B-32.pt --architecture ViT-B-32

    Write a folder that -m takes, of weights that came without a config: RemoteCLIP, GeoRSCLIP,
    LongCLIP, ViTamin, PE-Core's own files, or what you trained with open_clip. Nothing in the file
    is executed.
    """
    from unseen.models.conversion import importing  # noqa: PLC0415 - it loads what reads weights

    if show_list:
        typer.echo("\n".join(importing.architectures()))
        return
    if not weights or architecture is None:
        raise typer.BadParameter("give a file of weights, and its --architecture.")
    with progress.working(f"reading {weights}", quiet):
        folder = importing.import_weights(
            weights,
            architecture,
            output,
            tokenizer=tokenizer,
            normalisation=preprocess,
            image_size=image_size,
        )
    if not quiet:
        progress.say(f"{architecture}, written to {folder}: use it with -m {folder}.")


@models.command(short_help="Make one model of a text net and an image net.")
def join(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A folder or hub id: the text net.")],
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The model with the image net.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FOLDER", help="What to write.")],
    quiet: options.Quiet = False,
) -> None:
    """unseen models join M-CLIP/XLM-Roberta-Large-Vit-B-32 openai/clip-vit-base-patch32 -o mclip

    Write a folder that -m takes, of a multilingual text net and the CLIP that it was trained for:
    M-CLIP's, or a clip-…-multilingual of sentence-transformers.
    """
    from unseen.models.conversion import joining  # noqa: PLC0415 - it loads what reads weights

    with progress.working(f"joining {text} and {image}", quiet):
        folder = joining.join(text, image, output)
    if not quiet:
        progress.say(f"written to {folder}: use it with -m {folder}.")


@models.command(short_help="Download a model.")
def pull(
    model: options.Id,
    revision: options.Revision = None,
    commercial: options.Commercial = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen models pull fast

    Download a checkpoint now, if it is not here yet, and print the folder that it is in.
    """
    known = catalog.find(catalog.resolve(model).partition("@")[0])
    if known is not None and not quiet and not is_downloaded(known.id):
        progress.say(f"{known.id}: {size_text(known.download_mb)}, {known.licence}.")
    typer.echo(hub.locate(model, revision=revision, commercial=commercial).folder)
