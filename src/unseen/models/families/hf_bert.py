"""BERT, RoBERTa and XLM-RoBERTa as transformers names their weights: the text net of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from unseen.models.families.hf_config import blocks
from unseen.models.families.hf_vision import layers
from unseen.models.towers import TowerSpec
from unseen.networks import bert

# What transformers takes for a key that a text_config with a plain BERT leaves out.
DEFAULTS = {
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "max_position_embeddings": 512,
    "vocab_size": 30522,
}

LAYER = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "out": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "mlp1": "intermediate.dense",
    "mlp2": "output.dense",
    "norm2": "output.LayerNorm",
}
EMBEDDINGS = {
    "tokens": "embeddings.word_embeddings.weight",
    "positions": "embeddings.position_embeddings.weight",
    "types": "embeddings.token_type_embeddings.weight",
    "norm.weight": "embeddings.LayerNorm.weight",
    "norm.bias": "embeddings.LayerNorm.bias",
}


def names(weights: Iterable[str], prefix: str, count: int) -> dict[str, str]:
    """Our names → the checkpoint's, for an encoder of `count` layers under `prefix`.

    ModelError where the weights have another number of layers.
    """
    theirs = {ours: prefix + name for ours, name in EMBEDDINGS.items()}
    return theirs | layers(weights, prefix + "encoder.layer.{}", LAYER, count)


def first_token_tower(
    weights: Iterable[str], config: Mapping[str, Any], dimension: int, *, bias: bool
) -> TowerSpec:
    """BERT read at its first token, and `text_projection`, with a bias or without. A pooler that
    is in the weights is not used."""
    width = config["hidden_size"]
    theirs = names(weights, "text_model.", config["num_hidden_layers"])
    for kind in ("weight", "bias") if bias else ("weight",):
        theirs[f"projection.{kind}"] = f"text_projection.{kind}"
    shapes = {
        theirs["tokens"]: (config["vocab_size"], width),
        theirs["positions"]: (config["max_position_embeddings"], width),
        theirs["projection.weight"]: (dimension, width),
    }
    text_config = bert.TextConfig(bert.BertConfig(blocks(config)), "first", dimension)
    return TowerSpec("bert", text_config, theirs, shapes)
