"""`unseen models`."""

from __future__ import annotations

import json
import re
from typing import Annotated

import typer

from unseen.cli import options, progress
from unseen.cli.command_group import PlainGroup
from unseen.models import catalog, hub
from unseen.models.description import describe, describe_name, is_downloaded, size_text, table

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
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """unseen models --max-size 1.5GB --commercial

    List the known models: size, licence, published ImageNet zero-shot accuracy and its source.
    Any other checkpoint of the same families works as well: pass its id or folder to -m.
    """
    if context.invoked_subcommand is not None:
        if licence or max_size is not None or multilingual or commercial or as_json:
            # Else `unseen models --commercial pull ID` would fetch what it seems to refuse.
            raise typer.BadParameter(f"put options of {context.invoked_subcommand} after it.")
        return
    if licence is not None:
        catalog.check_licence(licence)
    rows = catalog.select(
        licence=licence, max_mb=max_size, multilingual=multilingual, commercial=commercial
    )
    facts = [describe(row) for row in rows]
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
