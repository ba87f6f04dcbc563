"""TIPS v2 (of TIPS, Maninis et al. 2025, arXiv:2410.16512) as transformers saves it (model_type
"tipsv2"), or under its authors' own names of weights: a ViT with a register, and a text net whose
tokens are averaged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

from PIL import Image

from unseen.images.preprocess import Preprocess
from unseen.models import config_values as values
from unseen.models import processors
from unseen.models.checkpoint import Checkpoint, read_image_processor, read_json
from unseen.models.families.assemble import assemble, scalar
from unseen.models.families.hf_config import blocks, check_layers, grid, tower
from unseen.models.inputs import Masked
from unseen.models.model import Model, Score
from unseen.models.tokenizers.tokenizer import TokenizerSpec
from unseen.models.towers import TowerSpec
from unseen.models.weights.files import Weights
from unseen.models.weights.names import Rule
from unseen.models.weights.rules import LastAxes, Part, Scaled, Sinusoids, Times
from unseen.networks import text, vit

# What transformers takes for a key that a tower's config leaves out.
VISION_DEFAULTS = {
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "image_size": 448,
    "patch_size": 14,
    "num_channels": 3,
    "num_register_tokens": 1,
    "use_swiglu_ffn": False,
}
TEXT_DEFAULTS = {
    "hidden_act": "relu",
    "layer_norm_eps": 1e-5,
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "vocab_size": 32000,
    "max_position_embeddings": 64,
    "scale_sqrt_depth": True,
}
# The same of its image processor.
PROCESSOR_DEFAULTS = processors.SIGLIP_DEFAULTS | {
    "size": {"height": 448, "width": 448},
    "resample": Image.Resampling.BILINEAR,
    "do_normalize": False,
}
TEMPERATURE = 0.005065968260169029  # of a config that leaves it out

KINDS = ("weight", "bias")
# A tower's parts: our name → transformers', and the authors'. {} is the layer.
IMAGE = {
    "class_token": ("embeddings.cls_token", "cls_token"),
    "registers": ("embeddings.register_tokens", "register_tokens"),
    "positions": ("embeddings.position_embeddings", "pos_embed"),
    "patch": ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    "norm_after": ("layernorm", "norm"),
    "layer": ("encoder.layer.{}", "blocks.{}"),
    "norm1": ("norm1", "norm1"),
    "attention": ("attention.{}_proj", "attn.qkv"),
    "out": ("attention.o_proj", "attn.proj"),
    "scale1": ("layer_scale1.lambda1", "ls1.gamma"),
    "norm2": ("norm2", "norm2"),
    "mlp1": ("mlp.fc1", "mlp.c_fc"),
    "mlp2": ("mlp.fc2", "mlp.c_proj"),
    "gated": ("mlp.{}_proj", "mlp.w12"),
    "gated2": ("mlp.down_proj", "mlp.w3"),
    "scale2": ("layer_scale2.lambda1", "ls2.gamma"),
}
TEXT = {
    "tokens": ("embeddings.token_embedding.weight", "token_embedding.weight"),
    "norm_after": ("final_layer_norm", "ln_final"),
    "layer": ("encoder.layers.{}", "transformer.resblocks.{}"),
    "norm1": ("layer_norm1", "ln_1"),
    "attention": ("self_attn.{}_proj", "attn.in_proj"),
    "out": ("self_attn.out_proj", "attn.out_proj"),
    "norm2": ("layer_norm2", "ln_2"),
    "mlp1": ("mlp.fc1", "mlp.c_fc"),
    "mlp2": ("mlp.fc2", "mlp.c_proj"),
}


def read(checkpoint: Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is built."""
    vision_config = tower(config, "vision", VISION_DEFAULTS)
    text_config = tower(config, "text", TEXT_DEFAULTS)
    preprocess = processors.from_hugging_face(
        read_image_processor(checkpoint), PROCESSOR_DEFAULTS, vision_config["image_size"]
    )
    weights = checkpoint.weights()
    return assemble(
        checkpoint,
        "tipsv2",
        weights,
        preprocess=preprocess,
        image_tower=_image_tower(weights.arrays, vision_config, preprocess),
        text_tower=_text_tower(weights.arrays, text_config),
        text_inputs=Masked(),
        context_length=text_config["max_position_embeddings"],
        score=Score("softmax", scale=1 / _temperature(weights.arrays, config)),
        tokenizer=TokenizerSpec(str(checkpoint.folder), _normalization(checkpoint)),
    )


def _temperature(weights: Weights, config: Mapping[str, Any]) -> float:
    """What cosines are divided by: learnt, or else as the config says."""
    if "temperature" in weights:
        return scalar(weights, "temperature", 1e-6, 1e6)
    kind = values.number(1e-6, 1e6)
    return float(values.value(config, "temperature_init_value", TEMPERATURE, kind, "config.json"))


def _normalization(checkpoint: Checkpoint) -> str | None:
    """Texts are in small letters, unless the tokenizer's settings say otherwise."""
    path = checkpoint.folder / "tokenizer_config.json"
    settings = read_json(checkpoint, path.name) if path.is_file() else {}
    return "lower" if settings.get("do_lower_case", True) else None


def _image_tower(weights: Weights, config: Mapping[str, Any], preprocess: Preprocess) -> TowerSpec:
    prefix, part = _named(weights, IMAGE, "vision_model.", "vision_encoder.", "class_token")
    size, patch, width = (config[k] for k in ("image_size", "patch_size", "hidden_size"))
    down, across = grid((size, size), patch)
    positions = prefix + part["positions"]
    names: dict[str, str | Rule] = {
        "class_token": LastAxes(prefix + part["class_token"], 1),
        "positions": LastAxes(positions, 2),
    }
    if config["num_register_tokens"]:
        names["registers"] = LastAxes(prefix + part["registers"], 2)
    for kind in KINDS:
        names[f"patch.{kind}"] = f"{prefix}{part['patch']}.{kind}"
        names[f"norm_after.{kind}"] = f"{prefix}{part['norm_after']}.{kind}"
    gated = config["use_swiglu_ffn"]
    names |= _layers(weights, prefix, part, config["num_hidden_layers"], gated=gated)
    stack = blocks({**config, "hidden_act": "silu"} if gated else config)
    scale, shift = preprocess.normalisation()
    return TowerSpec(
        "vit",
        vit.VisionConfig((size, size), patch, width, stack, width, scale, shift),
        names,
        {
            f"{prefix}{part['patch']}.weight": (width, 3, patch, patch),
            positions: (1, down * across + 1, width),
        },
    )


def _text_tower(weights: Weights, config: Mapping[str, Any]) -> TowerSpec:
    prefix, part = _named(weights, TEXT, "text_model.", "text_encoder.", "tokens")
    width, tokens = config["hidden_size"], prefix + part["tokens"]
    names: dict[str, str | Rule] = {
        "tokens": Times(tokens, math.sqrt(width)) if config["scale_sqrt_depth"] else tokens,
        "positions": Sinusoids(config["max_position_embeddings"], width),
    }
    for kind in KINDS:
        names[f"norm_after.{kind}"] = f"{prefix}{part['norm_after']}.{kind}"
    names |= _layers(weights, prefix, part, config["num_hidden_layers"])
    return TowerSpec(
        "text",
        text.TextConfig(blocks(config), width, causal=False, pooling="mean"),
        names,
        {tokens: (config["vocab_size"], width)},
    )


def _named(
    weights: Weights, table: Mapping[str, tuple[str, str]], saved: str, original: str, known: str
) -> tuple[str, dict[str, str]]:
    """The prefix of a tower, and what its parts are called, by which name of `known` is there."""
    column = int(original + table[known][1] in weights)
    return (saved, original)[column], {ours: names[column] for ours, names in table.items()}


def _layers(
    weights: Weights, prefix: str, part: Mapping[str, str], count: int, *, gated: bool = False
) -> dict[str, str | Rule]:
    """The parameters of all layers; what LayerScale multiplies is folded."""
    check_layers(weights, prefix + part["layer"], count)
    whole = {"norm1": "norm1", "norm2": "norm2", "mlp1": "mlp1"}
    split = {"attention": {name: name[0] for name in ("query", "key", "value")}}
    scaled = {"out": ("out", "scale1"), "mlp2": ("mlp2", "scale2")}
    if gated:
        del whole["mlp1"]
        split["gated"] = {"gate": "gate", "mlp1": "up"}
        scaled["mlp2"] = ("gated2", "scale2")
    names: dict[str, str | Rule] = {}
    for layer, kind in product(range(count), KINDS):
        stem = f"{prefix}{part['layer'].format(layer)}."
        rules: dict[str, str | Rule] = {
            ours: f"{stem}{part[name]}.{kind}" for ours, name in whole.items()
        }
        for name, pieces in split.items():
            for index, (ours, theirs) in enumerate(pieces.items()):
                rules[ours] = _piece(stem + part[name], theirs, kind, index, len(pieces))
        for ours, (name, scale) in scaled.items():
            stored = f"{stem}{part[name]}.{kind}"
            rules[ours] = Scaled(stored, stem + part[scale]) if scale in part else stored
        names |= {f"layers.{layer}.{ours}.{kind}": rule for ours, rule in rules.items()}
    return names


def _piece(stored: str, theirs: str, kind: str, index: int, of: int) -> str | Rule:
    """One of several parts that are stored under names of their own, or as one array."""
    if "{}" in stored:
        return f"{stored.format(theirs)}.{kind}"
    joint = "_" if stored.endswith("in_proj") else "."
    return Part(f"{stored}{joint}{kind}", index, of)
