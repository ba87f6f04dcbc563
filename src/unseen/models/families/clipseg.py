"""The CLIP inside CLIPSeg (Lüddecke & Ecker 2022, arXiv:2112.10003) as transformers saves it, with
the decoder that draws masks, which is not read, or without."""

from __future__ import annotations

from typing import Any

from unseen.models import processors
from unseen.models.checkpoint import Checkpoint, read_image_processor
from unseen.models.families import clip
from unseen.models.model import Model


def read(checkpoint: Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is built."""
    # Pictures are of the processor's size, not of the config's: 352 × 352 in those published.
    preprocess = processors.from_hugging_face(
        read_image_processor(checkpoint), processors.VIT_DEFAULTS, image_size=None
    )
    weights = checkpoint.weights()
    prefix = "clip." if "clip.logit_scale" in weights.arrays else ""
    return clip.model(checkpoint, config, "clipseg", preprocess, weights, prefix)
