"""OpenCLIP's own format: `open_clip_config.json`, and weights as its modules are called.

The image net is its ViT, its ResNet or a ViT of timm; the text net is CLIP's or SigLIP's, or a
BERT of transformers. data/towers.json says what the config leaves to those two libraries.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import resources
from typing import Any

from unseen.errors import ModelError
from unseen.images.preprocess import Preprocess
from unseen.models import cleaning, hub
from unseen.models.families import clip, hf_bert, siglip
from unseen.models.families.hf_config import check_shapes
from unseen.models.families.hf_vision import layers
from unseen.models.model import LARGE_BATCH, SMALL_BATCH, Model, Score
from unseen.models.tokenizer import Tokenizer
from unseen.models.weights import (
    OPEN_CLIP_FILES,
    Made,
    Renamed,
    Weights,
    folded,
    open_weights,
    part,
    transposed,
    without_leading_axes,
)
from unseen.networks import bert, resnet, text, vit
from unseen.networks.network import Network
from unseen.networks.operations import Array
from unseen.networks.transformer import Blocks

Names = dict[str, str | Made]
Inputs = Callable[[Sequence[Sequence[int]]], tuple[Array, ...]]

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
    "act_kwargs": None,
    "norm_kwargs": None,
    "hf_model_name": None,
    "hf_proj_type": "mlp",
    "hf_pooler_type": "mean_pooler",
}
# Keys that change the network and are supported as OpenCLIP has them by default, only.
UNSUPPORTED: dict[str, Any] = {
    "ls_init_value": None,
    "attentional_pool": False,
    "block_type": None,
    "qk_norm": False,
    "scaled_cosine_attn": False,
    "scale_heads": False,
    "scale_attn_inner": False,
    "scale_attn": False,
    "scale_fc": False,
    "embed_cls": False,
    "tokenizer_mode": None,
}
# Keys that are of training only, or whose meaning the weights show.
IGNORED = {
    *("patch_dropout", "timm_drop", "timm_drop_path", "timm_model_pretrained"),
    *("hf_model_pretrained", "output_tokens", "attn_pooler_queries", "attn_pooler_heads"),
    *("mlp_ratio", "vocab_size", "pos_embed_type", "timm_proj_bias", "proj_bias", "proj_type"),
}

# What the rows of data/towers.json have in common, for an error.
SUPPORTED = {
    "timm_model_name": "timm's plain ViTs (vit_*_clip_*, vit_*_siglip_*, vit_base_patch16_224, …)",
    "hf_model_name": "BERT, RoBERTa and XLM-RoBERTa of base and large size",
}

# Our names of a layer's parts → the checkpoint's; query, key and value are stored as one.
LAYER = {"norm1": "ln_1", "out": "attn.out_proj", "norm2": "ln_2"}
LAYER |= {"mlp1": "mlp.c_fc", "mlp2": "mlp.c_proj"}
TIMM_LAYER = {"norm1": "norm1", "out": "attn.proj", "norm2": "norm2"}
TIMM_LAYER |= {"mlp1": "mlp.fc1", "mlp2": "mlp.fc2"}
TIMM_POOL = {"out": "proj", "norm2": "norm", "mlp1": "mlp.fc1", "mlp2": "mlp.fc2"}
KINDS = ("weight", "bias")


def read(checkpoint: hub.Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is compiled."""
    config_of = config.get("model_cfg")
    if not isinstance(config_of, dict):
        raise ModelError(f"{checkpoint.name}: open_clip_config.json has no model_cfg.")
    vision_config = _tower(config_of, "vision_cfg", VISION_DEFAULTS)
    text_config = _tower(config_of, "text_cfg", TEXT_DEFAULTS)
    activation = "quick_gelu" if config_of.get("quick_gelu") else "gelu"
    dimension = int(config_of["embed_dim"])
    preprocess = Preprocess.from_open_clip(
        config.get("preprocess_cfg") or {}, _pair(vision_config["image_size"])
    )
    weights = open_weights(checkpoint.folder, OPEN_CLIP_FILES)
    tokenizer = _tokenizer(checkpoint, text_config)
    text_network = _text_network(weights, text_config, dimension, activation)
    has_bias = "logit_bias" in weights
    return Model(
        name=checkpoint.name,
        revision=checkpoint.revision,
        family="openclip",
        fingerprint=hub.fingerprint(checkpoint),
        dimension=dimension,
        preprocess=preprocess,
        tokenizer=tokenizer,
        context_length=int(text_config["context_length"]),
        text_inputs=_text_inputs(checkpoint, tokenizer, text_config),
        # A model with a bias was trained with SigLIP's loss, any other with CLIP's.
        score=Score(
            "sigmoid" if has_bias else "softmax",
            scale=math.exp(weights["logit_scale"].item()),
            bias=weights["logit_bias"].item() if has_bias else 0.0,
        ),
        image_network=partial(
            _image_network, weights, vision_config, dimension, activation, preprocess
        ),
        text_network=text_network,
        batch_size=SMALL_BATCH if _is_resnet(vision_config) else LARGE_BATCH,
    )


def _tower(config: Mapping[str, Any], name: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    given = config.get(name)
    if not isinstance(given, dict):
        raise ModelError(f"open_clip_config.json has no {name}.")
    for key, value in given.items():
        known = key in defaults or key in IGNORED
        if not known and (key not in UNSUPPORTED or value not in (UNSUPPORTED[key], None)):
            raise ModelError(f"open_clip_config.json asks for {key} {value!r}: not supported.")
    if "multimodal_cfg" in config:
        raise ModelError("open_clip_config.json is of a CoCa model: not supported.")
    return {**defaults, **given}


@cache
def towers() -> dict[str, dict[str, dict[str, Any]]]:
    """What timm's and transformers' towers are, by name: data/towers.json."""
    text = resources.files("unseen").joinpath("data/towers.json").read_text("utf-8")
    found: dict[str, dict[str, dict[str, Any]]] = json.loads(text)
    return found


def _known(kind: str, name: str) -> dict[str, Any]:
    known = towers()[kind]
    if name not in known:
        raise ModelError(
            f"open_clip_config.json asks for {kind} {name!r}, which is not supported; supported "
            f"are {SUPPORTED[kind]}."
        )
    return known[name]


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _count(weights: Weights, stem: str) -> int:
    """How many layers there are under `stem`, which ends in a dot before their number."""
    return len({name[len(stem) :].split(".")[0] for name in weights if name.startswith(stem)})


def _joined(stem: str, count: int, stored: str) -> Names:
    """Query, key and value of each layer out of the one array that holds them."""
    return {
        f"layers.{layer}.{name}.{kind}": part(f"{stem.format(layer)}.{stored}{kind}", index, 3)
        for layer in range(count)
        for index, name in enumerate(("query", "key", "value"))
        for kind in KINDS
    }


# image nets


def _is_resnet(config: Mapping[str, Any]) -> bool:
    """By its layers, a count a stage; a tower of timm's is a ViT, and has its own."""
    return not config["timm_model_name"] and isinstance(config["layers"], list)


def _image_network(
    weights: Weights,
    config: Mapping[str, Any],
    dimension: int,
    activation: str,
    preprocess: Preprocess,
) -> Network[Any]:
    if config["timm_model_name"]:
        return _timm_vit(weights, config, dimension, preprocess)
    if _is_resnet(config):
        return _resnet(weights, config, dimension, preprocess)
    return _vit(weights, config, dimension, activation, preprocess)


def _vit(
    weights: Weights,
    config: Mapping[str, Any],
    dimension: int,
    activation: str,
    preprocess: Preprocess,
) -> Network[Any]:
    width, count = int(config["width"]), int(config["layers"])
    stem = "visual.transformer.resblocks.{}"
    names: Names = {
        "class_token": "visual.class_embedding",
        "patch.weight": "visual.conv1.weight",
        "positions": "visual.positional_embedding",
        "projection.weight": transposed("visual.proj"),
        **layers(stem, LAYER, count),
        **_joined(stem, count, "attn.in_proj_"),
    }
    if not config["no_ln_pre"]:
        names |= {f"norm_before.{kind}": f"visual.ln_pre.{kind}" for kind in KINDS}
    last_norm = "norm_pooled" if config["final_ln_after_pool"] else "norm_after"
    names |= {f"{last_norm}.{kind}": f"visual.ln_post.{kind}" for kind in KINDS}
    pooling = {"tok": "token", "avg": "mean"}.get(config["pool_type"])
    if pooling is None:
        raise ModelError(f"open_clip_config.json pools {config['pool_type']!r}: not supported.")
    image_size, patch = _pair(config["image_size"]), int(config["patch_size"])
    patches = (image_size[0] // patch) * (image_size[1] // patch)
    check_shapes(
        weights,
        {
            "visual.conv1.weight": (width, 3, patch, patch),
            "visual.positional_embedding": (patches + 1, width),
            "visual.proj": (width, dimension),
        },
    )
    blocks = Blocks(count, width // int(config["head_width"]), *_kinds(config, activation))
    scale, shift = preprocess.normalisation()
    vision_config = vit.VisionConfig(
        image_size, patch, width, blocks, dimension, scale, shift, pooling
    )
    return vit.network(vision_config, Renamed(weights, names))


def _timm_vit(
    weights: Weights, config: Mapping[str, Any], dimension: int, preprocess: Preprocess
) -> Network[Any]:
    known = _known("timm_model_name", config["timm_model_name"])
    pool, projection = config["timm_pool"], config["timm_proj"]
    pooling = {"": "token", "token": "token", "avg": "mean", "map": "attention"}.get(pool)
    if pooling is None or projection not in ("", None, "none", "linear"):
        raise ModelError(
            f"open_clip_config.json asks for timm_pool {pool!r} and timm_proj {projection!r}, "
            "which is not supported."
        )
    stem = "visual.trunk.blocks.{}"
    count = _count(weights, "visual.trunk.blocks.")
    head = "visual.head.proj" if projection == "linear" else "visual.trunk.head"
    names: Names = {
        "patch.weight": "visual.trunk.patch_embed.proj.weight",
        "positions": without_leading_axes("visual.trunk.pos_embed", 2),
        **layers(stem, TIMM_LAYER, count),
        **_joined(stem, count, "attn.qkv."),
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
        names["class_token"] = without_leading_axes("visual.trunk.cls_token", 1)
    if pooling == "attention":
        names |= _timm_pool()
    width, _, patch, _ = weights.shape("visual.trunk.patch_embed.proj.weight")
    image_size = _pair(config["image_size"])
    patches = (image_size[0] // patch) * (image_size[1] // patch)
    tokens = patches + int("class_token" in names)
    check_shapes(weights, {"visual.trunk.pos_embed": (1, tokens, width)})
    blocks = Blocks(count, known["heads"], known["activation"], known["epsilon"])
    scale, shift = preprocess.normalisation()
    vision_config = vit.VisionConfig(
        image_size, patch, width, blocks, dimension, scale, shift, pooling
    )
    return vit.network(vision_config, Renamed(weights, names))


def _timm_pool() -> Names:
    stem = "visual.trunk.attn_pool"
    names: Names = {"probe": without_leading_axes(f"{stem}.latent", 1)}
    for kind in KINDS:
        names[f"pool.query.{kind}"] = f"{stem}.q.{kind}"
        names[f"pool.key.{kind}"] = part(f"{stem}.kv.{kind}", 0, 2)
        names[f"pool.value.{kind}"] = part(f"{stem}.kv.{kind}", 1, 2)
        names |= {f"pool.{ours}.{kind}": f"{stem}.{t}.{kind}" for ours, t in TIMM_POOL.items()}
    return names


def _resnet(
    weights: Weights, config: Mapping[str, Any], dimension: int, preprocess: Preprocess
) -> Network[Any]:
    stages = tuple(int(count) for count in config["layers"])
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
    image_size, width = _pair(config["image_size"]), int(config["width"])
    places = (image_size[0] // 32) * (image_size[1] // 32)
    check_shapes(
        weights,
        {
            "visual.conv3.weight": (width, width // 2, 3, 3),
            "visual.attnpool.positional_embedding": (places + 1, 32 * width),
            "visual.attnpool.c_proj.weight": (dimension, 32 * width),
        },
    )
    heads = width * 32 // int(config["head_width"])
    resnet_config = resnet.ResNetConfig(
        image_size, stages, heads, dimension, *preprocess.normalisation()
    )
    return resnet.network(resnet_config, Renamed(weights, names))


# text nets


def _text_network(
    weights: Weights, config: Mapping[str, Any], dimension: int, activation: str
) -> Callable[[], Network[Any]]:
    """The text net, whose weights are not yet read."""
    if config["hf_model_name"]:
        return partial(_bert, weights, config, dimension)
    return partial(_transformer, weights, config, dimension, activation)


def _text_inputs(
    checkpoint: hub.Checkpoint, tokenizer: Tokenizer, config: Mapping[str, Any]
) -> Inputs:
    """Token ids → what the text net takes. ModelError for a pooling that is not supported."""
    if config["hf_model_name"]:
        return hf_bert.text_inputs
    pool = config["pool_type"]
    if pool == "last":
        # OpenCLIP pads as the tokenizer says; CLIP's own has zeros.
        pad = _special_id(checkpoint, tokenizer, "pad_token") if config["hf_tokenizer_name"] else 0
        length = int(config["context_length"])
        padded = partial(siglip.padded_inputs, context_length=length, pad=pad)
        if not (config["tokenizer_kwargs"] or {}).get("strip_sep_token"):
            return padded
        separator = _special_id(checkpoint, tokenizer, "sep_token")
        return lambda ids: padded([[0 if i == separator else i for i in row] for row in ids])
    if pool in ("argmax", "eos") and not config["no_causal_mask"]:
        end = None if pool == "argmax" else int(config["eos_id"])
        return partial(clip.text_inputs, end=end)
    raise ModelError(f"open_clip_config.json pools its text by {pool!r}: not supported.")


def _special_id(checkpoint: hub.Checkpoint, tokenizer: Tokenizer, name: str) -> int:
    token = hub.tokenizer_setting(checkpoint, name)
    found = None if token is None else tokenizer.token_id(token)
    if found is None:
        raise ModelError(f"{checkpoint.name}: its tokenizer files name no {name}.")
    return found


def _transformer(
    weights: Weights, config: Mapping[str, Any], dimension: int, activation: str
) -> Network[Any]:
    width, count = int(config["width"]), int(config["layers"])
    # Models with a text net of their own keep it under a name.
    prefix = "text." if "text.token_embedding.weight" in weights else ""
    stem = prefix + "transformer.resblocks.{}"
    projection = prefix + "text_projection"
    names: Names = {
        "tokens": f"{prefix}token_embedding.weight",
        "positions": f"{prefix}positional_embedding",
        "norm_after.weight": f"{prefix}ln_final.weight",
        "norm_after.bias": f"{prefix}ln_final.bias",
        **layers(stem, LAYER, count),
        **_joined(stem, count, "attn.in_proj_"),
    }
    if projection in weights:
        names["projection.weight"] = transposed(projection)
    elif f"{projection}.weight" in weights:
        names |= {f"projection.{kind}": f"{projection}.{kind}" for kind in KINDS}
    check_shapes(
        weights,
        {f"{prefix}positional_embedding": (int(config["context_length"]), width)},
    )
    blocks = Blocks(count, int(config["heads"]), *_kinds(config, activation))
    text_config = text.TextConfig(blocks, dimension, causal=not config["no_causal_mask"])
    return text.network(text_config, Renamed(weights, names))


def _bert(weights: Weights, config: Mapping[str, Any], dimension: int) -> Network[Any]:
    known = _known("hf_model_name", config["hf_model_name"])
    pooling = {
        "mean_pooler": "mean",
        "cls_pooler": "first",
        "cls_last_hidden_state_pooler": "first",
        None: known["pooling"],
    }.get(config["hf_pooler_type"])
    if pooling is None:
        raise ModelError(f"open_clip_config.json pools by {config['hf_pooler_type']!r}.")
    stem, count = "text.transformer.", _count(weights, "text.transformer.encoder.layer.")
    names: Names = {**hf_bert.names(stem, count)}
    if config["hf_pooler_type"] == "cls_pooler":
        names |= {f"pooler.{kind}": f"{stem}pooler.dense.{kind}" for kind in KINDS}
    if "text.proj.weight" in weights:
        names["projection.weight"] = "text.proj.weight"
    elif "text.proj.0.weight" in weights:
        names |= {"hidden.weight": "text.proj.0.weight", "projection.weight": "text.proj.2.weight"}
    blocks = Blocks(count, known["heads"], known["activation"], known["epsilon"])
    text_config = bert.TextConfig(
        bert.BertConfig(blocks, known["first_position"]),
        pooling,
        dimension,
        hidden_activation="gelu" if "hidden.weight" in names else None,
    )
    return bert.network(text_config, Renamed(weights, names))


def _kinds(config: Mapping[str, Any], activation: str) -> tuple[str, float]:
    """The activation and the epsilon of a tower's norms, from its own settings."""
    act_kwargs, norm_kwargs = (config[key] or {} for key in ("act_kwargs", "norm_kwargs"))
    if act_kwargs and act_kwargs != {"approximate": "tanh"}:
        raise ModelError(f"open_clip_config.json has act_kwargs {act_kwargs}: not supported.")
    if set(norm_kwargs) - {"eps"}:
        raise ModelError(f"open_clip_config.json has norm_kwargs {norm_kwargs}: not supported.")
    return "gelu_tanh" if act_kwargs else activation, float(norm_kwargs.get("eps", 1e-5))


def _tokenizer(checkpoint: hub.Checkpoint, config: Mapping[str, Any]) -> Tokenizer:
    """CLIP's own cleans and lower-cases; one of transformers cleans, and is lower-case or not."""
    settings = dict(config["tokenizer_kwargs"] or {})
    clean = settings.pop("clean", "whitespace" if config["hf_tokenizer_name"] else "lower")
    if set(settings) - {"strip_sep_token"} or clean not in cleaning.OPEN_CLIP:
        raise ModelError(
            f"open_clip_config.json has tokenizer_kwargs {config['tokenizer_kwargs']}, which are "
            "not supported."
        )
    return Tokenizer.from_folder(checkpoint.folder, cleaning.OPEN_CLIP[clean])
