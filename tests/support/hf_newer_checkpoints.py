"""Checkpoints of 2025's families that transformers saves: random weights, own tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import (
    MetaClip2Config,
    MetaClip2Model,
    Siglip2Config,
    Siglip2Model,
    T5TokenizerFast,
    Tipsv2Config,
    Tipsv2Model,
    Tipsv2Tokenizer,
    XLMRobertaTokenizer,
)

import hf_checkpoints
from checkpoints import CORPUS, randomise

# Kind of tokenizer → what makes it, its class, and where a text ends.
METACLIP_2: dict[str, tuple[Any, Any, int]] = {
    "worldwide": (hf_checkpoints.xlm_roberta_tokenizer, XLMRobertaTokenizer, 2),
    "mt5-worldwide": (hf_checkpoints.siglip_tokenizer, T5TokenizerFast, 1),
}


def metaclip_2(folder: Path, kind: str = "worldwide", *, end: int | None = None) -> Path:
    """A random MetaCLIP 2. `end`: its eos_token_id, if it is not the tokenizer's."""
    folder.mkdir(parents=True, exist_ok=True)
    make, tokenizer, usual_end = METACLIP_2[kind]
    vocabulary = make(folder)
    tokenizer.from_pretrained(folder).save_pretrained(folder)  # as a tokenizer.json
    for name in ("spiece.model", "sentencepiece.bpe.model"):
        (folder / name).unlink(missing_ok=True)
    shared = {"num_hidden_layers": 3, "hidden_size": 60, "num_attention_heads": 3}
    shared |= {"intermediate_size": 150}
    config = MetaClip2Config(
        projection_dim=40,
        vision_config={**shared, "image_size": 112, "patch_size": 14},
        text_config={
            **shared,
            "vocab_size": vocabulary,
            "eos_token_id": usual_end if end is None else end,
        },
    )
    randomise(MetaClip2Model(config), 7).save_pretrained(folder)
    hf_checkpoints.write_processor(
        folder,
        {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": 112},
            "crop_size": {"height": 112, "width": 112},
        },
    )
    return folder


# NaFlex: pictures keep their shape. "odd": another patch, count and square of positions.
NAFLEX_SHAPES: dict[str, dict[str, Any]] = {
    "base-patch16-naflex": {"patch_size": 16, "num_patches": 256, "count": 256, "heads": 2},
    "odd": {
        "patch_size": 10,
        "num_patches": 25,
        "count": 90,
        "heads": 3,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-3,
        "mean": [0.1, 0.5, 0.7],
        "std": [0.2, 0.3, 0.9],
        "resample": 3,
    },
}


def naflex(
    folder: Path, shape: str = "base-patch16-naflex", *, sizes: dict[str, Any] | None = None
) -> Path:
    """A random SigLIP 2 of any resolution. `sizes`: of its image net, instead of small ones."""
    folder.mkdir(parents=True, exist_ok=True)
    s = NAFLEX_SHAPES[shape]
    vocabulary = hf_checkpoints.gemma_tokenizer(folder)
    shared = {
        "num_hidden_layers": 3,
        "hidden_size": 72,
        "intermediate_size": 150,
        "num_attention_heads": s["heads"],
        "hidden_act": s.get("hidden_act", "gelu_pytorch_tanh"),
        "layer_norm_eps": s.get("layer_norm_eps", 1e-6),
    }
    config = Siglip2Config(
        vision_config={
            **shared,
            "patch_size": s["patch_size"],
            "num_patches": s["num_patches"],
            **(sizes or {}),
        },
        text_config={
            **shared,
            "vocab_size": vocabulary,
            "pad_token_id": 0,
            "projection_size": (sizes or shared)["hidden_size"],
        },
    )
    model = randomise(Siglip2Model(config), 8)
    model.vision_model.embeddings.position_embedding.weight.data.mul_(5)  # so that places show
    model.logit_bias.data.fill_(-2.5)
    model.save_pretrained(folder)
    hf_checkpoints.write_processor(
        folder,
        {
            "image_processor_type": "Siglip2ImageProcessor",
            "resample": s.get("resample", 2),
            "image_mean": s.get("mean", [0.5] * 3),
            "image_std": s.get("std", [0.5] * 3),
            "patch_size": s["patch_size"],
            "max_num_patches": s["count"],
        },
    )
    return folder


def fg_clip_2(folder: Path) -> Path:
    """A random FG-CLIP 2 beside SigLIP 2's own files: the same nets, its further heads and its
    positions of long texts, in the names of its authors' code (360CVGroup/FG-CLIP)."""
    naflex(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "fgclip2", "architectures": ["FG_CLIP2_Model"], "auto_map": {"x": "y"}}
    config["text_config"] |= {"longtext_len": 196, "keep_len": 20}
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    width = weights["text_model.head.weight"].shape[0]
    noise = np.random.default_rng(0).standard_normal((196, width)).astype(np.float32)
    for name in ("longtext_head", "boxtext_head"):
        weights |= {f"{name}.weight": noise[:width].copy(), f"{name}.bias": noise[0].copy()}
    for name in ("ori", "res"):
        weights[f"text_model.embeddings.position_embedding_{name}.weight"] = noise.copy()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


TIPS_SHAPES: dict[str, dict[str, Any]] = {
    "b14": {"image_size": 112, "patch_size": 14, "heads": 3, "registers": 1},
    "g14": {"image_size": 84, "patch_size": 14, "heads": 3, "registers": 1, "gated": True},
    "odd": {
        "image_size": 70,
        "patch_size": 10,
        "heads": 2,
        "registers": 3,
        "layer_norm_eps": 1e-3,
        "scale_sqrt_depth": False,
    },
}


def tips(
    folder: Path,
    shape: str = "b14",
    *,
    original: bool = False,
    sizes: dict[str, Any] | None = None,
) -> Path:
    """A random TIPS v2. `original`: under its authors' names of weights, without a temperature.
    `sizes`: of its image net, instead of small ones."""
    folder.mkdir(parents=True, exist_ok=True)
    s = TIPS_SHAPES[shape] | {k: v for k, v in (sizes or {}).items() if k == "image_size"}
    vocabulary = tips_tokenizer(folder)
    shared = {"num_hidden_layers": 3, "hidden_size": 72, "num_attention_heads": s["heads"]}
    shared |= {"layer_norm_eps": s["layer_norm_eps"]} if "layer_norm_eps" in s else {}
    config = Tipsv2Config(
        temperature_init_value=0.03,
        vision_config={
            **shared,
            "image_size": s["image_size"],
            "patch_size": s["patch_size"],
            "num_register_tokens": s["registers"],
            "use_swiglu_ffn": s.get("gated", False),
            **(sizes or {}),
        },
        text_config={
            **shared,
            "hidden_size": (sizes or shared)["hidden_size"],
            "intermediate_size": 150,
            "vocab_size": vocabulary,
            "max_position_embeddings": 64,
            "scale_sqrt_depth": s.get("scale_sqrt_depth", True),
        },
    )
    model = randomise(Tipsv2Model(config), 9)
    model.temperature.data.fill_(0.05)
    model.save_pretrained(folder)
    side = {"height": s["image_size"], "width": s["image_size"]}
    hf_checkpoints.write_processor(
        folder,
        {
            "image_processor_type": "Tipsv2ImageProcessor",
            "size": side,
            "resample": 2,
            "do_normalize": False,
        },
    )
    if original:
        weights = load_file(folder / "model.safetensors")
        weights.pop("temperature")
        save_file(original_names(weights), folder / "model.safetensors", {"format": "pt"})
    return folder


# transformers' names of TIPS v2 → its authors', in this order; parts of one array are joined after.
ORIGINAL_IMAGE = (
    ("vision_model.embeddings.patch_embeddings.projection.", "vision_encoder.patch_embed.proj."),
    ("vision_model.embeddings.position_embeddings", "vision_encoder.pos_embed"),
    ("vision_model.embeddings.", "vision_encoder."),
    ("vision_model.layernorm.", "vision_encoder.norm."),
    ("vision_model.encoder.layer.", "vision_encoder.blocks."),
    (".attention.o_proj.", ".attn.proj."),
    (".attention.", ".attn."),
    (".layer_scale1.lambda1", ".ls1.gamma"),
    (".layer_scale2.lambda1", ".ls2.gamma"),
    (".mlp.down_proj.", ".mlp.w3."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
)
ORIGINAL_TEXT = (
    ("text_model.final_layer_norm.", "text_encoder.ln_final."),
    ("text_model.embeddings.", "text_encoder."),
    ("text_model.encoder.layers.", "text_encoder.transformer.resblocks."),
    (".layer_norm1.", ".ln_1."),
    (".layer_norm2.", ".ln_2."),
    (".self_attn.", ".attn."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
)
# Parts → the array that holds them.
JOINED = {
    "vision_encoder": {
        ("attn.q_proj.", "attn.k_proj.", "attn.v_proj."): "attn.qkv.",
        ("mlp.gate_proj.", "mlp.up_proj."): "mlp.w12.",
    },
    "text_encoder": {("attn.q_proj.", "attn.k_proj.", "attn.v_proj."): "attn.in_proj_"},
}


def original_names(weights: dict[str, Any]) -> dict[str, Any]:
    """The weights of a TIPS v2 as its authors published them."""
    renamed = {}
    for name, array in weights.items():
        rules = ORIGINAL_IMAGE if name.startswith("vision_model.") else ORIGINAL_TEXT
        for theirs, original in rules:
            name = name.replace(theirs, original)
        renamed[name] = array
    for tower, groups in JOINED.items():
        for parts, joined in groups.items():
            for name in [n for n in renamed if n.startswith(tower) and parts[0] in n]:
                arrays = [renamed.pop(name.replace(parts[0], part)) for part in parts]
                renamed[name.replace(parts[0], joined)] = np.concatenate(arrays)
    return renamed


def tips_tokenizer(folder: Path) -> int:
    """TIPS's, byte-pairs without a token at the begin or end of a text → its size."""
    bpe = Tokenizer(BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"),
        ]
    )
    own_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=["<pad>", "<unk>", *own_bytes], show_progress=False
    )
    bpe.train_from_iterator([*CORPUS] * 3, trainer)
    model = json.loads(bpe.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    Tipsv2Tokenizer(vocab=model["vocab"], merges=merges).save_pretrained(folder)
    return bpe.get_vocab_size()
