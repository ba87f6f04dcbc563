"""How OpenCLIP and timm call the parts of a layer."""

from __future__ import annotations

from collections.abc import Container

from unseen.models.weights.files import Weights
from unseen.models.weights.names import Rule
from unseen.models.weights.rules import LastAxes, Part, RotaryRows, Scaled

Names = dict[str, str | Rule]

# Our names of a layer's parts → the checkpoint's; query, key and value are stored as one.
LAYER = {"norm1": "ln_1", "out": "attn.out_proj", "norm2": "ln_2"}
LAYER |= {"mlp1": "mlp.c_fc", "mlp2": "mlp.c_proj"}
TIMM_LAYER = {"norm1": "norm1", "out": "attn.proj", "norm2": "norm2"}
TIMM_LAYER |= {"mlp1": "mlp.fc1", "mlp2": "mlp.fc2"}
TIMM_SCALES = ("ls1", "ls2")
# What EVA's have besides, or under other names.
TIMM_OPTIONAL = {"attention_norm": "attn.norm", "hidden_norm": "mlp.norm", "gate": "mlp.fc1_g"}
TIMM_OPTIONAL |= {"mlp1": "mlp.fc1_x"}
TIMM_POOL = {"out": "proj", "norm2": "norm", "mlp1": "mlp.fc1", "mlp2": "mlp.fc2"}
KINDS = ("weight", "bias")


def joined(stem: str, count: int, stored: str) -> Names:
    """Query, key and value of each layer out of the one array that holds them."""
    return {
        f"layers.{layer}.{name}.{kind}": Part(f"{stem.format(layer)}.{stored}{kind}", index, 3)
        for layer in range(count)
        for index, name in enumerate(("query", "key", "value"))
        for kind in KINDS
    }


def layer_scales(
    weights: Container[str], stem: str, count: int, scales: tuple[str, str] = ("ls_1", "ls_2")
) -> Names:
    """The last layers of both branches, where a block of OpenCLIP's, or of timm's by the names of
    its `scales`, scales what it adds."""
    names = TIMM_LAYER if scales == TIMM_SCALES else LAYER
    return {
        f"layers.{layer}.{ours}.{kind}": Scaled(
            f"{stem.format(layer)}.{names[ours]}.{kind}", f"{stem.format(layer)}.{scale}.gamma"
        )
        for layer in range(count)
        for ours, scale in zip(("out", "mlp2"), scales, strict=True)
        if f"{stem.format(layer)}.{scale}.gamma" in weights
        for kind in KINDS
    }


def timm_layer(weights: Container[str]) -> dict[str, str]:
    """The parts of a layer of one of timm's ViTs, by what its first layer has."""
    there = {
        ours: theirs
        for ours, theirs in TIMM_OPTIONAL.items()
        if f"visual.trunk.blocks.0.{theirs}.weight" in weights
    }
    return TIMM_LAYER | there


def timm_attention(weights: Container[str], count: int, rotary_heads: int | None) -> Names:
    """Query, key and value of timm's ViTs: in one array or in three, each bias there or not.

    `rotary_heads`: how many heads there are, where queries and keys are turned.
    """
    names: Names = {}
    for layer in range(count):
        stem = f"visual.trunk.blocks.{layer}.attn."
        for index, name in enumerate(("query", "key", "value")):
            letter = name[0]
            stored: dict[str, tuple[str, ...]] = {
                "weight": ("qkv.weight", f"{letter}_proj.weight"),
                "bias": ("qkv.bias", f"{letter}_proj.bias", f"{letter}_bias"),
            }
            for kind, candidates in stored.items():
                theirs = next((stem + c for c in candidates if stem + c in weights), None)
                if theirs is None:  # the bias of a key
                    continue
                index_of = (index, 3) if ".qkv." in theirs else (0, 1)
                rule: str | Rule = theirs if index_of == (0, 1) else Part(theirs, *index_of)
                if rotary_heads is not None and name != "value":
                    rule = RotaryRows(theirs, rotary_heads, *index_of)
                names[f"layers.{layer}.{name}.{kind}"] = rule
    return names


def coca_pool(weights: Weights) -> Names:
    """CoCa's attention pooling, of which only the first query is read.

    torch stores query, key and value as one where tokens and queries are equally wide.
    """
    stem = "visual.attn_pool"
    (queries, _) = weights.shape(f"{stem}.query", 2)
    names: Names = {"probe": Part(f"{stem}.query", 0, queries)}
    for index, name in enumerate(("query", "key", "value")):
        own = f"{stem}.attn.{name[0]}_proj_weight"
        names[f"pool.{name}.weight"] = (
            own if own in weights else Part(f"{stem}.attn.in_proj_weight", index, 3)
        )
        names[f"pool.{name}.bias"] = Part(f"{stem}.attn.in_proj_bias", index, 3)
    for kind in KINDS:
        names[f"pool.query_norm.{kind}"] = f"{stem}.ln_q.{kind}"
        names[f"pool.key_norm.{kind}"] = f"{stem}.ln_k.{kind}"
        names[f"pool.out.{kind}"] = f"{stem}.attn.out_proj.{kind}"
    return names


def timm_pool() -> Names:
    """timm's attention pooling, whose key and value are stored as one."""
    stem = "visual.trunk.attn_pool"
    names: Names = {"probe": LastAxes(f"{stem}.latent", 1)}
    for kind in KINDS:
        names[f"pool.query.{kind}"] = f"{stem}.q.{kind}"
        names[f"pool.key.{kind}"] = Part(f"{stem}.kv.{kind}", 0, 2)
        names[f"pool.value.{kind}"] = Part(f"{stem}.kv.{kind}", 1, 2)
        names |= {f"pool.{ours}.{kind}": f"{stem}.{t}.{kind}" for ours, t in TIMM_POOL.items()}
    return names
