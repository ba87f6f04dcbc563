"""What every config.json of transformers has in common: towers, defaults, names of activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unseen.errors import ModelError
from unseen.networks.transformer import Blocks

# transformers' names of activations → ours.
HIDDEN_ACTS = {
    "quick_gelu": "quick_gelu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def tower(config: Mapping[str, Any], name: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """One tower's settings; an old `vision_config_dict` overrules, its defaults included.

    That is what transformers' CLIPConfig does with the pair that early checkpoints have.
    """
    given = config.get(f"{name}_config") or {}
    old = config.get(f"{name}_config_dict")
    return {**defaults, **given} if old is None else {**given, **defaults, **old}


def activation(config: Mapping[str, Any]) -> str:
    """The activation of a tower, as we call it. ModelError for one that is not supported."""
    name = HIDDEN_ACTS.get(config["hidden_act"])
    if name is None:
        raise ModelError(
            f"config.json asks for the activation {config['hidden_act']!r}, which is not "
            f"supported; supported are {', '.join(sorted(HIDDEN_ACTS))}."
        )
    return name


def blocks(config: Mapping[str, Any]) -> Blocks:
    """The transformer blocks of a tower. ModelError for what is not supported."""
    heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
    if heads < 1 or width % heads:
        raise ModelError(f"config.json has {heads} attention heads for a width of {width}.")
    return Blocks(
        int(config["num_hidden_layers"]),
        heads,
        activation(config),
        float(config["layer_norm_eps"]),
    )
