"""`unseen models`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from unseen.cli import options
from unseen.models import hub, table


def models(as_json: options.AsJson = False, debug: options.Debug = False) -> None:
    """unseen models

    The known checkpoints: size, licence, published ImageNet zero-shot accuracy and its source.
    Any other CLIP in Hugging Face format works as well: give its id or folder to -m.
    """
    rows = [{**asdict(model), "here": _is_here(model.id)} for model in table.models()]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    sources = list(dict.fromkeys(row["source"] for row in rows if row["source"]))
    typer.echo(f"  {'model':<43} {'M':>5} {'px':>4} {'licence':<12} {'top-1':>5}")
    for row in rows:
        typer.echo(_line(row, sources))
    typer.echo("\n* on this machine; M: million parameters; px: side of the picture")
    typer.echo("top-1: zero-shot on ImageNet in percent, as published in")
    for number, source in enumerate(sources, 1):
        typer.echo(f"  [{number}] {source}")


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


def _line(row: dict[str, Any], sources: list[str]) -> str:
    """One row of the table, 80 columns wide."""
    here = "*" if row["here"] else " "
    size, side = round(row["parameters_millions"]), row["image_size"]
    line = f"{here} {row['id']:<43} {size:>5} {side:>4} {row['licence']:<12}"
    if row["source"] is None:
        return line.rstrip()
    return f"{line} {row['imagenet_top1']:>5.1f} [{sources.index(row['source']) + 1}]"
