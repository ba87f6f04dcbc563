"""`unseen models`."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from unseen.cli import options
from unseen.models import hub, table


def models(as_json: options.AsJson = False) -> None:
    """unseen models

    The known checkpoints: size, licence, published ImageNet zero-shot accuracy and its source.
    Any other CLIP in Hugging Face format works as well: give its id or folder to -m.
    """
    rows = [{**asdict(model), "here": hub.is_here(model.id)} for model in table.models()]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    shown = Table(box=None, pad_edge=False)
    for column in ("model", "here", "million", "pixels", "licence", "top-1", "source"):
        shown.add_column(
            column, no_wrap=column == "model", justify="right" if column in NUMBERS else "left"
        )
    for row in rows:
        shown.add_row(
            row["id"],
            "yes" if row["here"] else "",
            f"{row['parameters_millions']:g}",
            str(row["image_size"]),
            row["licence"],
            "" if row["imagenet_top1"] is None else f"{row['imagenet_top1']:.1f}",
            row["source"] or "",
        )
    Console().print(shown)


NUMBERS = ("million", "pixels", "top-1")
