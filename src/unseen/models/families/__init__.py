"""One file a family: its config and weight names → a `Model`. This is the table of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unseen.errors import ModelError
from unseen.models import hub
from unseen.models.families import (
    align,
    altclip,
    builtin,
    chinese_clip,
    clip,
    clipseg,
    openclip,
    siglip,
    student,
)
from unseen.models.model import Model

# model_type in the checkpoint's config.json → who reads it.
FAMILIES: dict[str, Callable[[hub.Checkpoint, dict[str, Any]], Model]] = {
    "align": align.read,
    "altclip": altclip.read,
    "chinese_clip": chinese_clip.read,
    "clip": clip.read,
    "clipseg": clipseg.read,
    "siglip": siglip.read,
    "siglip2": siglip.refuse_naflex,
    "unseen-builtin": builtin.read,
}


def read(checkpoint: hub.Checkpoint) -> Model:
    """What the checkpoint's own config says it is; ModelError when no family reads it."""
    if checkpoint.file is not None:
        return student.read(checkpoint.file, checkpoint.name)
    config = hub.read_json(checkpoint, checkpoint.config_file)
    if checkpoint.config_file == hub.OPEN_CLIP_CONFIG:
        return openclip.read(checkpoint, config)
    model_type = config.get("model_type")
    if model_type not in FAMILIES:
        raise ModelError(
            f"{checkpoint.name}: config.json says model_type {model_type!r}, which is not "
            f"supported; supported are {', '.join(sorted(FAMILIES))}."
        )
    return FAMILIES[model_type](checkpoint, config)
