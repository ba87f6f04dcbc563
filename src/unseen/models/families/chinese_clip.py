"""Chinese-CLIP (Yang et al. 2022, arXiv:2211.01335) as transformers saves it: CLIP's image net, a
Chinese BERT or RoBERTa of the same shape, read at its first token."""

from __future__ import annotations

from typing import Any

from unseen.models import processors
from unseen.models.checkpoint import Checkpoint, read_image_processor
from unseen.models.families import hf_bert, hf_vision
from unseen.models.families.assemble import assemble, softmax_score
from unseen.models.families.hf_config import dimension as dimension_of
from unseen.models.families.hf_config import tower
from unseen.models.inputs import Masked
from unseen.models.model import Model

TEMPLATE = "一张{}的照片。"  # "a photo of {}": its labels are Chinese


def read(checkpoint: Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is built."""
    vision_config = tower(config, "vision", hf_vision.DEFAULTS)
    text_config = tower(config, "text", hf_bert.DEFAULTS)
    dimension = dimension_of(config, 512)
    preprocess = processors.from_hugging_face(
        read_image_processor(checkpoint),
        processors.CLIP_DEFAULTS,
        vision_config["image_size"],
    )
    weights = checkpoint.weights()
    return assemble(
        checkpoint,
        "chinese_clip",
        weights,
        preprocess=preprocess,
        image_tower=hf_vision.image_tower(weights.arrays, vision_config, dimension, preprocess),
        text_tower=hf_bert.first_token_tower(weights.arrays, text_config, dimension, bias=False),
        text_inputs=Masked(),
        context_length=text_config["max_position_embeddings"],
        score=softmax_score(weights.arrays),
        template=TEMPLATE,
    )
