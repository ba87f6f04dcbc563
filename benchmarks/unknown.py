"""None of these: which score tells pictures of the labels from others, and by which threshold.

    python benchmarks/unknown.py            # about half a minute

Each line is the mean over 20 random subsets of the labels, with the standard deviation over them;
pictures of the other labels are *near*, everything else is *far*. AUROC in percent; FPR95: the part
of the unknown pictures that passes where 95 % of the known ones do. Then: one threshold for all
models, chosen on one (the best mean of the two parts that are right) and used for the other as it
is. Last: what the threshold in use keeps and lets pass.
"""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import unseen
from unseen.prediction.open_set import ReferenceSet, evidence
from unseen.prediction.prediction import LEAST_EVIDENCE

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import shapes  # noqa: E402

DRAWS = 20
WORDS = ["invoice", "total", "report", "meeting", "please", "attached", "number", "section"]


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """The chance that a known picture has the higher score; ties count half."""
    every = np.concatenate([known, unknown])
    _, place, count = np.unique(every, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    n, m = len(known), len(unknown)
    return float((rank[:n].sum() - n * (n + 1) / 2) / (n * m))


def fpr95(known: np.ndarray, unknown: np.ndarray) -> float:
    return float((unknown >= np.quantile(known, 0.05)).mean())


# scores: (pictures, labels, ground, scale) → higher is more known


def _log_sum(rows: np.ndarray) -> np.ndarray:
    top = rows.max(1, keepdims=True)
    return np.log(np.exp(rows - top).sum(1)) + top[:, 0]


def max_softmax(x, labels, ground, scale):
    logits = scale * (x @ labels.T)
    return np.exp(logits.max(1) - _log_sum(logits))


def bank_softmax(x, labels, ground, scale):
    logits = scale * np.hstack([x @ labels.T, x @ ground.concepts.T])
    return scale * (x @ labels.T).max(1) - _log_sum(logits)


def z_bank(x, labels, ground, scale):
    bank = x @ ground.concepts.T
    return ((x @ labels.T).max(1) - bank.mean(1)) / bank.std(1)


def z_nothing(x, labels, ground, scale):
    usual = (ground.nothing @ labels.T).max(1)
    return ((x @ labels.T).max(1) - usual.mean()) / usual.std()


SCORES: dict[str, Callable[..., np.ndarray]] = {
    "max cosine": lambda x, labels, ground, scale: (x @ labels.T).max(1),
    "max softmax": max_softmax,
    "energy": lambda x, labels, ground, scale: _log_sum(scale * (x @ labels.T)) / scale,
    "softmax with bank": bank_softmax,
    "bank margin": lambda x, labels, ground, scale: (
        (x @ labels.T).max(1) - (x @ ground.concepts.T).max(1)
    ),
    "z, bank": z_bank,
    "z, nothing": z_nothing,
    "evidence": lambda x, labels, ground, scale: evidence(x, labels, ground),
}
ONE_THRESHOLD = ("max cosine", "z, bank", "z, nothing", "evidence")


# pictures


def textures(count: int, side: int = 256) -> Iterator[Image.Image]:
    """Stripes, checks, blobs, plain colours: none is of the kind that `ReferenceSet` has."""
    for number in range(count):
        rng = np.random.default_rng([number, 9])
        colours, across = rng.integers(0, 256, (2, 3)), np.arange(side)
        width = int(rng.integers(8, 40))
        turn = rng.uniform(0, np.pi)
        wave = across[None] * np.cos(turn) + across[:, None] * np.sin(turn)
        kinds = [
            np.sin(2 * np.pi * wave / width) > 0,
            (across[None] // width + across[:, None] // width) % 2,
            np.hypot(*np.meshgrid(across % (2 * width) - width, across % (2 * width) - width))
            < width * 0.6,
            np.zeros((side, side)),
        ]
        yield Image.fromarray(colours[kinds[number % 4].astype(int)].astype(np.uint8))


def texts(count: int, side: int = 320) -> Iterator[Image.Image]:
    """A page of words."""
    for number in range(count):
        rng = random.Random(number)
        image = Image.new("RGB", (side, side), "white")
        font = ImageFont.load_default(rng.choice([12, 16, 22, 30]))
        for y in range(10, side - 20, int(font.size * 1.4)):
            line = " ".join(rng.choice(WORDS) for _ in range(12))
            ImageDraw.Draw(image).text((10, y), line, fill="black", font=font)
        yield image


@dataclass
class World:
    """A model, labels, pictures of them, and pictures of none of them."""

    name: str
    scale: float
    ground: ReferenceSet
    labels: np.ndarray
    images: np.ndarray
    truth: np.ndarray
    far: dict[str, np.ndarray]
    sizes: tuple[int, ...]


def worlds() -> list[World]:
    files = sorted((ROOT / "tests" / "photographs").glob("*/*.jpg"))
    named = [file.parent.name.replace("_", " ") for file in files]
    small = unseen.load(ROOT / "tests" / "fixtures" / "shapes-clip")
    labels = shapes.labels()
    each = 6
    drawn = [shapes.draw(shapes.scene(la), 50_000 + s) for la in labels for s in range(each)]
    both = [*textures(80)], [*texts(60)]
    builtin = unseen.load()
    photo_labels = sorted(set(named))
    return [
        World(
            "shapes",
            small.model.score.scale,
            small.reference_set(),
            small.compile(labels).matrix,
            small.encode_images(drawn),
            np.repeat(np.arange(len(labels)), each),
            {
                "photographs": small.encode_images(files),
                "textures": small.encode_images(both[0]),
                "text": small.encode_images(both[1]),
            },
            (5, 20, 40),
        ),
        World(
            "built-in",
            builtin.model.score.scale,
            builtin.reference_set(),
            builtin.compile(photo_labels).matrix,
            builtin.encode_images(files),
            np.array([photo_labels.index(name) for name in named]),
            {
                "shapes": builtin.encode_images(drawn[::4]),
                "textures": builtin.encode_images(both[0]),
                "text": builtin.encode_images(both[1]),
            },
            (5, 20, 35),
        ),
    ]


Case = tuple[str, str, dict[str, tuple[np.ndarray, np.ndarray]]]  # world, kind, score → both


def cases(world: World) -> Iterator[Case]:
    for size in world.sizes:
        for draw in range(DRAWS):
            chosen = np.random.default_rng([draw, size]).choice(
                len(world.labels), size, replace=False
            )
            known = np.isin(world.truth, chosen)
            others = {"other labels": world.images[~known], **world.far}
            for kind, rows in others.items():
                both = {
                    name: tuple(
                        score(x, world.labels[chosen], world.ground, world.scale)
                        for x in (world.images[known], rows)
                    )
                    for name, score in SCORES.items()
                }
                yield world.name, f"{size} labels, {kind}", both


def right(pair: tuple[np.ndarray, np.ndarray], threshold: float) -> float:
    """The mean of the part of the known that is kept and the part of the others that is not."""
    return float(((pair[0] >= threshold).mean() + (pair[1] < threshold).mean()) / 2)


def main() -> None:
    warnings.simplefilter("ignore")
    every = [case for world in worlds() for case in cases(world)]
    kinds = [*dict.fromkeys((world, kind) for world, kind, _ in every)]
    for title, measure in (("AUROC", auroc), ("FPR95", fpr95)):
        print(f"\n| {title}, % | {' | '.join(SCORES)} |\n|---|{'---|' * len(SCORES)}")
        for world, kind in kinds:
            mine = [both for w, k, both in every if (w, k) == (world, kind)]
            cells = []
            for name in SCORES:
                values = [100 * measure(*both[name]) for both in mine]
                cells.append(f"{np.mean(values):.0f} ± {np.std(values):.0f}")
            print(f"| {world}: {kind} | {' | '.join(cells)} |")
    print("\n| score | chosen on | threshold | right there | right on the other | best there |")
    print("|---|---|---|---|---|---|")
    grid = np.round(np.arange(-1, 6.01, 0.1), 1)
    for name in ONE_THRESHOLD:
        curves = {
            world: np.array(
                [np.mean([right(b[name], t) for w, _, b in every if w == world]) for t in grid]
            )
            for world in ("shapes", "built-in")
        }
        for here, there in (("shapes", "built-in"), ("built-in", "shapes")):
            best = int(curves[here].argmax())
            print(
                f"| {name} | {here} | {grid[best]} | {curves[here][best]:.1%} "
                f"| {curves[there][best]:.1%} | {curves[there].max():.1%} |"
            )
    print(f"\n| evidence ≥ {LEAST_EVIDENCE} | known kept | unknown passed |\n|---|---|---|")
    for world, kind in kinds:
        mine = [both["evidence"] for w, k, both in every if (w, k) == (world, kind)]
        kept, passed = ([100 * (pair[i] >= LEAST_EVIDENCE).mean() for pair in mine] for i in (0, 1))
        print(
            f"| {world}: {kind} | {np.mean(kept):.0f} ± {np.std(kept):.0f} "
            f"| {np.mean(passed):.0f} ± {np.std(passed):.0f} |"
        )


if __name__ == "__main__":
    main()
