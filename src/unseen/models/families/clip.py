"""CLIP as transformers saves it (model_type "clip"): OpenAI's, LAION's, MetaCLIP, TinyCLIP; and
MetaCLIP 2 (Chuang et al. 2025, arXiv:2507.22062; "metaclip_2"), which has the same nets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from unseen.images.preprocess import Preprocess
from unseen.models import processors
from unseen.models.checkpoint import Checkpoint, read_image_processor
from unseen.models.families import hf_vision
from unseen.models.families.assemble import assemble, softmax_score
from unseen.models.families.hf_config import blocks, tower
from unseen.models.families.hf_config import dimension as dimension_of
from unseen.models.inputs import EndToken
from unseen.models.model import Model
from unseen.models.towers import TowerSpec
from unseen.models.weights.spec import WeightsSpec
from unseen.networks import text

# What transformers takes for a key that the text_config leaves out.
TEXT_DEFAULTS = {
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "num_hidden_layers": 12,
    "hidden_size": 512,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "eos_token_id": 49407,
}

TEXT = {
    "tokens": "text_model.embeddings.token_embedding.weight",
    "positions": "text_model.embeddings.position_embedding.weight",
    "norm_after.weight": "text_model.final_layer_norm.weight",
    "norm_after.bias": "text_model.final_layer_norm.bias",
    "projection.weight": "text_projection.weight",
}


def read(checkpoint: Checkpoint, config: dict[str, Any], family: str = "clip") -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is built."""
    vision_config = tower(config, "vision", hf_vision.DEFAULTS)
    preprocess = processors.from_hugging_face(
        read_image_processor(checkpoint),
        processors.CLIP_DEFAULTS,
        vision_config["image_size"],
    )
    return model(checkpoint, config, family, preprocess, checkpoint.weights())


def model(
    checkpoint: Checkpoint,
    config: dict[str, Any],
    family: str,
    preprocess: Preprocess,
    weights: WeightsSpec,
    prefix: str = "",
) -> Model:
    """CLIP's two nets, whatever makes the pictures; `prefix` stands before every weight's name."""
    vision_config = tower(config, "vision", hf_vision.DEFAULTS)
    text_config = tower(config, "text", TEXT_DEFAULTS)
    dimension = dimension_of(config, 512)
    return assemble(
        checkpoint,
        family,
        weights,
        preprocess=preprocess,
        image_tower=hf_vision.image_tower(
            weights.arrays, vision_config, dimension, preprocess, prefix
        ),
        text_tower=_text_tower(weights.arrays, text_config, dimension, prefix),
        text_inputs=EndToken(_end(config, text_config)),
        context_length=text_config["max_position_embeddings"],
        score=softmax_score(weights.arrays, prefix),
    )


def _end(config: Mapping[str, Any], text_config: Mapping[str, Any]) -> int | None:
    """Configs of CLIP from before transformers 4.30 say eos_token_id 2, which is not its end token:
    None then. MetaCLIP 2 ends a text in what its config says, also in 2."""
    end: int = text_config["eos_token_id"]
    return None if end == 2 and config.get("model_type") != "metaclip_2" else end


def _text_tower(
    weights: Iterable[str], config: Mapping[str, Any], dimension: int, prefix: str
) -> TowerSpec:
    width = config["hidden_size"]
    names = {ours: prefix + theirs for ours, theirs in TEXT.items()}
    names |= hf_vision.layers(
        weights,
        prefix + "text_model.encoder.layers.{}",
        hf_vision.LAYER,
        config["num_hidden_layers"],
    )
    shapes = {
        names["tokens"]: (config["vocab_size"], width),
        names["positions"]: (config["max_position_embeddings"], width),
        names["projection.weight"]: (dimension, width),
    }
    return TowerSpec("text", text.TextConfig(blocks(config), dimension), names, shapes)
