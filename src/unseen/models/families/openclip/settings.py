"""What an open_clip_config.json may say of a tower, and what it leaves to timm and transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from unseen.errors import ModelError
from unseen.models import config_values as values
from unseen.models.config_values import FLAG, OBJECT, SIDE, TEXT, WIDTH, optional, shown
from unseen.system.packaged import packaged

# What OpenCLIP takes for a key that a tower's config leaves out, of those that are read here.
VISION_DEFAULTS: dict[str, Any] = {
    "layers": 12,
    "width": 768,
    "head_width": 64,
    "patch_size": 16,
    "image_size": 224,
    "no_ln_pre": False,
    "final_ln_after_pool": False,
    "pool_type": "tok",
    "attentional_pool": False,
    "attn_pooler_heads": 8,
    "act_kwargs": None,
    "norm_kwargs": None,
    "timm_model_name": None,
    "timm_pool": "avg",
    "timm_proj": "linear",
}
TEXT_DEFAULTS: dict[str, Any] = {
    "context_length": 77,
    "hf_tokenizer_name": None,
    "tokenizer_kwargs": None,
    "width": 512,
    "heads": 8,
    "layers": 12,
    "pad_id": 0,
    "eos_id": 2,
    "no_causal_mask": False,
    "pool_type": "argmax",
    "embed_cls": False,
    "correct_cls_mask": False,
    "act_kwargs": None,
    "norm_kwargs": None,
    "hf_model_name": None,
    "hf_proj_type": "mlp",
    "hf_pooler_type": "mean_pooler",
}
FILE = "open_clip_config.json"
STAGES = values.several(4, values.LAYERS)  # of a ResNet
# What those keys may say.
KINDS: dict[str, values.Kind] = {
    "layers": values.either(values.LAYERS, STAGES),
    "width": WIDTH,
    "head_width": WIDTH,
    "heads": WIDTH,
    "patch_size": optional(SIDE),
    "image_size": values.either(SIDE, values.several(2, SIDE)),
    "context_length": values.TOKENS,
    "attentional_pool": optional(values.either(FLAG, TEXT)),
    "attn_pooler_heads": WIDTH,
    "pad_id": optional(values.TOKEN_ID),
    "eos_id": values.TOKEN_ID,
    "act_kwargs": optional(OBJECT),
    "norm_kwargs": optional(OBJECT),
    "tokenizer_kwargs": optional(OBJECT),
    **dict.fromkeys(("no_ln_pre", "final_ln_after_pool", "no_causal_mask"), optional(FLAG)),
    **dict.fromkeys(("embed_cls", "correct_cls_mask"), optional(FLAG)),
    **dict.fromkeys(
        (
            *("pool_type", "timm_model_name", "timm_pool", "timm_proj"),
            *("hf_tokenizer_name", "hf_model_name", "hf_proj_type", "hf_pooler_type"),
        ),
        optional(TEXT),
    ),
}
# Keys that change the network → what they may say: what OpenCLIP has by default, only.
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "block_type": (None, "default"),
    **dict.fromkeys(
        (
            *("qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn"),
            *("scale_fc", "use_pad_mask"),
        ),
        (False, None),
    ),
    "tokenizer_mode": (None, ""),
}
# Keys that are of training only, whose meaning the weights show, or that open_clip does not pass on
# (final_ln_after_pool of a text net).
IGNORED = {
    *("patch_dropout", "timm_drop", "timm_drop_path", "timm_model_pretrained"),
    *("hf_model_pretrained", "output_tokens", "attn_pooler_queries"),
    *("mlp_ratio", "vocab_size", "pos_embed_type", "timm_proj_bias", "proj_bias", "proj_type"),
    *("ls_init_value", "final_ln_after_pool"),
}

# What the rows of data/towers.json have in common, for an error.
SUPPORTED = {
    "timm_model_name": "timm's plain ViTs (vit_*_clip_*, vit_*_siglip_*, vit_base_patch16_224, "
    "deit_*), convnext_*, fastvit_mci*, vit_base_mci_224 and vitamin_*",
    "hf_model_name": "BERT, RoBERTa and XLM-RoBERTa of base and large size",
}


def tower(config: Mapping[str, Any], name: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """One tower's settings with OpenCLIP's defaults; ModelError for what is not supported."""
    given = values.checked(config, {name: OBJECT}, f"{FILE}: model_cfg")[name]
    for key, value in given.items():
        is_known = key in defaults or key in IGNORED
        if not is_known and value not in UNSUPPORTED.get(key, ()):
            raise ModelError(f"open_clip_config.json asks for {key} {shown(value)}: not supported.")
    kinds = {key: KINDS[key] for key in defaults}
    return values.checked({**defaults, **given}, kinds, f"{FILE}: {name}")


@cache
def towers() -> dict[str, dict[str, dict[str, Any]]]:
    """What timm's and transformers' towers are, by name: data/towers.json."""
    text = packaged("data/towers.json").read_text("utf-8")
    rows: dict[str, dict[str, dict[str, Any]]] = json.loads(text)
    return rows


def known(kind: str, name: str) -> dict[str, Any]:
    """The row of data/towers.json; ModelError for a name that has none."""
    rows = towers()[kind]
    if kind == "timm_model_name":
        name = name.partition(".")[0]  # behind a dot timm has the name of weights
    if name not in rows:
        raise ModelError(
            f"open_clip_config.json asks for {kind} {name!r}, which is not supported; supported "
            f"are {SUPPORTED[kind]}."
        )
    return rows[name]


def pair(size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) of an image_size, which may be one number."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def activation_and_epsilon(config: Mapping[str, Any], activation: str) -> tuple[str, float]:
    """The activation and the epsilon of a tower's norms, from its own settings."""
    act_kwargs, norm_kwargs = (config[key] or {} for key in ("act_kwargs", "norm_kwargs"))
    approximate = act_kwargs.get("approximate", "none")
    if set(act_kwargs) - {"approximate"} or approximate not in ("none", "tanh"):
        raise ModelError(f"{FILE} has act_kwargs {shown(act_kwargs)}: not supported.")
    if set(norm_kwargs) - {"eps"}:
        raise ModelError(f"{FILE} has norm_kwargs {shown(norm_kwargs)}: not supported.")
    where = f"{FILE}: norm_kwargs"
    epsilon = values.value(norm_kwargs, "eps", 1e-5, values.number(0, 1), where)
    return "gelu_tanh" if approximate == "tanh" else activation, float(epsilon)
