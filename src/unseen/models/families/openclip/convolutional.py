"""timm's convolutional image nets as OpenCLIP has them: names of weights, and what they tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unseen.errors import ModelError
from unseen.images.preprocess import Preprocess
from unseen.models.families.hf_config import count_layers
from unseen.models.families.openclip import settings
from unseen.models.families.openclip.names import KINDS, Names
from unseen.models.towers import TowerSpec
from unseen.models.weights.convolutions import Branches, Mixer, NormedInput, PlusInput
from unseen.models.weights.files import Weights
from unseen.models.weights.rules import Part, Scaled, folded
from unseen.networks import convnext, fastvit

TRUNK = "visual.trunk."
# Our names of a ConvNeXt block's parts → timm's; `gamma` scales the last one.
CONVNEXT_BLOCK = {"filter": "conv_dw", "norm": "norm", "mlp1": "mlp.fc1"}


def convnext_tower(
    weights: Weights,
    config: Mapping[str, Any],
    row: Mapping[str, Any],
    dimension: int,
    preprocess: Preprocess,
) -> TowerSpec:
    """A ConvNeXt: the mean of the last stage, its norm, and OpenCLIP's projection of it."""
    check_pool(config, ("", "avg"), ("linear", "mlp", "none", "", None))
    pairs = {"stem": f"{TRUNK}stem.0", "stem_norm": f"{TRUNK}stem.1"}
    pairs["norm_pooled"] = f"{TRUNK}head.norm"
    names: Names = {}
    stages = count_blocks(weights, f"{TRUNK}stages.")
    for stage, count in enumerate(stages):
        ours, theirs = f"stages.{stage}.", f"{TRUNK}stages.{stage}."
        if stage > 0:
            pairs[f"{ours}downsample_norm"] = f"{theirs}downsample.0"
            pairs[f"{ours}downsample"] = f"{theirs}downsample.1"
        for block in range(count):
            of_ours, of_theirs = f"{ours}{block}.", f"{theirs}blocks.{block}."
            pairs |= {of_ours + part: of_theirs + name for part, name in CONVNEXT_BLOCK.items()}
            for kind in KINDS:
                last = f"{of_theirs}mlp.fc2.{kind}"
                names[f"{of_ours}mlp2.{kind}"] = Scaled(last, f"{of_theirs}gamma")
    names |= {
        f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in pairs.items() for kind in KINDS
    }
    names |= head(weights, config, f"{TRUNK}head.fc")
    width = weights.shape(f"{TRUNK}head.norm.weight", 1)[0]
    shapes = projection_shapes(names, dimension, width)
    net = convnext.ConvNeXtConfig(
        settings.pair(config["image_size"]),
        stages,
        row["activation"],
        row["epsilon"],
        dimension,
        *preprocess.normalisation(),
    )
    return TowerSpec("convnext", net, names, shapes)


def fastvit_tower(
    weights: Weights,
    config: Mapping[str, Any],
    row: Mapping[str, Any],
    dimension: int,
    preprocess: Preprocess,
) -> TowerSpec:
    """A FastViT of MobileCLIP; which parts a stage has is in the names of its weights."""
    check_pool(config, ("", "avg"), ("linear", "none", "", None))
    names: Names = {}
    for index, side in enumerate((3, 3, 1)):
        names |= _branches(weights, f"stem.{index}", f"{TRUNK}stem.{index}", side)
    stages = count_blocks(weights, f"{TRUNK}stages.")
    for stage, count in enumerate(stages):
        ours, theirs = f"stages.{stage}.", f"{TRUNK}stages.{stage}."
        names |= _fastvit_start(weights, ours, theirs)
        for block in range(count):
            names |= _fastvit_block(weights, f"{ours}{block}.", f"{theirs}blocks.{block}.")
    names |= _branches(weights, "last", f"{TRUNK}final_conv", 3)
    names |= _excitation(weights, "last", f"{TRUNK}final_conv.se")
    names |= head(weights, config, f"{TRUNK}head.fc")
    width = weights.shape(f"{TRUNK}final_conv.conv_kxk.0.conv.weight", 4)[0]
    net = fastvit.FastViTConfig(
        settings.pair(config["image_size"]),
        stages,
        row["activation"],
        dimension,
        *preprocess.normalisation(),
    )
    return TowerSpec("fastvit", net, names, projection_shapes(names, dimension, width))


def _fastvit_start(weights: Weights, ours: str, theirs: str) -> Names:
    """What is before the blocks of a stage: the picture halved, and the positions of its pixels."""
    names: Names = {}
    large, positions = f"{theirs}downsample.proj.0", f"{theirs}pos_emb.pos_enc"
    if f"{large}.large_conv.conv.weight" in weights:
        both = (f"{large}.large_conv", f"{large}.small_conv")
        side = weights.shape(f"{large}.large_conv.conv.weight", 4)[2]
        names |= {f"{ours}shrink.{kind}": Branches(kind, side, both) for kind in KINDS}
        names |= _excitation(weights, f"{ours}shrink", f"{large}.se")
        names |= _branches(weights, f"{ours}mix", f"{theirs}downsample.proj.1", 1)
    if f"{positions}.weight" in weights:
        names[f"{ours}positions.weight"] = PlusInput(f"{positions}.weight")
        names[f"{ours}positions.bias"] = f"{positions}.bias"
    return names


def _fastvit_block(weights: Weights, ours: str, theirs: str) -> Names:
    mixer, scale = f"{theirs}token_mixer", f"{theirs}layer_scale.gamma"
    names: Names = {**folded(f"{ours}filter", f"{theirs}mlp.conv.conv", f"{theirs}mlp.conv.bn")}
    if f"{mixer}.qkv.weight" in weights:
        scale = f"{theirs}layer_scale_2.gamma"
        names |= _fastvit_attention(weights, ours, theirs)
    else:
        side = weights.shape(f"{mixer}.mixer.conv_kxk.0.conv.weight", 4)[2]
        for kind in KINDS:
            main, norm = (_of(weights, kind, f"{mixer}.{part}", side) for part in ("mixer", "norm"))
            names[f"{ours}mixer.{kind}"] = Mixer(kind, main, norm, f"{mixer}.layer_scale.gamma")
    for kind in KINDS:
        names[f"{ours}mlp1.{kind}"] = f"{theirs}mlp.fc1.{kind}"
        names[f"{ours}mlp2.{kind}"] = Scaled(f"{theirs}mlp.fc2.{kind}", scale)
    return names


def _fastvit_attention(weights: Weights, ours: str, theirs: str) -> Names:
    """A batch norm is folded into query, key and value, a layer norm is kept."""
    names: Names = {}
    joint = f"{theirs}token_mixer.qkv.weight"
    is_batch_norm = f"{theirs}norm.running_mean" in weights
    for index, part in enumerate(("query", "key", "value")):
        if is_batch_norm:
            for kind in KINDS:
                rule = NormedInput(kind, joint, f"{theirs}norm", index, 3)
                names[f"{ours}{part}.{kind}"] = rule
        else:
            names[f"{ours}{part}.weight"] = Part(joint, index, 3)
    for kind in KINDS:
        if not is_batch_norm:
            names[f"{ours}norm.{kind}"] = f"{theirs}norm.{kind}"
        last = f"{theirs}token_mixer.proj.{kind}"
        names[f"{ours}out.{kind}"] = Scaled(last, f"{theirs}layer_scale_1.gamma")
    return names


def _branches(weights: Weights, ours: str, theirs: str, side: int) -> Names:
    """A MobileOne block: the branches that are there, as one convolution."""
    return {f"{ours}.{kind}": _of(weights, kind, theirs, side) for kind in KINDS}


def _of(weights: Weights, kind: str, theirs: str, side: int) -> Branches:
    candidates = (f"{theirs}.conv_kxk.0", f"{theirs}.conv_scale")
    convs = tuple(name for name in candidates if f"{name}.conv.weight" in weights)
    identity = f"{theirs}.identity"
    return Branches(kind, side, convs, identity if f"{identity}.weight" in weights else None)


def _excitation(weights: Weights, ours: str, theirs: str) -> Names:
    pairs = {"squeeze": "fc1", "excite": "fc2"} if f"{theirs}.fc1.weight" in weights else {}
    return {
        f"{ours}.{o}.{kind}": f"{theirs}.{t}.{kind}" for o, t in pairs.items() for kind in KINDS
    }


def check_pool(
    config: Mapping[str, Any], pools: tuple[str, ...], projections: tuple[str | None, ...]
) -> None:
    """ModelError where the config pools or projects in a way that the net is not read with."""
    pool, projection = config["timm_pool"], config["timm_proj"]
    if pool not in pools or projection not in projections:
        raise ModelError(
            f"{settings.FILE} asks for timm_pool {pool!r} and timm_proj {projection!r} of "
            f"{config['timm_model_name']}, which is not supported."
        )


def count_blocks(weights: Weights, stem: str) -> tuple[int, ...]:
    """How many blocks each stage has; ModelError where a stage has none."""
    counts = [
        count_layers(weights, f"{stem}{stage}.blocks.")
        for stage in range(count_layers(weights, stem))
    ]
    if not counts or min(counts) < 1:
        raise ModelError(f"{settings.FILE} and the weights disagree: no blocks of {stem}.")
    return tuple(counts)


def head(weights: Weights, config: Mapping[str, Any], own: str) -> Names:
    """What is behind the pooled features: OpenCLIP's layers, or the net's `own` classifier."""
    stems = {
        "linear": {"projection": "visual.head.proj"},
        "mlp": {"hidden": "visual.head.mlp.fc1", "projection": "visual.head.mlp.fc2"},
        "none": {},
    }.get(config["timm_proj"] or "", {"projection": own})
    names: Names = {}
    for ours, theirs in stems.items():
        names[f"{ours}.weight"] = f"{theirs}.weight"
        if f"{theirs}.bias" in weights:
            names[f"{ours}.bias"] = f"{theirs}.bias"
    return names


def projection_shapes(names: Names, dimension: int, width: int) -> dict[str, tuple[int, ...]]:
    """The shapes that the embedding's dimension implies, of the layers that `head` names."""
    ends = {"hidden.weight": (2 * dimension, width), "projection.weight": (dimension, width)}
    if "hidden.weight" in names:
        ends["projection.weight"] = (dimension, 2 * dimension)
    return {str(names[ours]): shape for ours, shape in ends.items() if ours in names}
