"""The image net of Perception Encoder's own files → timm's names, which OpenCLIP's format has.

As `_convert_pe` of timm's models/eva.py does; the text net has OpenCLIP's names already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.models.weights.names import Rule
from unseen.models.weights.rules import Transposed

Array = NDArray[Any]

PE_MARK = "visual.attn_pool.attn.in_proj_weight"  # no other checkpoint has a weight of this name
# What is called otherwise, in this order, by what stands in a name.
SWAPS = (
    ("visual.", "visual.trunk."),
    ("conv1.", "patch_embed.proj."),
    ("transformer.resblocks.", "blocks."),
    ("ln_pre.", "norm_pre."),
    ("ln_post.", "norm."),
    ("ln_", "norm"),
    ("attn.in_proj_", "attn.qkv."),
    ("out_proj.", "proj."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
    ("attn_pool.attn.", "attn_pool."),
    ("attn_pool.layernorm.", "attn_pool.norm."),
    ("attn_pool.probe", "attn_pool.latent"),
)


@dataclass(frozen=True)
class WithAxes:
    """A weight with axes of length 1 before its own, `ndim` in all."""

    name: str
    ndim: int

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        array = weights[self.name]
        return array.reshape((1,) * (self.ndim - array.ndim) + array.shape)


@dataclass(frozen=True)
class Thirds:
    """Thirds `start` to `stop` of an array that holds query, key and value."""

    name: str
    start: int
    stop: int

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        third = len(weights[self.name]) // 3
        thirds: Array = np.asarray(weights[self.name])[self.start * third : self.stop * third]
        return thirds


def pe_names(weights: Mapping[str, Array]) -> dict[str, str | Rule]:
    """OpenCLIP's names → the stored ones, or rules that compute."""
    names: dict[str, str | Rule] = {}
    for stored in weights:
        name = stored
        if not stored.startswith("visual."):
            names[stored] = stored
            continue
        for theirs, ours in SWAPS:
            name = name.replace(theirs, ours)
        if name.startswith("visual.trunk.attn_pool.qkv."):
            kind = name.rpartition(".")[2]
            names[f"visual.trunk.attn_pool.q.{kind}"] = Thirds(stored, 0, 1)
            names[f"visual.trunk.attn_pool.kv.{kind}"] = Thirds(stored, 1, 3)
        elif stored == "visual.proj":
            names["visual.trunk.head.weight"] = Transposed(stored)
        elif stored == "visual.class_embedding":
            names["visual.trunk.cls_token"] = WithAxes(stored, 3)
        elif stored == "visual.positional_embedding":
            names["visual.trunk.pos_embed"] = WithAxes(stored, 3)
        else:
            names[name] = stored
    return names
