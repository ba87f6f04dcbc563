"""The image net on a CUDA device, bfloat16: unseen against transformers and open_clip, each eager
and compiled by torch.compile.

python benchmarks/gpu.py [--batch 256]

Random weights of the true sizes, the same for all. Everyone starts from uint8 pictures in host
memory and ends with float32 rows there; for the others too, pixels are normalised on the device,
which is faster than what their own processors do. All are timed in turn, A B C … A B C …, in one
run. Printed are the medians, the cosine between each one's rows and unseen's at its least, and,
for a card that is known here, the part of its bfloat16 peak.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from side_by_side import ROOT  # noqa: F401 - puts tests/ on the path: checkpoints is there

import unseen

ROUNDS = 15
Run = Callable[[Any], Any]  # uint8 (n, side, side, 3) → float32 (n, dimension), both numpy

# Dense bfloat16 FLOP/s by the name that the card gives; one that is not here has no line.
PEAKS = {
    r"NVIDIA (H200|H100 80GB HBM3)": 989e12,
    r"NVIDIA A100.*": 312e12,
    r"NVIDIA L4": 121e12,
    r"NVIDIA GeForce RTX 4090": 165e12,
}
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


@dataclass(frozen=True)
class Size:
    """One image net: open_clip's name of it, its shape, and what a picture costs."""

    open_clip: str
    shape: str  # of `checkpoints.SHAPES`
    layers: int
    width: int
    heads: int
    dimension: int
    flop: float


SIZES = {
    "B/32": Size("ViT-B-32-quickgelu", "B32", 12, 768, 12, 512, 8.8e9),
    "L/14": Size("ViT-L-14-quickgelu", "L14", 24, 1024, 16, 768, 162.0e9),
    "L/14-336": Size("ViT-L-14-336-quickgelu", "L14-336", 24, 1024, 16, 768, 381.9e9),
}


def checkpoint(folder: Path, size: Size) -> Path:
    """A CLIP with the image net of `size` and next to no text net, in Hugging Face format."""
    import checkpoints

    text = {"hidden_size": 64, "num_attention_heads": 1, "num_hidden_layers": 1}
    shape = {"width": size.width, "heads": size.heads, "dimension": size.dimension, "text": text}
    return checkpoints.clip(folder, size.shape, layers=size.layers, **shape)


def to_open_clip(weights: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """transformers' names and arrangement of the image net → those of open_clip's `visual`."""
    vision = {k.removeprefix("vision_model."): v for k, v in weights.items()}
    state = {
        "class_embedding": vision["embeddings.class_embedding"],
        "positional_embedding": vision["embeddings.position_embedding.weight"],
        "conv1.weight": vision["embeddings.patch_embedding.weight"],
        "proj": weights["visual_projection.weight"].T.contiguous(),
    }
    plain = {"ln_pre": "pre_layrnorm", "ln_post": "post_layernorm"}
    inner = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    for kind in ("weight", "bias"):
        state |= {f"{ours}.{kind}": vision[f"{theirs}.{kind}"] for ours, theirs in plain.items()}
        for i in range(layers):
            block, layer = f"transformer.resblocks.{i}", f"encoder.layers.{i}"
            for ours, theirs in inner.items():
                state[f"{block}.{ours}.{kind}"] = vision[f"{layer}.{theirs}.{kind}"]
            qkv = [vision[f"{layer}.self_attn.{p}_proj.{kind}"] for p in "qkv"]
            state[f"{block}.attn.in_proj_{kind}"] = torch.cat(qkv)
    return state


def subjects(folder: Path, size: Size, device: str) -> dict[str, Run]:
    """Everyone, by name, with the weights of `folder` on `device`."""
    import open_clip
    from transformers import CLIPModel

    from unseen.runtimes.torch import TorchNetwork

    clip = CLIPModel.from_pretrained(folder, dtype=torch.bfloat16).eval()
    visual = open_clip.create_model(size.open_clip, precision="bf16").visual.eval()
    visual.load_state_dict(to_open_clip(clip.state_dict(), size.layers))
    clip, visual = clip.to(device), visual.to(device)
    mean, std = (torch.tensor(c, device=device).view(1, 3, 1, 1) for c in (MEAN, STD))

    def transformers(x: torch.Tensor) -> torch.Tensor:
        return clip.get_image_features(pixel_values=x).pooler_output

    def theirs(embed: Callable[[torch.Tensor], torch.Tensor], *, compiled: bool = False) -> Run:
        def rows(x: torch.Tensor) -> torch.Tensor:
            x = ((x.permute(0, 3, 1, 2) / 255 - mean) / std).to(torch.bfloat16)
            return torch.nn.functional.normalize(embed(x).float(), dim=-1)

        on_device = torch.compile(rows) if compiled else rows

        @torch.inference_mode()
        def run(pictures: Any) -> Any:
            x = torch.from_numpy(pictures)
            x = (x.pin_memory() if device == "cuda" else x).to(device, non_blocking=True)
            return on_device(x).cpu().numpy()

        return run

    return {
        "unseen": TorchNetwork(unseen.load(folder).model.image_network(), device, torch.bfloat16),
        "transformers": theirs(transformers),
        "transformers, compiled": theirs(transformers, compiled=True),
        "open_clip": theirs(visual),
        "open_clip, compiled": theirs(visual, compiled=True),
    }


def measure(name: str, size: Size, batch: int, peak: float | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = subjects(checkpoint(Path(folder) / "clip", size), size, "cuda")
    side = 336 if size.shape.endswith("336") else 224
    pictures = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
    rows = {who: run(pictures) for who, run in runs.items()}  # compiles, too
    times: dict[str, list[float]] = {who: [] for who in runs}
    for turn in range(ROUNDS + 2):
        for who, run in runs.items():
            start = time.perf_counter()
            run(pictures)
            if turn > 1:
                times[who].append(time.perf_counter() - start)
    for who, taken in times.items():
        rate = batch / statistics.median(taken)
        cosine = float((rows[who] * rows["unseen"]).sum(1).min())
        part = f", {rate * size.flop / peak:.0%} of peak" if peak else ""
        print(f"{name}, batch {batch}, {who}: {rate:,.0f} images/s{part}, cosine {cosine:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--batch", type=int, default=256)
    batch = parser.parse_args().batch
    if not torch.cuda.is_available():
        sys.exit("This benchmark needs a CUDA device, and torch finds none here.")
    card = torch.cuda.get_device_name()
    peak = next((flops for known, flops in PEAKS.items() if re.fullmatch(known, card)), None)
    print(f"{card}, torch {torch.__version__}, bfloat16")
    for name, size in SIZES.items():
        measure(name, size, batch, peak)


if __name__ == "__main__":
    main()
