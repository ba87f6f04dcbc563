"""timm's vision transformers whose patches come from convolutions: MobileCLIP-B and ViTamin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from unseen.errors import ModelError
from unseen.images.preprocess import Preprocess
from unseen.models.families.hf_config import check_heads, count_layers
from unseen.models.families.hf_vision import layers
from unseen.models.families.openclip import settings
from unseen.models.families.openclip.convolutional import (
    TRUNK,
    check_pool,
    head,
    projection_shapes,
)
from unseen.models.families.openclip.names import KINDS, TIMM_LAYER, Names, joined
from unseen.models.towers import TowerSpec
from unseen.models.weights.files import Weights
from unseen.models.weights.rules import LastAxes, PositionsOfPatches, folded
from unseen.networks import hybrid
from unseen.networks.transformer import Blocks

BACKBONE = f"{TRUNK}patch_embed.backbone."
SIDE = 16  # pixels of a patch, of every one of these
# Our names of a ViTamin's parts → timm's: of a block of convolutions, and of a transformer's.
CONVOLUTIONS = {
    "norm": "pre_norm",
    "expand": "conv1_1x1",
    "filter": "conv2_kxk",
    "narrow": "conv3_1x1",
}
VITAMIN_LAYER = {ours: theirs for ours, theirs in TIMM_LAYER.items() if not ours.startswith("mlp")}
VITAMIN_LAYER |= {"mlp_norm": "mlp.norm", "gate": "mlp.w0", "mlp1": "mlp.w1", "mlp2": "mlp.w2"}


def mobileclip_tower(
    weights: Weights,
    config: Mapping[str, Any],
    row: Mapping[str, Any],
    dimension: int,
    preprocess: Preprocess,
) -> TowerSpec:
    """MobileCLIP-B's: three convolutions, then a ViT whose class token has no position."""
    check_pool(config, ("", "token"), ("linear", "none", "", None))
    names: Names = {
        "class_token": LastAxes(f"{TRUNK}cls_token", 1),
        "positions": PositionsOfPatches(f"{TRUNK}pos_embed"),
    }
    for index in (0, 1):
        names |= folded(f"stem.{index}", f"{BACKBONE}{index}.conv", f"{BACKBONE}{index}.bn")
    for kind in KINDS:
        names[f"stem.2.{kind}"] = f"{BACKBONE}2.conv.{kind}"
        names[f"norm_after.{kind}"] = f"{TRUNK}norm.{kind}"
    return _tower(weights, config, row, dimension, preprocess, names, TIMM_LAYER, ())


def vitamin_tower(
    weights: Weights,
    config: Mapping[str, Any],
    row: Mapping[str, Any],
    dimension: int,
    preprocess: Preprocess,
) -> TowerSpec:
    """ViTamin's: stages of inverted residuals, then blocks with a gate; XL has no positions."""
    check_pool(config, ("", "avg"), ("linear", "mlp", "none", "", None))
    pairs = {"stem.0": "stem.conv1", "stem_norm": "stem.norm1", "stem.1": "stem.conv2"}
    pairs |= {"patch": "pool.proj", "patch_norm": "pool.norm"}
    stages = tuple(
        count_layers(weights, f"{BACKBONE}stages.{stage}.")
        for stage in range(count_layers(weights, f"{BACKBONE}stages."))
    )
    if not stages or min(stages) < 1:
        raise ModelError(f"{settings.FILE} and the weights disagree: no blocks of {BACKBONE}.")
    for stage, count in enumerate(stages):
        for block in range(count):
            ours, theirs = f"stages.{stage}.{block}.", f"stages.{stage}.{block}."
            pairs |= {ours + part: theirs + name for part, name in CONVOLUTIONS.items()}
            fits = f"{theirs}shortcut.expand" if block == 0 else f"{theirs}shortcut"
            if f"{BACKBONE}{fits}.weight" in weights:
                pairs[f"{ours}fit"] = fits
    names: Names = {
        f"{ours}.{kind}": f"{BACKBONE}{theirs}.{kind}"
        for ours, theirs in pairs.items()
        for kind in KINDS
    }
    names |= {f"norm_pooled.{kind}": f"{TRUNK}fc_norm.{kind}" for kind in KINDS}
    if f"{TRUNK}pos_embed" in weights:
        names["positions"] = LastAxes(f"{TRUNK}pos_embed", 2)
    return _tower(weights, config, row, dimension, preprocess, names, VITAMIN_LAYER, stages)


def _tower(
    weights: Weights,
    config: Mapping[str, Any],
    row: Mapping[str, Any],
    dimension: int,
    preprocess: Preprocess,
    names: Names,
    layer: Mapping[str, str],
    stages: tuple[int, ...],
) -> TowerSpec:
    """What both have: the blocks, the projection, the shapes."""
    stem, count = TRUNK + "blocks.{}", count_layers(weights, f"{TRUNK}blocks.")
    names |= layers(weights, stem, layer, count) | joined(stem, count, "attn.qkv.")
    names |= head(weights, config, f"{TRUNK}head")
    width = weights.shape(f"{TRUNK}blocks.0.norm1.weight", 1)[0]
    check_heads(row["heads"], width, settings.FILE)
    image_size = settings.pair(config["image_size"])
    shapes = projection_shapes(names, dimension, width)
    if f"{TRUNK}pos_embed" in weights:
        patches = math.prod(math.ceil(side / SIDE) for side in image_size)
        shapes[f"{TRUNK}pos_embed"] = (1, patches, width)
    net = hybrid.HybridConfig(
        image_size,
        width,
        Blocks(count, row["heads"], row["activation"], row["epsilon"]),
        dimension,
        *preprocess.normalisation(),
        stages,
    )
    return TowerSpec("hybrid", net, names, shapes)
