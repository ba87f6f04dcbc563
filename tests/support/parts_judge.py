"""What each patch of a picture adds to its embedding, written apart: float64 numpy, no operations.

`vit` takes the named parameters of an image net and one picture, and gives the rows, what no patch
gave, and the embedding. Nothing of networks/ or explanation/ is used here. EVA's blocks are among
them: with rotary positions, a gated mlp, norms within the branches or behind them.
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
    "silu": lambda x: x / (1 + np.exp(-x)),
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
    post = config.blocks.post_norm
    for layer in range(config.blocks.layers):
        at = f"layers.{layer}."
        h = x if post else _norm(w, at + "norm1", x, epsilon)
        q, k, v = (
            _linear(w, at + n, h).reshape(tokens, heads, -1) for n in ("query", "key", "value")
        )
        if config.rotary is not None:
            q, k = (_turned(config, t) for t in (q, k))
        logits = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(width // heads)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        each = np.einsum("hj,jhd->jhd", weights[:, 0], v).reshape(tokens, width)
        given = np.einsum("hqk,khd->qhd", weights, v).reshape(tokens, width)
        own = np.zeros(width)  # of the first token's share: what no token gave
        if at + "attention_norm.weight" in w:
            each = _held(w, at + "attention_norm", each, given[0], epsilon)
            own = own + w[at + "attention_norm.bias"]
            given = _norm(w, at + "attention_norm", given, epsilon)
        out = w[at + "out.weight"]
        each, own = each @ out.T, out @ own + w[at + "out.bias"]
        given = given @ out.T + w[at + "out.bias"]
        if post:
            each = _held(w, at + "norm1", each, given[0], epsilon)
            own = _held(w, at + "norm1", own, given[0], epsilon) + w[at + "norm1.bias"]
            given = _norm(w, at + "norm1", given, epsilon)
        added += spread.T @ each
        spread = 0.5 * weights.mean(0) @ spread + 0.5 * spread
        x = x + given
        mlp = _mlp(w, at, x, config)
        x = x + mlp
        others += own + mlp[0]
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


def _mlp(w: Mapping[str, Doubles], at: str, x: Doubles, config: Any) -> Doubles:
    epsilon, activation = config.blocks.epsilon, ACTIVATIONS[config.blocks.activation]
    h = x if config.blocks.post_norm else _norm(w, at + "norm2", x, epsilon)
    if at + "gate.weight" in w:
        h = activation(_linear(w, at + "gate", h)) * _linear(w, at + "mlp1", h)
    else:
        h = activation(_linear(w, at + "mlp1", h))
    if at + "hidden_norm.weight" in w:
        h = _norm(w, at + "hidden_norm", h, epsilon)
    h = _linear(w, at + "mlp2", h)
    return _norm(w, at + "norm2", h, epsilon) if config.blocks.post_norm else h


def _turned(config: Any, x: Doubles) -> Doubles:
    """Queries or keys (tokens, heads, d), each pair of a head turned by its patch's place: as
    complex numbers. A pair's first half lies in the first half of a head."""
    rows, columns = (side // config.patch for side in config.image_size)
    half = x.shape[-1] // 2
    frequencies = 10_000.0 ** (-np.arange(half // 2) / (half // 2))
    scale = config.rotary.side
    angles = np.zeros((len(x), half))
    for r in range(rows):
        for c in range(columns):
            y = (r + config.rotary.start) / rows * scale
            z = (c + config.rotary.start) / columns * scale
            pair = (y, z) if config.rotary.first == "row" else (z, y)
            own = np.concatenate([place * frequencies for place in pair])
            angles[len(x) - rows * columns + r * columns + c] = own
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)[:, None]
    return np.concatenate([turned.real, turned.imag], -1)


def _linear(w: Mapping[str, Doubles], name: str, x: Doubles) -> Doubles:
    return x @ w[name + ".weight"].T + w.get(name + ".bias", 0.0)


def _held(
    w: Mapping[str, Doubles], name: str, x: Doubles, total: Doubles, epsilon: float
) -> Doubles:
    """The norm of x, without its bias and with the deviation of another vector."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(total.var() + epsilon) * w[name + ".weight"]


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
