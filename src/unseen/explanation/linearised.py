"""The heads of the image nets in numpy, made linear at one picture: parts → rows of an embedding.

A head turns the pooled vector into the embedding: norms, a projection, a length of 1. Where it is
linear but for the numbers that it divides by (a deviation, a length), these are taken from the
picture and held, and the rows add up to the embedding exactly, together with what no place gave.
Where it is not linear (an MLP, a softmax), the rows are its first order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unseen.networks import (
    builtin,
    convnext,
    distilled,
    efficientnet,
    fastvit,
    hybrid,
    resnet,
    vit,
)
from unseen.networks.network import Parameters
from unseen.networks.operations import as_float32
from unseen.runtimes.reference import NumpyOperations
from unseen.types import Floats

# Rows (cells, dimension) of the embedding, and the embedding (dimension,) itself, of length 1.
Linearised = tuple[Floats, Floats]

OPERATIONS = NumpyOperations()
LEAST_LENGTH = 1e-12  # as in `l2_normalise`


def vision_rows(config: vit.VisionConfig, p: Parameters, parts: Floats) -> Linearised:
    """Of `parts.vision_network`: exact, but for a learned query with an MLP (CoCa's has none)."""
    rows, pooled = parts[:-1], parts[-1]
    epsilon, exact = config.blocks.epsilon, is_exact("vit", p)
    if not exact:
        rows, pooled = _through_mlp(config, p, rows, pooled)
    elif config.pooling == "token":
        rows, pooled = _held_norm(p, "norm_after", epsilon, rows, pooled)
    rows, pooled = _held_norm(p, "norm_pooled", epsilon, rows, pooled)
    rows, pooled = _of_length_one(*_projected(p, rows, pooled))
    if exact:
        return rows, pooled
    turned: Linearised = _turned(rows, pooled)
    return turned


def hybrid_rows(config: hybrid.HybridConfig, p: Parameters, parts: Floats) -> Linearised:
    """Of `parts.hybrid_network`: exact."""
    rows, pooled = parts[:-1], parts[-1]
    for name in ("norm_after", "norm_pooled"):  # of the class token, or of the mean
        rows, pooled = _held_norm(p, name, config.blocks.epsilon, rows, pooled)
    return _of_length_one(*_projected(p, rows, pooled))


def convnext_rows(config: convnext.ConvNeXtConfig, p: Parameters, parts: Floats) -> Linearised:
    """Of `parts.convnext_network`: exact, but for a hidden layer before the projection."""
    rows, pooled = _held_norm(p, "norm_pooled", config.epsilon, parts[:-1], parts[-1])
    if is_exact("convnext", p):
        return _of_length_one(*_projected(p, rows, pooled))
    # The norm turns, too, where what follows is a first order.
    rows = _along_norm(p["norm_pooled.weight"], config.epsilon, parts[:-1], parts[-1])
    hidden = OPERATIONS.linear(pooled, p["hidden.weight"], p.get("hidden.bias"))
    slope = DERIVATIVES[convnext.HIDDEN_ACTIVATION](hidden.astype(np.float64)).astype(np.float32)
    rows = (rows @ as_float32(p["hidden.weight"]).T) * slope
    pooled = OPERATIONS.activation(hidden, convnext.HIDDEN_ACTIVATION)
    turned: Linearised = _turned(*_of_length_one(*_projected(p, rows, pooled)))
    return turned


def fastvit_rows(config: fastvit.FastViTConfig, p: Parameters, parts: Floats) -> Linearised:
    """Of `parts.fastvit_network`: exact."""
    return _of_length_one(*_projected(p, parts[:-1], parts[-1]))


def resnet_rows(config: resnet.ResNetConfig, p: Parameters, parts: Floats) -> Linearised:
    """Of `parts.resnet_network`: exact."""
    return _of_length_one(*_projected(p, parts[:-1], parts[-1]))


def efficientnet_rows(
    config: efficientnet.EfficientNetConfig, p: Parameters, parts: Floats
) -> Linearised:
    """Of `parts.efficientnet_network`: exact."""
    return _of_length_one(*_projected(p, parts[:-1], parts[-1]))


def builtin_rows(config: builtin.ImageConfig, p: Parameters, parts: Floats) -> Linearised:
    """Of `parts.builtin_network`: first order. The classes that are kept, stay so."""
    rows, pooled = parts[:-1].astype(np.float64), parts[-1].astype(np.float64)
    classifier = as_float32(p["classifier.weight"])
    half = (classifier @ pooled + p["classifier.bias"]) / (2 * config.temperature)
    root = np.exp(half - half.max())
    root /= np.linalg.norm(root)
    kth = np.partition(root, -config.top_classes)[-config.top_classes]
    meaning = np.where(root >= kth, root, 0.0)
    meaning /= np.linalg.norm(meaning)
    # m_c ∝ exp(z_c / 2T) of the classes c that are kept, and |m| = 1.
    moved = (rows @ classifier.T) / (2 * config.temperature)
    meaning_rows = meaning * (moved - (moved @ meaning**2)[:, None])
    looks_rows, looks = rows @ p["looks"].T, p["looks"] @ pooled
    length = max(float(np.linalg.norm(looks)), LEAST_LENGTH)
    looks_rows, looks = _turned(looks_rows / length, looks / length)
    share = config.meaning_share
    rest = math.sqrt(1 - share**2)
    embedding = np.concatenate([share * meaning, rest * looks])
    embedding_rows = np.hstack([share * meaning_rows, rest * looks_rows])
    return as_float32(embedding_rows), as_float32(embedding / np.linalg.norm(embedding))


def distilled_rows(config: distilled.ImageConfig, p: Parameters, parts: Floats) -> Linearised:
    """Of `parts.distilled_network`: exact of the labels; of the looks, which no label has, 0."""
    rows, pooled = parts[:-1], parts[-1]
    if "hidden.weight" in p:
        hidden = OPERATIONS.linear(pooled, p["hidden.weight"], p["hidden.bias"])
        open_units = (hidden > 0).astype(np.float32)
        rows, pooled = (rows @ p["hidden.weight"].T) * open_units, hidden * open_units
    rows = rows @ p["output.weight"].T / np.float32(config.radius)
    logits = OPERATIONS.linear(pooled, p["output.weight"], p["output.bias"])
    completed = OPERATIONS.complete(logits[None] / np.float32(config.radius))[0]
    rows = rows / max(1.0, float(np.linalg.norm(logits)) / config.radius)
    looks = OPERATIONS.l2_normalise(p["looks"] @ parts[-1])
    embedding = np.concatenate([completed[:-1], looks * completed[-1]])
    padding = np.zeros((len(rows), len(looks)), dtype=np.float32)
    return as_float32(np.hstack([rows, padding])), as_float32(embedding)


# A kind of tower (models/towers.py) that has a parts network → what makes rows of its output.
HEADS: dict[str, Callable[[Any, Parameters, Floats], Linearised]] = {
    "vit": vision_rows,
    "resnet": resnet_rows,
    "efficientnet": efficientnet_rows,
    "convnext": convnext_rows,
    "fastvit": fastvit_rows,
    "hybrid": hybrid_rows,
    "builtin_image": builtin_rows,
    "distilled_image": distilled_rows,
}


# Where a head may have a layer that is not linear: its weight.
NOT_LINEAR = {"vit": "pool.mlp1.weight", "convnext": "hidden.weight"}


def is_exact(kind: str, p: Parameters) -> bool:
    """Whether the rows of a tower add up to its embedding, with what no place gave."""
    name = NOT_LINEAR.get(kind)
    return kind != "builtin_image" and (name is None or name not in p)


def _held_norm(
    p: Parameters, name: str, epsilon: float, rows: Floats, pooled: Floats
) -> tuple[Floats, Floats]:
    """A layer norm whose deviation is that of the pooled vector; as it is, where there is none."""
    if name + ".weight" not in p:
        return rows, pooled
    weight, bias = as_float32(p[name + ".weight"]), as_float32(p[name + ".bias"])
    deviation = np.sqrt(pooled.var() + np.float32(epsilon))
    centred = rows - rows.mean(-1, keepdims=True)
    return centred * (weight / deviation), OPERATIONS.layer_norm(pooled, weight, bias, epsilon)


def _through_mlp(
    config: vit.VisionConfig, p: Parameters, rows: Floats, pooled: Floats
) -> tuple[Floats, Floats]:
    """x + mlp(norm x), the second half of the pool, and its derivative along each row."""
    epsilon, name = config.blocks.epsilon, config.blocks.activation
    weight = as_float32(p["pool.norm2.weight"])
    moved = _along_norm(weight, epsilon, rows, pooled)
    first = as_float32(p["pool.mlp1.weight"])
    second = as_float32(p["pool.mlp2.weight"])
    hidden = OPERATIONS.linear(
        OPERATIONS.layer_norm(pooled, weight, p["pool.norm2.bias"], epsilon),
        first,
        p["pool.mlp1.bias"],
    )
    slope = DERIVATIVES[name](hidden.astype(np.float64)).astype(np.float32)
    moved = rows + ((moved @ first.T) * slope) @ second.T
    value = OPERATIONS.linear(OPERATIONS.activation(hidden, name), second, p["pool.mlp2.bias"])
    return moved, pooled + value


def _along_norm(weight: Floats, epsilon: float, rows: Floats, pooled: Floats) -> Floats:
    """The derivative of a layer norm at the pooled vector along each row."""
    deviation = np.sqrt(pooled.var() + np.float32(epsilon))
    unit = (pooled - pooled.mean()) / deviation
    centred = rows - rows.mean(-1, keepdims=True)
    moved = (centred - unit * (rows @ unit / len(unit))[:, None]) / deviation
    return as_float32(moved * weight)


def _projected(p: Parameters, rows: Floats, pooled: Floats) -> tuple[Floats, Floats]:
    if "projection.weight" not in p:
        return rows, pooled
    weight = as_float32(p["projection.weight"])
    return rows @ weight.T, OPERATIONS.linear(pooled, weight, p.get("projection.bias"))


def _of_length_one(rows: Floats, pooled: Floats) -> Linearised:
    """Both divided by the length of the pooled vector."""
    length = max(float(np.linalg.norm(pooled)), LEAST_LENGTH)
    return rows / length, pooled / length


def _turned(rows: Any, unit: Any) -> Any:
    """The derivative of a vector's direction: what of each row does not lie along it."""
    return rows - np.outer(rows @ unit, unit), unit


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _gelu(x: Any) -> Any:
    below = 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    return below + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def _gelu_tanh(x: Any) -> Any:
    scale = math.sqrt(2 / math.pi)
    t = np.tanh(scale * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * scale * (1 + 3 * 0.044715 * x**2)


def _swish(x: Any, beta: float) -> Any:
    s = _sigmoid(beta * x)
    return s + beta * x * s * (1 - s)


# The derivatives of the activations that an MLP has (networks/operations.py).
DERIVATIVES: dict[str, Callable[[Any], Any]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "quick_gelu": lambda x: _swish(x, 1.702),
    "silu": lambda x: _swish(x, 1.0),
    "relu": lambda x: (x > 0).astype(float),
    "relu6": lambda x: ((x > 0) & (x < 6)).astype(float),
    "sigmoid": lambda x: _sigmoid(x) * (1 - _sigmoid(x)),
    "tanh": lambda x: 1 - np.tanh(x) ** 2,
}
