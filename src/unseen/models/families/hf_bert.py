"""BERT, RoBERTa and XLM-RoBERTa as transformers names their weights: the text net of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unseen.models.families.hf_config import blocks, check_shapes
from unseen.models.families.hf_vision import layers
from unseen.models.weights import Renamed, Weights
from unseen.networks import bert
from unseen.networks.network import Network
from unseen.networks.operations import Array

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


def names(prefix: str, count: int) -> dict[str, str]:
    """Our names → the checkpoint's, for an encoder of `count` layers under `prefix`."""
    theirs = EMBEDDINGS | layers("encoder.layer.{}", LAYER, count)
    return {ours: prefix + name for ours, name in theirs.items()}


def first_token_network(
    weights: Weights, config: Mapping[str, Any], dimension: int, *, bias: bool
) -> Network[Any]:
    """BERT read at its first token, and `text_projection`, with a bias or without. A pooler that
    is in the weights is not used."""
    width = int(config["hidden_size"])
    found = names("text_model.", int(config["num_hidden_layers"]))
    for kind in ("weight", "bias") if bias else ("weight",):
        found[f"projection.{kind}"] = f"text_projection.{kind}"
    check_shapes(
        weights,
        {
            found["tokens"]: (int(config["vocab_size"]), width),
            found["positions"]: (int(config["max_position_embeddings"]), width),
            found["projection.weight"]: (dimension, width),
        },
    )
    text_config = bert.TextConfig(bert.BertConfig(blocks(config)), "first", dimension)
    return bert.network(text_config, Renamed(weights, found))


def text_inputs(ids: Sequence[Sequence[int]]) -> tuple[Array, Array]:
    """Token ids of each text → ids and mask, int64 (n, longest)."""
    longest = max(map(len, ids))
    batch = np.zeros((len(ids), longest), dtype=np.int64)
    mask = np.zeros((len(ids), longest), dtype=np.int64)
    for row, tokens in enumerate(ids):
        batch[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return batch, mask
