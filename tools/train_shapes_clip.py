"""Trains the small CLIP of tests/fixtures/shapes-clip: a real model of two megabytes.

    pip install -e ".[test]"
    python tools/train_shapes_clip.py --out tests/fixtures/shapes-clip

Both towers of transformers' CLIPModel learn from pictures of coloured shapes (tests/shapes.py) and
their captions. One colour-and-shape combination in five is never shown and never named. At the end
the saved checkpoint is read back by transformers and measured on those; the measurements are
printed and written into its MODEL_CARD.md. Minutes on two cores; seeded.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import checkpoints
import shapes
from shapes import Scene

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = "This is a photo of {}."
FRAMES = (
    DEFAULT, DEFAULT, "{}", "a photo of {}", "a photo of {}.", "a picture of {}", "an image of {}",
    "this is {}.", "there is {} in this picture.",
)  # fmt: skip
# The ready-made prompts of the product, less those that say something about colour, size or number.
PROMPTS = [
    prompt
    for prompts in json.loads((ROOT / "src/unseen/data/templates.json").read_text()).values()
    for prompt in prompts
    if not {"black", "large", "small", "many"} & {*prompt.split()}
]
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]

CARD = """\
# shapes-clip

A small CLIP that knows ten colours, eight shapes, two sizes and four relations: "a red circle",
"a small red circle left of a blue square". It is there for tests, which need a model whose answers
mean something; it is of no use on photographs.

- Architecture: CLIPModel of transformers. Vision: {vision} layers, patch {patch}, {side} px. Text:
  {text} layers, {vocabulary} byte-pair tokens. Width {width}, {parameters} parameters, in float16.
- Made by `tools/train_shapes_clip.py --seed {seed} --steps {steps} --batch {batch}`: contrastive
  training from random weights on pictures that `tests/shapes.py` draws, nothing else. {minutes}
- Never shown and never named in training: {held_out}.
- Licence: Apache-2.0, as the project.

Measured on {side} px pictures that were not trained on, in the template "{template}"; the best
caption is counted as right if it is true of the picture:

| what | right |
| --- | --- |
{table}
"""


def sentence(caption: str, rng: random.Random) -> str:
    """One of many ways to write a caption; some leave the first article out."""
    words = caption.removeprefix("a ") if rng.random() < 0.35 else caption
    return rng.choice(PROMPTS if rng.random() < 0.25 else FRAMES).format(words)


def near_misses(scene: Scene) -> list[str]:
    """Untrue captions that differ from a pair's true one in a relation or in who has what."""
    first, second = scene.things
    swaps = [
        (replace(first, colour=second.colour), replace(second, colour=first.colour)),
        (replace(first, size=second.size), replace(second, size=first.size)),
    ]
    wrong = [Scene(scene.things, relation) for relation in shapes.RELATIONS]
    # A held-out combination is not even named: the model would learn that it never is the answer.
    wrong += [Scene(s, scene.relation) for s in swaps if not any(thing.held_out for thing in s)]
    return sorted({said for slip in wrong for said in slip.readings()} - scene.readings())


def build(folder: Path) -> tuple[CLIPModel, CLIPTokenizer]:
    """The untrained model, and the tokenizer, whose files it writes into `folder`."""
    corpus = [frame.format(label) for frame in FRAMES for label in shapes.labels()]
    corpus += [f"a {size} thing {r} a thing" for size in shapes.SIZES for r in shapes.RELATIONS]
    size = checkpoints.tokenizer(folder, corpus + PROMPTS, size=1000)
    tokenizer = checkpoints.load_tokenizer(folder)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    names = ("bos_token", "eos_token", "unk_token", "pad_token")
    write_json(folder / "special_tokens_map.json", {n: getattr(tokenizer, n) for n in names})
    shared = {
        "hidden_size": 96, "intermediate_size": 384, "num_attention_heads": 4, "projection_dim": 64,
        "hidden_act": "quick_gelu",
    }  # fmt: skip
    text = {
        **shared, "num_hidden_layers": 3, "vocab_size": size, "max_position_embeddings": 77,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    vision = {**shared, "num_hidden_layers": 4, "image_size": shapes.SIDE, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=64)
    return CLIPModel(config), tokenizer


def pixels(images: Sequence[Image.Image]) -> torch.Tensor:
    """As the image processor makes them of pictures that have the model's size already."""
    array = np.stack([np.asarray(image, dtype=np.float32) for image in images]) / 255
    return torch.tensor((array - MEAN) / STD, dtype=torch.float32).permute(0, 3, 1, 2)


def loss_of(
    model: CLIPModel, tokenizer: CLIPTokenizer, size: int, rng: random.Random
) -> torch.Tensor:
    """The contrastive loss of one batch; each caption counts for every picture it is true of."""
    scenes = [shapes.random_scene(rng, pairs=0.45) for _ in range(size)]
    readings = [scene.readings() for scene in scenes]
    said = [rng.choice(sorted(r)) for r in readings]  # sorted: sets have no order of their own
    said += [rng.choice(near_misses(scene)) for scene in scenes if scene.relation]
    true = torch.tensor([[caption in r for caption in said] for r in readings]).float()
    ids = tokenizer([sentence(s, rng) for s in said], padding=True, return_tensors="pt")
    images = [shapes.draw(scene, rng.getrandbits(32)) for scene in scenes]
    logits = model(**ids, pixel_values=pixels(images)).logits_per_image
    of_picture = (logits.log_softmax(1) * true).sum(1) / true.sum(1)
    named = true.sum(0) > 0  # a near miss is true of no picture
    of_caption = ((logits.log_softmax(0) * true).sum(0) / true.sum(0).clamp(min=1))[named]
    return -(of_picture.mean() + of_caption.mean()) / 2


def train(model: CLIPModel, tokenizer: CLIPTokenizer, steps: int, batch: int, seed: int) -> None:
    rng = random.Random(seed)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps, pct_start=0.1)
    start = time.monotonic()
    for step in range(1, steps + 1):
        loss = loss_of(model, tokenizer, batch, rng)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=4.0)
        if step % 100 == 0:
            print(f"step {step}: loss {loss:.3f}, {time.monotonic() - start:.0f} s", flush=True)


class Judge:
    """The saved checkpoint, read and run by transformers from end to end."""

    def __init__(self, folder: Path) -> None:
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(folder)
        self.processor = CLIPImageProcessorPil.from_pretrained(folder)

    @torch.no_grad()
    def best(self, images: list[Image.Image], captions: Sequence[str]) -> list[int]:
        """Of each picture, the caption that scores best in the default template."""
        texts = [DEFAULT.format(caption) for caption in captions]
        inputs = {
            **self.tokenizer(texts, padding=True, return_tensors="pt"),
            **self.processor(images, return_tensors="pt"),
        }
        return self.model(**inputs).logits_per_image.argmax(1).tolist()

    def accuracy(
        self, scenes: Sequence[Scene], captions: Sequence[str], *, bare: bool = False
    ) -> float:
        """How often the best caption is true. `bare`: captions are put without their article."""
        images = [shapes.draw(scene, seed) for seed, scene in enumerate(scenes)]
        put = [c.removeprefix("a ") if bare else c for c in captions]
        best = [captions[i] for i in self.best(images, put)]
        return float(np.mean([b in s.readings() for b, s in zip(best, scenes, strict=True)]))


def measure(folder: Path) -> dict[str, float]:
    judge, rng, labels = Judge(folder), random.Random(1), shapes.labels()
    sized = [label.replace("a ", f"a {size} ", 1) for label in labels for size in shapes.SIZES]
    everything = [shapes.parse(caption) for caption in sized]
    unseen = [scene for scene in everything if scene.things[0].held_out] * 25
    seen = [scene for scene in everything if not scene.things[0].held_out] * 5
    results = {
        "held-out combinations, 80 labels": judge.accuracy(unseen, labels),
        "the same, labels without an article": judge.accuracy(unseen, labels, bare=True),
        "the same, labels with sizes (160)": judge.accuracy(unseen, sized),
        "seen combinations, 80 labels": judge.accuracy(seen, labels),
    }
    for name, held_out in (("seen", False), ("held-out", True)):
        pairs = [shapes.random_scene(rng, pairs=1, held_out=held_out) for _ in range(400)]
        captions = sorted({min(pair.readings(), key=len) for pair in pairs})
        results[f"two {name} things, {len(captions)} captions"] = judge.accuracy(pairs, captions)
        # The hard part alone: the same two things in each of the four relations.
        right = [
            judge.accuracy([p], [Scene(p.things, r).caption() for r in shapes.RELATIONS])
            for p in pairs
        ]
        results[f"two {name} things, which of the 4 relations"] = float(np.mean(right))
    return results


def save(model: CLIPModel, folder: Path) -> None:
    model.half().save_pretrained(folder)
    side = shapes.SIDE
    processor = {
        "image_processor_type": "CLIPImageProcessor", "do_convert_rgb": True, "do_resize": True,
        "size": {"shortest_edge": side}, "resample": 3, "do_center_crop": True,
        "crop_size": {"height": side, "width": side}, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": MEAN, "image_std": STD,
    }  # fmt: skip
    write_json(folder / "preprocessor_config.json", processor)


def write_card(model: CLIPModel, options: argparse.Namespace, minutes: float) -> None:
    """Measures the saved checkpoint; prints the numbers and writes them down with the rest."""
    rows = [f"| {name} | {100 * value:.1f} % |" for name, value in measure(options.out).items()]
    text, vision = model.config.text_config, model.config.vision_config
    card = CARD.format(
        vision=vision.num_hidden_layers, patch=vision.patch_size, side=vision.image_size,
        text=text.num_hidden_layers, vocabulary=text.vocab_size, width=text.hidden_size,
        parameters=f"{sum(p.numel() for p in model.parameters()):,}", seed=options.seed,
        steps=options.steps, batch=options.batch, minutes=f"{minutes:.0f} minutes on two cores.",
        held_out=", ".join(sorted(" ".join(pair) for pair in shapes.HELD_OUT)), template=DEFAULT,
        table="\n".join(rows),
    )  # fmt: skip
    (options.out / "MODEL_CARD.md").write_text(card, "utf-8")
    print("\n".join(rows))


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "tests/fixtures/shapes-clip")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=192)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    torch.set_num_threads(2)
    start = time.monotonic()
    model, tokenizer = build(options.out)
    train(model.train(), tokenizer, options.steps, options.batch, options.seed)
    save(model, options.out)
    write_card(model, options, minutes=(time.monotonic() - start) / 60)


if __name__ == "__main__":
    main()
