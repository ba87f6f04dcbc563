"""How OpenCLIP and timm call the parts of a layer."""

from __future__ import annotations

from unseen.models.weights.names import LastAxes, Part, Rule

Names = dict[str, str | Rule]

# Our names of a layer's parts → the checkpoint's; query, key and value are stored as one.
LAYER = {"norm1": "ln_1", "out": "attn.out_proj", "norm2": "ln_2"}
LAYER |= {"mlp1": "mlp.c_fc", "mlp2": "mlp.c_proj"}
TIMM_LAYER = {"norm1": "norm1", "out": "attn.proj", "norm2": "norm2"}
TIMM_LAYER |= {"mlp1": "mlp.fc1", "mlp2": "mlp.fc2"}
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
