"""The image net alone: ours against torch eager in fp32, same weights, same threads.

    python benchmarks/tower.py                                  # B/32, all cores
    python benchmarks/tower.py --precision int8
    python benchmarks/tower.py --threads 1 --model EVA02-B-16   # an architecture of open_clip's
    python benchmarks/tower.py --threads 1 --model all          # those of `MODELS`, a line each

Weights are random, of the true size; the text nets are small. Theirs is open_clip with timm, or
transformers for `naflex-b16` and `tipsv2-b14`; FastViT's branches are joined first, as its authors
do for use (`reparameterize_model` of timm). Both are timed in turn, and the ratio is that of the
medians. With one thread it is the processor's time, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from side_by_side import b32
from torch.utils.flop_counter import FlopCounterMode

import broken_torchvision

broken_torchvision.mend()  # before the libraries that import it

import limits  # noqa: E402
import open_clip  # noqa: E402
from open_clip.model import set_model_preprocess_cfg  # noqa: E402
from open_clip.transform import PreprocessCfg  # noqa: E402
from timm.utils import reparameterize_model  # noqa: E402
from transformers import CLIPModel, Siglip2Model, Tipsv2Model  # noqa: E402

import checkpoints  # noqa: E402
import hf_newer_checkpoints  # noqa: E402
import openclip_checkpoints  # noqa: E402
import unseen  # noqa: E402
from unseen.system.cpu import usable  # noqa: E402

TEXT = {"width": 48, "heads": 3, "layers": 2}
BASE = {
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
}
MODELS = (
    *("ViT-B-32", "PE-Core-S-16-384", "EVA02-B-16", "convnext_base_w", "MobileCLIP2-S0"),
    *("MobileCLIP2-B", "ViTamin-S", "coca_ViT-B-32", "naflex-b16", "tipsv2-b14"),
)
Run = Callable[[], object]


def openai(folder: Path, batch: int) -> tuple[Path, Run]:
    """transformers' CLIP B/32, made once for all benchmarks."""
    model = CLIPModel.from_pretrained(b32(), dtype=torch.float32).eval()
    pixels = torch.randn(batch, 3, 224, 224)
    return b32(), lambda: model.get_image_features(pixel_values=pixels)


def of_open_clip(name: str, folder: Path, batch: int) -> tuple[Path, Run]:
    """An architecture of open_clip's, saved for ours to read."""
    config = open_clip.get_model_config(name)
    if config is None:
        raise SystemExit(f"open_clip has no architecture {name!r}; or: {', '.join(MODELS)}.")
    words = checkpoints.tokenizer(folder)
    config["text_cfg"] |= {**TEXT, "vocab_size": words}
    if "multimodal_cfg" in config:
        config["multimodal_cfg"] |= {"width": 48, "heads": 3, "layers": 1}
    # As open_clip begins a training: other random weights make a deep net overflow.
    custom = config.get("custom_text")
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    kind = open_clip.CoCa if "multimodal_cfg" in config else kind
    torch.manual_seed(0)
    model = kind(**{key: value for key, value in config.items() if key != "custom_text"}).eval()
    set_model_preprocess_cfg(model, asdict(PreprocessCfg()))
    openclip_checkpoints.save(folder, model, config)
    model = reparameterize_model(model).eval()
    size = model.visual.image_size
    height, width = size if isinstance(size, tuple) else (size, size)
    pixels = torch.randn(batch, 3, height, width)
    return folder, lambda: model.encode_image(pixels)


def naflex(folder: Path, batch: int) -> tuple[Path, Run]:
    """SigLIP 2 NaFlex, 256 patches of a square picture."""
    hf_newer_checkpoints.naflex(folder, sizes={**BASE, "hidden_act": "gelu_pytorch_tanh"})
    model = Siglip2Model.from_pretrained(folder, dtype=torch.float32).eval()
    inputs = {
        "pixel_values": torch.randn(batch, 256, 768),
        "pixel_attention_mask": torch.ones(batch, 256, dtype=torch.int32),
        "spatial_shapes": torch.full((batch, 2), 16),
    }
    return folder, lambda: model.get_image_features(**inputs)


def tips(folder: Path, batch: int) -> tuple[Path, Run]:
    """TIPS v2, 448 pixels a side."""
    hf_newer_checkpoints.tips(folder, sizes={**BASE, "image_size": 448})
    model = Tipsv2Model.from_pretrained(folder, dtype=torch.float32).eval()
    pixels = torch.randn(batch, 3, 448, 448)
    return folder, lambda: model.get_image_features(pixel_values=pixels)


OTHERS: dict[str, Callable[[Path, int], tuple[Path, Run]]] = {
    "openai-b32": openai,
    "naflex-b16": naflex,
    "tipsv2-b14": tips,
}


def measured(
    name: str, *, precision: str, batch: int, threads: int | None, rounds: int
) -> tuple[float, float, float]:
    """Median seconds of a picture, theirs and ours, and its operations as torch counts them."""
    torch.set_num_threads(threads or usable())
    clock = time.process_time if threads == 1 else time.perf_counter
    with tempfile.TemporaryDirectory() as work:
        made = OTHERS[name](Path(work), batch) if name in OTHERS else None
        folder, eager = made or of_open_clip(name, Path(work), batch)
        encoder = unseen.load(folder, precision=precision, threads=threads).encoder
        side = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
        picture = encoder.model.preprocess(Image.fromarray(side))
        inputs: Any = encoder.model.image_inputs([picture] * batch)
        with torch.inference_mode():
            with FlopCounterMode(display=False) as counter:
                eager()
            times = in_turn((eager, lambda: encoder._image(*inputs)), rounds, clock)
    return times[0] / batch, times[1] / batch, counter.get_total_flops() / batch


def in_turn(runs: tuple[Run, ...], rounds: int, clock: Callable[[], float]) -> list[float]:
    """Median seconds of each, one after another in each round, after one warm-up."""
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(rounds + 1):
        for run, kept in zip(runs, times, strict=True):
            start = clock()
            run()
            if turn:
                kept.append(clock() - start)
    return [median(kept) for kept in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--model", default="openai-b32", help=f"all, or one: {', '.join(MODELS)}")
    parser.add_argument("--threads", type=int, help="of both; by default a processor each")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15)
    options = vars(parser.parse_args())
    model = options.pop("model")
    for name in MODELS if model == "all" else (model,):
        theirs, ours, operations = measured(name, **options)
        print(
            f"{name:18} {options['precision']}: theirs {1 / theirs:7.2f} images/s, ours "
            f"{1 / ours:7.2f} images/s, ratio {theirs / ours:.2f}; ours, "
            + limits.share(operations / ours, options["precision"], options["threads"] or usable()),
            flush=True,
        )


if __name__ == "__main__":
    main()
