"""What every config.json of transformers has in common: towers, defaults, names of activations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from unseen.errors import ModelError
from unseen.models import config_values as values
from unseen.networks.transformer import Blocks

OPTIONAL_OBJECT = values.optional(values.OBJECT)
# transformers' names of activations → ours.
HIDDEN_ACTS = {
    "quick_gelu": "quick_gelu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


# What each key of a tower may say; a family's defaults name those that it has.
KINDS: dict[str, values.Kind] = {
    "hidden_act": values.TEXT,
    "layer_norm_eps": values.number(0, 1),
    "num_hidden_layers": values.LAYERS,
    "hidden_size": values.WIDTH,
    "num_attention_heads": values.WIDTH,
    "image_size": values.SIDE,
    "patch_size": values.SIDE,
    "num_patches": values.TOKENS,
    "num_channels": values.whole(3, 3),
    "vision_use_head": values.FLAG,
    "vocab_size": values.whole(1, 10_000_000),
    "max_position_embeddings": values.TOKENS,
    "eos_token_id": values.TOKEN_ID,
    "pad_token_id": values.TOKEN_ID,
    "num_register_tokens": values.whole(0, 1000),
    "use_swiglu_ffn": values.FLAG,
    "scale_sqrt_depth": values.FLAG,
    "projection_size": values.optional(values.WIDTH),
    "project_dim": values.WIDTH,
    # ALIGN's
    "batch_norm_eps": values.number(0, 1),
    "depth_coefficient": values.number(0.01, 100),
    "num_block_repeats": values.several((1, 16), values.whole(1, 100)),
    "strides": values.several((1, 16), values.whole(1, 2)),
    "kernel_sizes": values.several((1, 16), values.whole(1, 15)),
    "expand_ratios": values.several((1, 16), values.whole(1, 100)),
    "depthwise_padding": values.several((0, 1000), values.whole(0, 1000)),
    "pooling_type": values.TEXT,
}


def tower(config: Mapping[str, Any], name: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """One tower's settings; an old `vision_config_dict` overrules, its defaults included.

    That is what transformers' CLIPConfig does with the pair that early checkpoints have. ModelError
    for a value that `KINDS` does not allow.
    """
    where = f"config.json: {name}_config"
    given = values.value(config, f"{name}_config", None, OPTIONAL_OBJECT, "config.json") or {}
    old = values.value(config, f"{name}_config_dict", None, OPTIONAL_OBJECT, "config.json")
    merged = {**defaults, **given} if old is None else {**given, **defaults, **old}
    return values.checked(merged, {key: KINDS[key] for key in defaults}, where)


def dimension(config: Mapping[str, Any], default: int) -> int:
    """That of the embeddings, `projection_dim`. ModelError for what is none."""
    number: int = values.value(config, "projection_dim", default, values.WIDTH, "config.json")
    return number


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
    heads = config["num_attention_heads"]
    check_heads(heads, config["hidden_size"], "config.json")
    return Blocks(
        config["num_hidden_layers"], heads, activation(config), float(config["layer_norm_eps"])
    )


def check_heads(heads: int, width: int, file: str) -> None:
    """ModelError where the heads do not share the width evenly."""
    if heads < 1 or width % heads:
        raise ModelError(f"{file} has {heads} attention heads for a width of {width}.")


def count_layers(weights: Iterable[str], stem: str) -> int:
    """How many layers there are under `stem`, which ends in a dot before their number."""
    return len({name[len(stem) :].split(".")[0] for name in weights if name.startswith(stem)})


def check_layers(weights: Iterable[str], stem: str, count: int) -> None:
    """ModelError where the weights have another number of layers; {} in `stem` is the layer.

    Asked before the layers are listed.
    """
    there = count_layers(weights, stem.partition("{}")[0])
    if there != count or count < 1:
        raise ModelError(
            f"the config and the weights disagree: the config says {count} layers, the weights "
            f"have {there} of the name {stem}. The folder may hold files of two checkpoints."
        )


def grid(size: tuple[int, int], patch: int) -> tuple[int, int]:
    """Patches (down, across) of a picture (height, width); ModelError where there is none."""
    if min(size) < patch:
        raise ModelError(f"a patch of {patch} pixels is larger than the picture, {size} pixels.")
    return size[0] // patch, size[1] // patch
