"""OpenCLIP's own format: `open_clip_config.json`, and weights as its modules are called.

The image net is its ViT, its ResNet or a ViT of timm; the text net is CLIP's or SigLIP's, or a
BERT of transformers. data/towers.json says what the config leaves to those two libraries.
"""

from __future__ import annotations

from typing import Any

from unseen.models import config_values as values
from unseen.models import processors
from unseen.models.checkpoint import Checkpoint
from unseen.models.families.assemble import assemble, sigmoid_score, softmax_score
from unseen.models.families.openclip import settings
from unseen.models.families.openclip.image import image_tower
from unseen.models.families.openclip.text import text_inputs, text_tower, tokenizer_of
from unseen.models.model import LARGE_BATCH, SMALL_BATCH, Model

KINDS = {"model_cfg": values.OBJECT, "preprocess_cfg": values.optional(values.OBJECT)}
CONVOLUTIONAL = ("resnet", "convnext", "fastvit")  # image nets that small batches suit
MODEL_KINDS = {"embed_dim": values.WIDTH, "quick_gelu": values.optional(values.FLAG)}


def read(checkpoint: Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is built."""
    whole = {"preprocess_cfg": None, **config}
    known = values.checked(whole, KINDS, settings.FILE)
    model_cfg = {"quick_gelu": None, **known["model_cfg"]}
    values.checked(model_cfg, MODEL_KINDS, f"{settings.FILE}: model_cfg")
    vision_config = settings.tower(model_cfg, "vision_cfg", settings.VISION_DEFAULTS)
    text_config = settings.tower(model_cfg, "text_cfg", settings.TEXT_DEFAULTS)
    activation = "quick_gelu" if model_cfg["quick_gelu"] else "gelu"
    dimension: int = model_cfg["embed_dim"]
    preprocess = processors.from_open_clip(
        known["preprocess_cfg"] or {}, settings.pair(vision_config["image_size"])
    )
    weights = checkpoint.weights()
    arrays = weights.arrays
    tokenizer = tokenizer_of(checkpoint, text_config)
    # A model with a bias was trained with SigLIP's loss, any other with CLIP's.
    score = sigmoid_score if "logit_bias" in arrays else softmax_score
    image = image_tower(arrays, vision_config, dimension, activation, preprocess)
    return assemble(
        checkpoint,
        "openclip",
        weights,
        preprocess=preprocess,
        image_tower=image,
        text_tower=text_tower(arrays, text_config, dimension, activation),
        text_inputs=text_inputs(checkpoint, tokenizer, text_config),
        context_length=text_config["context_length"],
        score=score(arrays),
        tokenizer=tokenizer,
        batch_size=SMALL_BATCH if image.kind in CONVOLUTIONAL else LARGE_BATCH,
    )
