"""What each patch of a picture adds to its embedding, written apart: float64 numpy, no operations.

`vit` takes the named parameters of an image net and one picture, and gives the rows, what no patch
gave, and the embedding. Nothing of networks/ or explanation/ is used here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Doubles = np.ndarray[Any, Any]

ACTIVATIONS = {
    "gelu": lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "quick_gelu": lambda x: x / (1 + np.exp(-1.702 * x)),
}


@dataclass(frozen=True)
class Judged:
    """`rows` (patches, d), `rest` (d,), `embedding` (d,): rows and rest sum to the embedding."""

    rows: Doubles
    rest: Doubles
    embedding: Doubles


def vit(p: Mapping[str, Any], config: Any, image: Doubles) -> Judged:
    """A vision transformer that is read at its class token. `image`: uint8 (height, width, 3)."""
    w = {name: np.asarray(p[name], dtype=np.float64) for name in p}
    heads, epsilon = config.blocks.heads, config.blocks.epsilon
    x = _embedded(w, config, image, epsilon)
    tokens, width = x.shape
    spread = np.eye(tokens)
    added = np.zeros((tokens, width))
    others = x[0].copy()  # what came to the class token from no attention
    for layer in range(config.blocks.layers):
        at = f"layers.{layer}."
        h = _norm(w, at + "norm1", x, epsilon)
        q, k, v = (
            (h @ w[at + n + ".weight"].T + w[at + n + ".bias"]).reshape(tokens, heads, -1)
            for n in ("query", "key", "value")
        )
        logits = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(width // heads)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        out = w[at + "out.weight"].reshape(width, heads, -1)  # the columns that each head feeds
        sent = np.einsum("hj,jhd,ohd->jo", weights[:, 0], v, out)
        added += spread.T @ sent
        spread = 0.5 * weights.mean(0) @ spread + 0.5 * spread
        x = x + np.einsum("hqk,khd,ohd->qo", weights, v, out) + w[at + "out.bias"]
        h = _norm(w, at + "norm2", x, epsilon)
        h = ACTIVATIONS[config.blocks.activation](h @ w[at + "mlp1.weight"].T + w[at + "mlp1.bias"])
        mlp = h @ w[at + "mlp2.weight"].T + w[at + "mlp2.bias"]
        x = x + mlp
        others += w[at + "out.bias"] + mlp[0]
    last = x[0]
    projection = w.get("projection.weight", np.eye(width))
    name = "norm_after" if "norm_after.weight" in w else "norm_pooled"
    deviation = math.sqrt(last.var() + epsilon)

    def linear(y: Doubles) -> Doubles:
        centred = y - y.mean(-1, keepdims=True)
        return (centred / deviation * w[name + ".weight"]) @ projection.T

    constant = projection @ w[name + ".bias"] + w.get("projection.bias", 0.0)
    whole = linear(last) + constant
    length = np.linalg.norm(whole)
    rest = linear(others) + linear(added[0]) + constant
    return Judged(linear(added[1:]) / length, rest / length, whole / length)


def _embedded(w: Mapping[str, Doubles], config: Any, image: Doubles, epsilon: float) -> Doubles:
    """The tokens that enter the first block, the class token first."""
    scale, shift = (np.array(values, dtype=np.float64) for values in (config.scale, config.shift))
    pixels = image.astype(np.float64) * scale + shift
    side = config.patch
    rows, columns = image.shape[0] // side, image.shape[1] // side
    kernel = w["patch.weight"]
    patches = [
        np.einsum("yxc,ocyx->o", pixels[r : r + side, c : c + side], kernel)
        for r in range(0, rows * side, side)
        for c in range(0, columns * side, side)
    ]
    x = np.stack(patches) + w.get("patch.bias", 0.0)
    x = np.concatenate([w["class_token"][None], x]) + w["positions"]
    return _norm(w, "norm_before", x, epsilon) if "norm_before.weight" in w else x


def _norm(w: Mapping[str, Doubles], name: str, x: Doubles, epsilon: float) -> Doubles:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    return scaled * w[name + ".weight"] + w[name + ".bias"]
