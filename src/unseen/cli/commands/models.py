"""`unseen models`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from unseen.cli import options, progress
from unseen.cli.command_group import PlainGroup
from unseen.cli.output import printable
from unseen.errors import ModelError
from unseen.models import catalog, hub

SIZE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(MB|GB)?", re.IGNORECASE)
USE = {True: "yes", False: "no", None: "?"}

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
        Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(help="Only those of this licence, such as MIT.", show_default=False),
    ] = None,
    max_size: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            parser=_megabytes,
            metavar="SIZE",
            help="Only downloads up to 600MB, 1.5GB, or a number of MB.",
            show_default=False,
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
        _check_licence(licence)
    chosen = catalog.select(
        licence=licence, max_mb=max_size, multilingual=multilingual, commercial=commercial
    )
    if as_json:
        typer.echo(json.dumps([_facts(model) for model in chosen], indent=1))
    elif chosen:
        _show(chosen)
    else:
        progress.say("no known model meets all of these conditions.")


@models.command(short_help="Show everything that is known about a model.")
def info(model: options.Id, as_json: options.AsJson = False, debug: options.Debug = False) -> None:
    """unseen models info fast

    Show everything that is known about a model; of an .onnx file of unseen distil, its model card.
    """
    if model.endswith(".onnx"):
        typer.echo(_card(model, as_json))
        return
    known = catalog.find(catalog.resolve(model))
    if known is None:
        near = catalog.suggest(model)
        meant = f"did you mean {' or '.join(near)}?" if near else "`unseen models` lists those."
        raise ModelError(f"{model!r} is not one of the known checkpoints; {meant}")
    facts = _facts(known)
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    lines = {
        "model": known.id,
        "family": known.family,
        "parameters": f"{known.parameters_millions:g} million",
        "picture": f"{known.image_size} x {known.image_size}",
        "download": _size(known.download_mb),
        "on this machine": "yes" if facts["here"] else "no",
        "licence": known.licence,
        "commercial use": {True: "allowed", False: "not allowed", None: "left open"}[
            known.commercial
        ],
        "languages": ", ".join(known.languages).replace(catalog.MANY, "many"),
        "ImageNet top-1": f"{known.imagenet_top1} % ({known.source})" if known.source else "",
        "note": known.note,
    }
    for name, value in lines.items():
        if value:
            typer.echo(f"{name:<15}  {value}")
    for alias in catalog.aliases():
        if alias.id == known.id:
            typer.echo(f"{'short name':<15}  {alias.name}: {alias.reason}")


def _card(file: str, as_json: bool) -> str:
    from unseen.learning.distil.model_card import markdown  # noqa: PLC0415 - it loads what computes
    from unseen.models import families  # noqa: PLC0415

    card = families.read(hub.locate(file)).card
    if as_json:
        return json.dumps(card, indent=1)
    try:
        lines = markdown(card, Path(file).name).splitlines()
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"{file}: its model card is damaged: {error!r}.") from None
    return "\n".join(printable(line) for line in lines)


@models.command(short_help="Download a model.")
def pull(
    model: options.Id,
    revision: options.Revision = None,
    commercial: options.Commercial = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen models pull fast

    Download a checkpoint now, if it is not here yet, and print the folder that it is in.
    """
    known = catalog.find(catalog.resolve(model).partition("@")[0])
    if known is not None and not quiet and not _is_here(known.id):
        progress.say(f"{known.id}: {_size(known.download_mb)}, {known.licence}.")
    typer.echo(hub.locate(model, revision=revision, commercial=commercial).folder)


def _check_licence(licence: str) -> None:
    """A licence that no row has is more likely a slip than a wish."""
    licences = {model.licence for model in catalog.models()}
    if licence.casefold() not in {known.casefold() for known in licences}:
        listed = ", ".join(sorted(licences, key=str.casefold))
        raise ModelError(f"no known checkpoint has the licence {licence!r}; there are {listed}.")


def _facts(model: catalog.KnownModel) -> dict[str, Any]:
    """A row, and what depends on this machine and on the short names."""
    short = [alias.name for alias in catalog.aliases() if alias.id == model.id]
    return {
        **asdict(model),
        "multilingual": model.multilingual,
        "aliases": short,
        "here": _is_here(model.id),
    }


def _is_here(model: str) -> bool:
    """As `hub.is_here`, whose library takes a while to load, asked only when there is a trace."""
    if model == hub.BUILTIN:
        return True
    return (_hub_folder() / f"models--{model.replace('/', '--')}").is_dir() and hub.is_here(model)


def _hub_folder() -> Path:
    """Where huggingface_hub keeps models, by its own rules."""
    environment = os.environ
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("HF_HOME") or f"{cache}/huggingface"
    named = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE")
    return Path(os.path.expandvars(named or f"{home}/hub")).expanduser()


def _size(megabytes: float) -> str:
    if megabytes == 0:
        return "none"
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"


def _show(chosen: Sequence[catalog.KnownModel]) -> None:
    """A table as wide as its longest id asks for; what varies most in length stands last."""
    sources = list(dict.fromkeys(model.source for model in chosen if model.source))
    width = max(len(model.id) for model in chosen)
    typer.echo(f"  {'model':<{width}} {'download':>8} {'px':>4}  {'top-1':<8} {'use':<3} licence")
    for model in chosen:
        here = "*" if _is_here(model.id) else " "
        top1 = ""
        if model.imagenet_top1 is not None and model.source is not None:
            top1 = f"{model.imagenet_top1:.1f} [{sources.index(model.source) + 1}]"
        typer.echo(
            f"{here} {model.id:<{width}} {_size(model.download_mb):>8} {model.image_size:>4}  "
            f"{top1:<8} {USE[model.commercial]:<3} {model.licence}"
        )
    typer.echo(
        "\n* on this machine; px: side of the picture; use: whether commercial use is allowed,"
    )
    typer.echo("? where licence and model card leave it open (`unseen models info ID` says why)")
    if sources:
        typer.echo("top-1: zero-shot on ImageNet in percent, as published in")
    for number, source in enumerate(sources, 1):
        typer.echo(f"  [{number}] {source}")
    ids = {model.id for model in chosen}
    if short := [alias for alias in catalog.aliases() if alias.id in ids]:
        typer.echo("short names, for -m as well:")
    for alias in short:
        typer.echo(f"  {alias.name:<12} {alias.id}")
