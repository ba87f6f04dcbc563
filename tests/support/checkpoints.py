"""Checkpoints that tests make: random weights of the true architecture, saved by transformers."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"

CORPUS = [
    "a photo of a cat", "this is a photo of a small dog", "a bad photo of many things",
    "a rendering of the red bicycle in the snow", "graffiti, sculpture, tattoo, origami",
    "the cartoon aeroplane; an itap of my truck", "blurry black and white pixelated photo",
    "it's 1,000 labels & 80 templates: they're bright, low resolution, cropped",
    "naïve café élan über straße", "猫 狗 鸟 一张照片", "👍🎉 emoji", string.ascii_letters,
    string.digits, string.punctuation,
]  # fmt: skip


def tokenizer(
    folder: Path, corpus: Sequence[str] = CORPUS, size: int = 1200, context: int = 77
) -> int:
    """A CLIP byte-pair vocabulary trained on `corpus`, written as CLIP has it → its size."""
    bpe = Tokenizer(
        BPE(continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token=END, fuse_unk=False)
    )
    bpe.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Lowercase(),
        ]
    )
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(
                Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"),
                behavior="removed",
                invert=True,
            ),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=1,
        end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([*corpus] * 3, trainer)
    model = json.loads(bpe.to_str())["model"]
    # CLIP's own order: bytes, bytes that end a word, merges, then the two special tokens.
    letters = [c for c in model["vocab"] if len(c) == 1]
    tokens = dict.fromkeys(letters + [c + "</w>" for c in letters])
    tokens.update(dict.fromkeys(t for t in model["vocab"] if t not in tokens))
    vocabulary = {t: i for i, t in enumerate([*tokens, START, END])}
    merges = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
        "model_max_length": context,
        "do_lower_case": True,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(vocabulary)


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """transformers' own, from the files of `tokenizer`."""
    return CLIPTokenizer.from_pretrained(folder)


# What makes the published checkpoints differ, at a width that is quick to test.
SHAPES: dict[str, dict[str, Any]] = {
    "B32": {"image_size": 224, "patch_size": 32, "heads": 2, "width": 128},
    "B16": {"image_size": 224, "patch_size": 16, "heads": 2, "width": 128},
    "L14": {"image_size": 224, "patch_size": 14, "heads": 3, "width": 96},
    "L14-336": {"image_size": 336, "patch_size": 14, "heads": 2, "width": 64},
    # Nothing as usual: exact gelu, another epsilon, odd heads, a small picture, odd colours.
    "odd": {
        "image_size": 70,
        "patch_size": 10,
        "heads": 3,
        "width": 60,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-3,
        "mean": [0.1, 0.5, 0.7],
        "std": [0.2, 0.3, 0.9],
    },
}


def clip(
    folder: Path,
    shape: str = "B32",
    *,
    layers: int = 3,
    legacy_end: bool = False,
    seed: int = 0,
    **overrides: Any,
) -> Path:
    """A random CLIP in Hugging Face format. `legacy_end`: eos_token_id 2, as OpenAI's configs."""
    folder.mkdir(parents=True, exist_ok=True)
    s = {**SHAPES[shape], **overrides}
    vocabulary = tokenizer(folder)
    shared = {
        "num_hidden_layers": layers,
        "hidden_act": s.get("hidden_act", "quick_gelu"),
        "layer_norm_eps": s.get("layer_norm_eps", 1e-5),
    }
    config = CLIPConfig(
        projection_dim=s.get("dimension", 48),
        vision_config={
            **shared,
            "hidden_size": s["width"],
            "intermediate_size": 4 * s["width"],
            "num_attention_heads": s["heads"],
            "image_size": s["image_size"],
            "patch_size": s["patch_size"],
        },
        text_config={
            **shared,
            "hidden_size": s["width"],
            "intermediate_size": 4 * s["width"],
            "num_attention_heads": s["heads"],
            "vocab_size": vocabulary,
            "bos_token_id": vocabulary - 2,
            "eos_token_id": 2 if legacy_end else vocabulary - 1,
            **s.get("text", {}),
        },
    )
    model = randomise(CLIPModel(config), seed)
    model.save_pretrained(folder)
    size = s["image_size"]
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "image_mean": s.get("mean", [0.48145466, 0.4578275, 0.40821073]),
        "image_std": s.get("std", [0.26862954, 0.26130258, 0.27577711]),
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


# Norms that are not called so, in a ConvNeXt and a FastViT of timm.
NORMS = re.compile(r"[._]bn\.|\bidentity\.|trunk\.stem\.1\.|trunk\..*downsample\.0\.")


def randomise(model: Any, seed: int) -> Any:
    """Weights large enough that every part of the network shows in its output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if name.endswith("logit_scale"):
                p.fill_(3.2)
            elif "norm" in name.lower() or (p.ndim == 1 and NORMS.search(name)):
                p.copy_(0.2 * noise + (1.0 if name.endswith("weight") else 0.0))
            elif p.ndim > 1 and "embedding" not in name:
                p.copy_(noise * (1.5 / p[0].numel() ** 0.5))
            else:
                p.copy_(noise * 0.3)
        for name, buffer in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                noise = torch.rand(buffer.shape, generator=generator)
                buffer.copy_(noise + 0.5 if name.endswith("var") else noise - 0.5)
    return model.eval()
