"""The CLIP inside CLIPSeg (Lüddecke & Ecker 2022, arXiv:2112.10003) as transformers saves it, with
the decoder that draws masks, which is not read, or without."""

from __future__ import annotations

from typing import Any

from unseen.images.preprocess import VIT_DEFAULTS, Preprocess
from unseen.models import hub
from unseen.models.families import clip
from unseen.models.model import Model
from unseen.models.weights import open_weights


def read(checkpoint: hub.Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is compiled."""
    # Pictures are of the processor's size, not of the config's: 352 × 352 in those published.
    preprocess = Preprocess.from_hf_config(
        hub.read_image_processor(checkpoint), VIT_DEFAULTS, image_size=None
    )
    weights = open_weights(checkpoint.folder)
    prefix = "clip." if "clip.logit_scale" in weights else ""
    return clip.model(checkpoint, config, "clipseg", preprocess, weights, prefix)
