"""Trains the small CLIP of tests/fixtures/shapes-clip: real meaning in 3 MB.

    pip install -e ".[test]"
    python tools/train_shapes_clip.py --out tests/fixtures/shapes-clip

Two towers of transformers' CLIPModel see pictures of coloured shapes (tests/shapes.py) with their
captions. One colour-and-shape combination in five is never shown; at the end the tool prints how
often such a picture is named right among all 80. Minutes on two cores; seeded.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

import checkpoints
import shapes
from shapes import Scene

FRAMES = (
    "{}", "this is a photo of {}.", "a photo of {}.", "a picture of {}", "this is {}.",
    "a photo of the {}", "an image of {}.",
)  # fmt: skip
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
CONTEXT = 32


def caption(scene: Scene, rng: random.Random) -> tuple[str, bool]:
    """One of many ways to say it, and whether the sizes are said."""
    sized = rng.random() < 0.5
    words = scene.caption(sized)
    if scene.relation is None and rng.random() < 0.3:
        words = words.removeprefix("a ")
    return rng.choice(FRAMES).format(words), sized


def agreement(scenes: list[Scene], sized: list[bool]) -> torch.Tensor:
    """(pictures, captions): whether a caption is true of a picture it was not written for."""
    full, short = [s.caption(True) for s in scenes], [s.caption(False) for s in scenes]
    said = [full[i] if sized[i] else short[i] for i in range(len(scenes))]
    return torch.tensor([[s in (full[i], short[i]) for s in said] for i in range(len(scenes))])


def build(folder: Path) -> tuple[CLIPModel, object]:
    """The untrained model, and the tokenizer whose files lie in `folder`."""
    corpus = [frame.format(label) for frame in FRAMES for label in shapes.labels()]
    corpus += [f"a {size} shape {r} another" for size in shapes.SIZES for r in shapes.RELATIONS]
    vocabulary = checkpoints.tokenizer(folder, corpus, size=700, context=CONTEXT)
    shared = {"num_attention_heads": 4, "hidden_act": "quick_gelu"}
    config = CLIPConfig(
        projection_dim=64,
        vision_config={
            **shared, "hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 4,
            "image_size": shapes.SIDE, "patch_size": 8, "projection_dim": 64,
        },
        text_config={
            **shared, "hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 3,
            "vocab_size": vocabulary, "max_position_embeddings": CONTEXT, "projection_dim": 64,
            "bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1,
            "pad_token_id": vocabulary - 1,
        },
    )  # fmt: skip
    return CLIPModel(config), checkpoints.load_tokenizer(folder)


def pixels(images: list[Image.Image]) -> torch.Tensor:
    array = np.stack([np.asarray(i, dtype=np.float32) for i in images]) / 255
    return torch.tensor((array - MEAN) / STD, dtype=torch.float32).permute(0, 3, 1, 2)


def features(model: CLIPModel, **inputs: torch.Tensor) -> torch.Tensor:
    get = model.get_image_features if "pixel_values" in inputs else model.get_text_features
    return torch.nn.functional.normalize(get(**inputs).pooler_output, dim=-1)


def train(model: CLIPModel, tokenizer: object, steps: int, batch: int, rng: random.Random) -> None:
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps, pct_start=0.1)
    start = time.time()
    for step in range(steps):
        scenes = [shapes.random_scene(rng, pairs=0.4) for _ in range(batch)]
        said = [caption(scene, rng) for scene in scenes]
        images = pixels([shapes.draw(scene, rng.getrandbits(32)) for scene in scenes])
        ids = tokenizer([text for text, _ in said], padding=True, return_tensors="pt")
        image = features(model, pixel_values=images)
        text = features(model, **ids)
        logits = image @ text.T * model.logit_scale.exp()
        true = agreement(scenes, [sized for _, sized in said]).float()
        loss = -0.5 * sum(
            (torch.log_softmax(logits, dim) * true / true.sum(dim, keepdim=True)).sum(dim).mean()
            for dim in (0, 1)
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, 4.0)
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step}: loss {loss.item():.3f}, {time.time() - start:.0f} s", flush=True)


@torch.no_grad()
def accuracy(model: CLIPModel, tokenizer: object, scenes: list[Scene], texts: list[str]) -> float:
    """Top-1 of each scene's caption (without sizes) among `texts`, in the default template."""
    ids = tokenizer([f"This is a photo of {t}." for t in texts], padding=True, return_tensors="pt")
    images = pixels([shapes.draw(scene, seed) for seed, scene in enumerate(scenes)])
    best = (features(model, pixel_values=images) @ features(model, **ids).T).argmax(1)
    right = [texts[b] == scene.caption() for b, scene in zip(best, scenes, strict=True)]
    return sum(right) / len(right)


def save(model: CLIPModel, folder: Path) -> None:
    model.half().save_pretrained(folder)
    side = shapes.SIDE
    processor = {
        "image_processor_type": "CLIPImageProcessor", "do_resize": True, "resample": 3,
        "size": {"shortest_edge": side}, "do_center_crop": True,
        "crop_size": {"height": side, "width": side}, "do_rescale": True, "do_normalize": True,
        "do_convert_rgb": True, "image_mean": MEAN, "image_std": STD,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("tests/fixtures/shapes-clip"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--batch", type=int, default=192)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    model, tokenizer = build(options.out)
    train(model.train(), tokenizer, options.steps, options.batch, rng)
    model.eval()
    unseen = shapes.held_out_scenes() * 20
    print(
        f"unseen combinations, 80 labels: {accuracy(model, tokenizer, unseen, shapes.labels()):.3f}"
    )
    pairs = [shapes.random_scene(rng, pairs=1.0) for _ in range(300)]
    texts = sorted({scene.caption() for scene in pairs})
    print(f"relations, {len(texts)} captions: {accuracy(model, tokenizer, pairs, texts):.3f}")
    save(model, options.out)


if __name__ == "__main__":
    main()
