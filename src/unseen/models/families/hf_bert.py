"""BERT, RoBERTa and XLM-RoBERTa as transformers names their weights: the text net of several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unseen.models.families.hf_vision import layers
from unseen.networks.operations import Array

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


def text_inputs(ids: Sequence[Sequence[int]]) -> tuple[Array, Array]:
    """Token ids of each text → ids and mask, int64 (n, longest)."""
    longest = max(map(len, ids))
    batch = np.zeros((len(ids), longest), dtype=np.int64)
    mask = np.zeros((len(ids), longest), dtype=np.int64)
    for row, tokens in enumerate(ids):
        batch[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return batch, mask
