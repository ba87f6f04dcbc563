"""What tests of tuning share: grainy shapes to learn from, and options that are quick."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

import shapes
from unseen.learning.tune.options import TuneOptions

LABELS = shapes.labels()[::5]  # 16, of all colours and shapes
EACH = 12
# So few pictures teach an adapter as much; whether it is beaten is tested by itself.
OPTIONS = TuneOptions(
    steps=36, batch=24, leash_batch=12, keep=0.85, refit=False, beat_adapter=False, seed=1
)


def options(**changes: object) -> TuneOptions:
    """`OPTIONS` with changes."""
    return TuneOptions(**{**vars(OPTIONS), **changes})  # type: ignore[arg-type]


def grainy(label: str, seed: int) -> Image.Image:
    noise = np.random.default_rng((seed, 5)).normal(0, 60, (64, 64, 3))
    picture = np.asarray(shapes.draw(shapes.scene(label), seed)) + noise
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def folder_of(folder: Path, labels: Sequence[str] = LABELS, each: int = EACH) -> Path:
    """Grainy pictures, a folder a label."""
    for label in labels:
        (folder / label.replace(" ", "_")).mkdir(parents=True)
        for seed in range(each):
            grainy(label, seed).save(folder / label.replace(" ", "_") / f"{seed}.png")
    return folder


def clean(folder: Path) -> Path:
    """120 pictures as the model was trained on, without labels."""
    folder.mkdir()
    for number, label in enumerate([*shapes.labels(), *shapes.labels()[::2]]):
        shapes.draw(shapes.scene(label), 500 + number).save(folder / f"{number}.png")
    return folder


def openclip_shapes(source: Path, folder: Path) -> Path:
    """The trained fixture as open_clip has it: the same weights under its names, saved by it."""
    import open_clip
    import torch

    import openclip_checkpoints

    config = json.loads((source / "config.json").read_text("utf-8"))
    vision, text = config["vision_config"], config["text_config"]
    model_config = {
        "embed_dim": config["projection_dim"],
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": vision["image_size"],
            "layers": vision["num_hidden_layers"],
            "width": vision["hidden_size"],
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
            "patch_size": vision["patch_size"],
        },
        "text_cfg": {
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            "width": text["hidden_size"],
            "heads": text["num_attention_heads"],
            "layers": text["num_hidden_layers"],
        },
    }
    weights = {n: a.astype(np.float32) for n, a in load_file(source / "model.safetensors").items()}
    model = open_clip.CLIP(**model_config)
    state = {name: torch.from_numpy(array) for name, array in _renamed(weights).items()}
    model.load_state_dict(state, strict=False)
    assert {*model.state_dict()} - {*state} <= {"attn_mask"}
    folder.mkdir()
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copyfile(source / name, folder / name)
    picture = json.loads((source / "preprocessor_config.json").read_text("utf-8"))
    preprocess = {"mean": picture["image_mean"], "std": picture["image_std"]}
    size = open_clip.transform.PreprocessCfg(size=vision["image_size"])
    open_clip.model.set_model_preprocess_cfg(model, vars(size))
    return openclip_checkpoints.save(folder, model.eval(), model_config, preprocess=preprocess)


def _renamed(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    state = {
        "logit_scale": weights["logit_scale"],
        "visual.conv1.weight": weights["vision_model.embeddings.patch_embedding.weight"],
        "visual.class_embedding": weights["vision_model.embeddings.class_embedding"],
        "visual.positional_embedding": weights["vision_model.embeddings.position_embedding.weight"],
        "visual.proj": weights["visual_projection.weight"].T.copy(),
        "token_embedding.weight": weights["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": weights["text_model.embeddings.position_embedding.weight"],
        "text_projection": weights["text_projection.weight"].T.copy(),
    }
    norms = {
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
        "ln_final": "text_model.final_layer_norm",
    }
    for tower, prefix in (("vision_model", "visual."), ("text_model", "")):
        start = f"{tower}.encoder.layers."
        for number in sorted(
            {n[len(start) :].split(".")[0] for n in weights if n.startswith(start)}
        ):
            ours, theirs = f"{prefix}transformer.resblocks.{number}", f"{start}{number}"
            norms |= {
                f"{ours}.ln_1": f"{theirs}.layer_norm1",
                f"{ours}.ln_2": f"{theirs}.layer_norm2",
                f"{ours}.attn.out_proj": f"{theirs}.self_attn.out_proj",
                f"{ours}.mlp.c_fc": f"{theirs}.mlp.fc1",
                f"{ours}.mlp.c_proj": f"{theirs}.mlp.fc2",
            }
            for kind in ("weight", "bias"):
                parts = [weights[f"{theirs}.self_attn.{p}_proj.{kind}"] for p in "qkv"]
                state[f"{ours}.attn.in_proj_{kind}"] = np.concatenate(parts)
    for ours, theirs in norms.items():
        for kind in ("weight", "bias"):
            state[f"{ours}.{kind}"] = weights[f"{theirs}.{kind}"]
    return state
