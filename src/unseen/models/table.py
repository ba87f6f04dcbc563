"""The known checkpoints, as data: data/models.json → rows."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class KnownModel:
    """What is known of a checkpoint before it is downloaded."""

    id: str
    family: str
    parameters_millions: float
    image_size: int
    licence: str
    commercial: bool | None  # None: the licence leaves it open
    languages: str
    imagenet_top1: float | None  # percent, zero-shot, as published
    source: str | None  # of that figure
    note: str = ""


@cache
def models() -> tuple[KnownModel, ...]:
    """Every row, in the order of the file."""
    text = resources.files("unseen").joinpath("data/models.json").read_text("utf-8")
    return tuple(KnownModel(**row) for row in json.loads(text))


def suggest(name: str) -> list[str]:
    """Known ids that look like `name`."""
    ids = [model.id for model in models()]
    return difflib.get_close_matches(name, ids, 2, 0.6)
