"""Chinese-CLIP (Yang et al. 2022, arXiv:2211.01335) as transformers saves it: CLIP's image net, a
Chinese BERT or RoBERTa of the same shape, read at its first token."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from unseen.images.preprocess import CLIP_DEFAULTS, Preprocess
from unseen.models import hub
from unseen.models.families import hf_bert, hf_vision
from unseen.models.families.hf_config import tower
from unseen.models.model import Model, Score
from unseen.models.tokenizer import Tokenizer
from unseen.models.weights import open_weights

TEMPLATE = "一张{}的照片。"  # "a photo of {}": its labels are Chinese


def read(checkpoint: hub.Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is compiled."""
    vision_config = tower(config, "vision", hf_vision.DEFAULTS)
    text_config = tower(config, "text", hf_bert.DEFAULTS)
    dimension = int(config.get("projection_dim", 512))
    preprocess = Preprocess.from_hf_config(
        hub.read_image_processor(checkpoint), CLIP_DEFAULTS, int(vision_config["image_size"])
    )
    weights = open_weights(checkpoint.folder)
    return Model(
        name=checkpoint.name,
        revision=checkpoint.revision,
        family="chinese_clip",
        fingerprint=hub.fingerprint(checkpoint),
        dimension=dimension,
        preprocess=preprocess,
        tokenizer=Tokenizer.from_folder(checkpoint.folder),
        context_length=int(text_config["max_position_embeddings"]),
        text_inputs=hf_bert.text_inputs,
        score=Score("softmax", scale=math.exp(float(weights["logit_scale"]))),
        image_network=hf_vision.image_network(weights, vision_config, dimension, preprocess, ""),
        text_network=partial(
            hf_bert.first_token_network, weights, text_config, dimension, bias=False
        ),
        template=TEMPLATE,
    )
