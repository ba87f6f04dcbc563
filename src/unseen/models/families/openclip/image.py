"""The image nets of OpenCLIP: its own ViT, CLIP's ResNet, and timm's ViTs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from unseen.errors import ModelError
from unseen.images.preprocess import Preprocess
from unseen.models.config_values import shown
from unseen.models.families.hf_config import check_heads, check_layers, count_layers, grid
from unseen.models.families.hf_vision import layers
from unseen.models.families.openclip import settings
from unseen.models.families.openclip.convolutional import convnext_tower, fastvit_tower
from unseen.models.families.openclip.hybrid import mobileclip_tower, vitamin_tower
from unseen.models.families.openclip.names import (
    KINDS,
    LAYER,
    TIMM_SCALES,
    Names,
    coca_pool,
    joined,
    layer_scales,
    timm_attention,
    timm_layer,
    timm_pool,
)
from unseen.models.towers import TowerSpec
from unseen.models.weights.files import Weights
from unseen.models.weights.rules import LastAxes, Transposed, folded
from unseen.networks import resnet, vit
from unseen.networks.transformer import Blocks, Rotary


def _is_resnet(config: Mapping[str, Any]) -> bool:
    """By its layers, a count a stage; a tower of timm's has its own table."""
    return not config["timm_model_name"] and isinstance(config["layers"], list)


def image_tower(
    weights: Weights,
    config: Mapping[str, Any],
    dimension: int,
    activation: str,
    preprocess: Preprocess,
) -> TowerSpec:
    """The image net that the config asks for. Raises ModelError for what is not supported."""
    if config["timm_model_name"]:
        row = settings.known("timm_model_name", config["timm_model_name"])
        build = TIMM_TOWERS[row.get("network", "vit")]
        return build(weights, config, row, dimension, preprocess)
    if _is_resnet(config):
        return _resnet(weights, config, dimension, preprocess)
    return _vit(weights, config, dimension, activation, preprocess)


def _vit(
    weights: Weights,
    config: Mapping[str, Any],
    dimension: int,
    activation: str,
    preprocess: Preprocess,
) -> TowerSpec:
    width, count, patch = config["width"], config["layers"], config["patch_size"]
    stem = "visual.transformer.resblocks.{}"
    names: Names = {
        "class_token": "visual.class_embedding",
        "patch.weight": "visual.conv1.weight",
        "positions": "visual.positional_embedding",
        "projection.weight": Transposed("visual.proj"),
        **layers(weights, stem, LAYER, count),
        **joined(stem, count, "attn.in_proj_"),
        **layer_scales(weights, stem, count),
    }
    if config["attentional_pool"]:
        if config["attentional_pool"] is not True or config["pool_type"] != "tok":
            raise ModelError(
                f"{settings.FILE} asks for attentional_pool {shown(config['attentional_pool'])} "
                f"and pool_type {shown(config['pool_type'])}: not supported."
            )
        if "eps" in (config["norm_kwargs"] or {}):  # the pool's own norms have OpenCLIP's default
            raise ModelError(f"{settings.FILE}: norm_kwargs with attentional_pool: not supported.")
        names |= coca_pool(weights)
    if not config["no_ln_pre"]:
        names |= {f"norm_before.{kind}": f"visual.ln_pre.{kind}" for kind in KINDS}
    after_pool = config["final_ln_after_pool"] or config["attentional_pool"]
    last_norm = "norm_pooled" if after_pool else "norm_after"
    names |= {f"{last_norm}.{kind}": f"visual.ln_post.{kind}" for kind in KINDS}
    pooling = {"tok": "token", "avg": "mean"}.get(config["pool_type"])
    if pooling is None:
        raise ModelError(f"open_clip_config.json pools {config['pool_type']!r}: not supported.")
    if patch is None:
        raise ModelError(f"{settings.FILE}: vision_cfg: patch_size is null; a ViT has one.")
    image_size = settings.pair(config["image_size"])
    patches = math.prod(grid(image_size, patch))
    shapes = {
        "visual.conv1.weight": (width, 3, patch, patch),
        "visual.positional_embedding": (patches + 1, width),
        "visual.proj": (dimension if config["attentional_pool"] else width, dimension),
    }
    kinds = settings.activation_and_epsilon(config, activation)
    heads = width // config["head_width"]
    check_heads(heads, width, settings.FILE)
    blocks = Blocks(count, heads, *kinds)
    scale, shift = preprocess.normalisation()
    vision_config = vit.VisionConfig(
        image_size, patch, width, blocks, dimension, scale, shift, pooling
    )
    if config["attentional_pool"]:
        pool_heads = config["attn_pooler_heads"]
        check_heads(pool_heads, dimension, settings.FILE)
        vision_config = replace(
            vision_config, pooling="attention", pool_heads=pool_heads, pool_width=dimension
        )
    return TowerSpec("vit", vision_config, names, shapes)


def _timm_vit(
    weights: Weights,
    config: Mapping[str, Any],
    row: Mapping[str, Any],
    dimension: int,
    preprocess: Preprocess,
) -> TowerSpec:
    pool, projection = config["timm_pool"], config["timm_proj"]
    usual = "token" if "visual.trunk.cls_token" in weights else "mean"  # timm's own choice
    pooling = {"": usual, "token": "token", "avg": "mean", "map": "attention"}.get(pool)
    if pooling is None or projection not in ("", None, "none", "linear"):
        raise ModelError(
            f"open_clip_config.json asks for timm_pool {pool!r} and timm_proj {projection!r}, "
            "which is not supported."
        )
    stem = "visual.trunk.blocks.{}"
    count = count_layers(weights, "visual.trunk.blocks.")
    head = "visual.head.proj" if projection == "linear" else "visual.trunk.head"
    names: Names = {
        "patch.weight": "visual.trunk.patch_embed.proj.weight",
        "positions": LastAxes("visual.trunk.pos_embed", 2),
        **layers(weights, stem, timm_layer(weights), count),
        **timm_attention(weights, count, row["heads"] if "rotary" in row else None),
        **layer_scales(weights, stem, count, TIMM_SCALES),
    }
    optional: Names = {
        "patch.bias": "visual.trunk.patch_embed.proj.bias",
        "norm_before.weight": "visual.trunk.norm_pre.weight",
        "norm_before.bias": "visual.trunk.norm_pre.bias",
        "norm_after.weight": "visual.trunk.norm.weight",
        "norm_after.bias": "visual.trunk.norm.bias",
        "norm_pooled.weight": "visual.trunk.fc_norm.weight",
        "norm_pooled.bias": "visual.trunk.fc_norm.bias",
        "projection.weight": f"{head}.weight",
        "projection.bias": f"{head}.bias",
    }
    names |= {ours: theirs for ours, theirs in optional.items() if theirs in weights}
    if "visual.trunk.cls_token" in weights:
        names["class_token"] = LastAxes("visual.trunk.cls_token", 1)
    if pooling == "attention":
        names |= timm_pool()
    width, _, patch, _ = weights.shape("visual.trunk.patch_embed.proj.weight", 4)
    check_heads(row["heads"], width, settings.FILE)
    image_size = settings.pair(config["image_size"])
    patches = math.prod(grid(image_size, patch))
    tokens = patches + int("class_token" in names)
    shapes = {"visual.trunk.pos_embed": (1, tokens, width)}
    post_norm = row.get("post_norm", False)
    blocks = Blocks(count, row["heads"], row["activation"], row["epsilon"], post_norm)
    scale, shift = preprocess.normalisation()
    vision_config = vit.VisionConfig(
        image_size,
        patch,
        width,
        blocks,
        dimension,
        scale,
        shift,
        pooling,
        pool_heads=row.get("pool_heads"),
        rotary=Rotary(**row["rotary"]) if "rotary" in row else None,
    )
    return TowerSpec("vit", vision_config, names, shapes)


def _resnet(
    weights: Weights, config: Mapping[str, Any], dimension: int, preprocess: Preprocess
) -> TowerSpec:
    stages = tuple(config["layers"])
    for stage, count in enumerate(stages):
        check_layers(weights, f"visual.layer{stage + 1}.{{}}", count)
    names: Names = {"pool.positions": "visual.attnpool.positional_embedding"}
    for ours, theirs in {"query": "q_proj", "key": "k_proj", "value": "v_proj"}.items():
        names |= {f"pool.{ours}.{kind}": f"visual.attnpool.{theirs}.{kind}" for kind in KINDS}
    names |= {f"projection.{kind}": f"visual.attnpool.c_proj.{kind}" for kind in KINDS}
    for index in range(3):
        names |= folded(f"stem.{index}", f"visual.conv{index + 1}", f"visual.bn{index + 1}")
    for stage, count in enumerate(stages):
        for block in range(count):
            ours, theirs = f"stages.{stage}.{block}.", f"visual.layer{stage + 1}.{block}."
            for index, name in enumerate(("narrow", "look", "widen"), 1):
                names |= folded(ours + name, f"{theirs}conv{index}", f"{theirs}bn{index}")
            if f"{theirs}downsample.0.weight" in weights:
                names |= folded(ours + "fit", f"{theirs}downsample.0", f"{theirs}downsample.1")
    image_size, width = settings.pair(config["image_size"]), config["width"]
    positions = math.prod(grid(image_size, 32))
    shapes = {
        "visual.conv3.weight": (width, width // 2, 3, 3),
        "visual.attnpool.positional_embedding": (positions + 1, 32 * width),
        "visual.attnpool.c_proj.weight": (dimension, 32 * width),
    }
    heads = width * 32 // config["head_width"]
    check_heads(heads, width * 32, settings.FILE)
    resnet_config = resnet.ResNetConfig(
        image_size, stages, heads, dimension, *preprocess.normalisation()
    )
    return TowerSpec("resnet", resnet_config, names, shapes)


# What timm's architectures are read by: the `network` of a row of data/towers.json.
TIMM_TOWERS: dict[str, Callable[..., TowerSpec]] = {
    "vit": _timm_vit,
    "convnext": convnext_tower,
    "fastvit": fastvit_tower,
    "mobileclip_vit": mobileclip_tower,
    "vitamin": vitamin_tower,
}
