"""The text nets of OpenCLIP: CLIP's or SigLIP's transformer, and BERTs of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unseen.errors import ModelError
from unseen.models.checkpoint import Checkpoint, tokenizer_setting
from unseen.models.config_values import shown
from unseen.models.families import hf_bert
from unseen.models.families.hf_config import check_heads, count_layers
from unseen.models.families.hf_vision import layers
from unseen.models.families.openclip import settings
from unseen.models.families.openclip.names import KINDS, LAYER, Names, joined, layer_scales
from unseen.models.inputs import (
    ClassTokenBehind,
    EndToken,
    FixedLength,
    Masked,
    TextInputs,
)
from unseen.models.tokenizers import text_normalization
from unseen.models.tokenizers.tokenizer import TokenizerSpec
from unseen.models.towers import TowerSpec
from unseen.models.weights.files import Weights
from unseen.models.weights.rules import Transposed
from unseen.networks import bert, text
from unseen.networks.transformer import Blocks


def text_tower(
    weights: Weights, config: Mapping[str, Any], dimension: int, activation: str
) -> TowerSpec:
    """The text net that the config asks for. Raises ModelError for what is not supported."""
    if config["hf_model_name"]:
        return _bert(weights, config, dimension)
    return _transformer(weights, config, dimension, activation)


def text_inputs(
    checkpoint: Checkpoint, tokenizer: TokenizerSpec, config: Mapping[str, Any]
) -> TextInputs:
    """Token ids → what the text net takes. ModelError for a pooling that is not supported."""
    if config["hf_model_name"]:
        return Masked()
    pool, length = config["pool_type"], config["context_length"]
    # OpenCLIP pads as the tokenizer says; CLIP's own has zeros.
    sees_padding = pool == "last" or config["no_causal_mask"] or config["embed_cls"]
    own_tokenizer = sees_padding and config["hf_tokenizer_name"]
    pad = _special_id(checkpoint, tokenizer, "pad_token") if own_tokenizer else 0
    if config["embed_cls"]:
        hidden = config["pad_id"] or 0
        return ClassTokenBehind(length, pad, hidden, shifted=not config["correct_cls_mask"])
    if pool == "last":
        strips = (config["tokenizer_kwargs"] or {}).get("strip_sep_token")
        blank = _special_id(checkpoint, tokenizer, "sep_token") if strips else None
        return FixedLength(length, pad, blank)
    if pool in ("argmax", "eos"):
        end = None if pool == "argmax" else config["eos_id"]
        return EndToken(end, length, pad) if config["no_causal_mask"] else EndToken(end)
    raise ModelError(f"open_clip_config.json pools its text by {pool!r}: not supported.")


def _special_id(checkpoint: Checkpoint, tokenizer: TokenizerSpec, name: str) -> int:
    token = tokenizer_setting(checkpoint, name)
    token_id = None if token is None else tokenizer.token_id(token)
    if token_id is None:
        raise ModelError(f"{checkpoint.name}: its tokenizer files name no {name}.")
    return token_id


def _transformer(
    weights: Weights, config: Mapping[str, Any], dimension: int, activation: str
) -> TowerSpec:
    width, count = config["width"], config["layers"]
    # Models with a text net of their own keep it under a name.
    prefix = "text." if "text.token_embedding.weight" in weights else ""
    stem = prefix + "transformer.resblocks.{}"
    projection = prefix + "text_projection"
    names: Names = {
        "tokens": f"{prefix}token_embedding.weight",
        "positions": f"{prefix}positional_embedding",
        "norm_after.weight": f"{prefix}ln_final.weight",
        "norm_after.bias": f"{prefix}ln_final.bias",
        **layers(weights, stem, LAYER, count),
        **joined(stem, count, "attn.in_proj_"),
        **layer_scales(weights, stem, count),
    }
    if projection in weights:
        names["projection.weight"] = Transposed(projection)
    elif f"{projection}.weight" in weights:
        names |= {f"projection.{kind}": f"{projection}.{kind}" for kind in KINDS}
    tokens = config["context_length"]
    if config["embed_cls"]:
        names["class_token"] = f"{prefix}cls_emb"
        tokens += 1
    shapes = {f"{prefix}positional_embedding": (tokens, width)}
    kinds = settings.activation_and_epsilon(config, activation)
    check_heads(config["heads"], width, settings.FILE)
    blocks = Blocks(count, config["heads"], *kinds)
    text_config = text.TextConfig(
        blocks,
        dimension,
        causal=not config["no_causal_mask"],
        pooling="class" if config["embed_cls"] else "end",
    )
    return TowerSpec("text", text_config, names, shapes)


def _bert(weights: Weights, config: Mapping[str, Any], dimension: int) -> TowerSpec:
    row = settings.known("hf_model_name", config["hf_model_name"])
    pooling = {
        "mean_pooler": "mean",
        "cls_pooler": "first",
        "cls_last_hidden_state_pooler": "first",
        None: row["pooling"],
    }.get(config["hf_pooler_type"])
    if pooling is None:
        raise ModelError(f"open_clip_config.json pools by {config['hf_pooler_type']!r}.")
    stem, count = "text.transformer.", count_layers(weights, "text.transformer.encoder.layer.")
    names: Names = {**hf_bert.names(weights, stem, count)}
    if config["hf_pooler_type"] == "cls_pooler":
        names |= {f"pooler.{kind}": f"{stem}pooler.dense.{kind}" for kind in KINDS}
    if "text.proj.weight" in weights:
        names["projection.weight"] = "text.proj.weight"
    elif "text.proj.0.weight" in weights:
        names |= {"hidden.weight": "text.proj.0.weight", "projection.weight": "text.proj.2.weight"}
    width = weights.shape(stem + hf_bert.EMBEDDINGS["tokens"], 2)[1]
    check_heads(row["heads"], width, settings.FILE)
    blocks = Blocks(count, row["heads"], row["activation"], row["epsilon"])
    text_config = bert.TextConfig(
        bert.BertConfig(blocks, row["first_position"]),
        pooling,
        dimension,
        hidden_activation="gelu" if "hidden.weight" in names else None,
    )
    return TowerSpec("bert", text_config, names)


def tokenizer_of(checkpoint: Checkpoint, config: Mapping[str, Any]) -> TokenizerSpec:
    """CLIP's own cleans and lower-cases; one of transformers cleans, and is lower-case or not."""
    arguments = dict(config["tokenizer_kwargs"] or {})
    clean = arguments.pop("clean", "whitespace" if config["hf_tokenizer_name"] else "lower")
    is_known = isinstance(clean, str) and clean in text_normalization.OPEN_CLIP
    if set(arguments) - {"strip_sep_token"} or not is_known:
        raise ModelError(
            f"{settings.FILE} has tokenizer_kwargs {shown(config['tokenizer_kwargs'])}, which are "
            "not supported."
        )
    normalization = text_normalization.OPEN_CLIP[clean]
    if tokenizer_setting(checkpoint, "tokenizer_class") == "SiglipTokenizer":
        # That class takes punctuation away by itself, whatever was done before.
        normalization = "canonicalize" if clean == "canonicalize" else "whitespace_siglip"
    return TokenizerSpec(str(checkpoint.folder), normalization)
