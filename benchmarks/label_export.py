"""What keeps near-duplicates together in `unseen label export`, measured on the photographs.

python benchmarks/label_export.py              # which cosine: copies against other photographs
python benchmarks/label_export.py --stability  # how many pictures one more picture moves
python benchmarks/label_export.py --scale 20000  # seconds of finding the groups
"""

from __future__ import annotations

import argparse
import io
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

import unseen
from unseen.datasets.splits import NAMES, NEAR, fractions, near_duplicates, split

PHOTOGRAPHS = Path(__file__).parent.parent / "tests" / "photographs"
THRESHOLDS = (0.8, 0.85, 0.88, 0.9, 0.92, 0.95, 0.98)
SHARES = fractions("80/10/10")


def saved(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def cropped(part: float) -> Callable[[Image.Image], Image.Image]:
    def crop(image: Image.Image) -> Image.Image:
        x, y = image.width * (1 - part) / 2, image.height * (1 - part) / 2
        return image.crop((round(x), round(y), round(image.width - x), round(image.height - y)))

    return crop


def resized(part: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize((round(image.width * part), round(image.height * part)))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved again, quality 70": lambda image: saved(image, 70),
    "saved again, quality 30": lambda image: saved(image, 30),
    "three quarters of the size": resized(0.75),
    "a third of the size": resized(1 / 3),
    "the middle 95 %": cropped(0.95),
    "the middle 90 %": cropped(0.9),
    "the middle 80 %": cropped(0.8),
    "a third brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.33),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "grey": lambda image: image.convert("L").convert("RGB"),
}


def encoded(encoder: unseen.Encoder, pictures: list[Image.Image]) -> NDArray[np.float32]:
    return np.asarray(encoder.encode_images(pictures), dtype=np.float32)


def threshold() -> None:
    paths = sorted(PHOTOGRAPHS.rglob("*.jpg"))
    originals = [Image.open(path).convert("RGB") for path in paths]
    encoder = unseen.load().encoder
    vectors = encoded(encoder, originals)
    print(f"{len(paths)} photographs, the built-in model; part of the copies at or above a cosine")
    print(f"{'':28}{'least':>7}{'median':>8}" + "".join(f"{t:>7}" for t in THRESHOLDS))
    for name, change in COPIES.items():
        cosines = (vectors * encoded(encoder, [change(image) for image in originals])).sum(1)
        parts = "".join(f"{(cosines >= t).mean():7.0%}" for t in THRESHOLDS)
        print(f"{name:28}{cosines.min():7.3f}{np.median(cosines):8.3f}{parts}")
    products = vectors @ vectors.T
    one, other = np.triu_indices(len(paths), 1)
    cosines = products[one, other]
    same = np.array([paths[a].parent == paths[b].parent for a, b in zip(one, other, strict=True)])
    for name, own in (("same label", cosines[same]), ("another label", cosines[~same])):
        counts = "".join(f"{(own >= t).sum():7}" for t in THRESHOLDS)
        print(f"{f'pairs of {name} ({len(own)})':28}{own.max():7.3f}{np.median(own):8.3f}{counts}")
    largest = [max(Counter(near_duplicates(vectors, t).tolist()).values()) for t in THRESHOLDS]
    print(f"{'the largest group':43}" + "".join(f"{size:7}" for size in largest))
    for place in np.argsort(-cosines)[:5]:
        a, b = paths[one[place]], paths[other[place]]
        print(f"  {cosines[place]:.3f} {a.parent.name}/{a.name} {b.parent.name}/{b.name}")


def stability(pictures: int = 1000, labels: int = 20, trials: int = 50) -> None:
    """Made-up ids, a tenth of them in pairs: how many change their split when one is added."""
    rng = random.Random(0)
    ids = [f"{rng.getrandbits(128):032x}" for _ in range(pictures + trials)]
    named = [f"label {int(rng.random() ** 2 * labels)}" for _ in ids]
    groups = [i // 2 if i < pictures // 10 else i + len(ids) for i in range(len(ids))]
    before = split(ids[:pictures], named[:pictures], groups[:pictures], SHARES).of
    moved = []
    for extra in range(pictures, pictures + trials):
        chosen = [*range(pictures), extra]
        after = split(*([row[i] for i in chosen] for row in (ids, named, groups)), SHARES).of
        moved.append(sum(before[id] != after[id] for id in before))
    print(
        f"{pictures} pictures of {labels} labels, one more: {np.median(moved):.0f} of them change "
        f"their split (median of {trials}; most: {max(moved)})"
    )
    counts = Counter(before.values())
    print(", ".join(f"{name} {counts[name]}" for name in NAMES))


def scale(count: int, dimension: int = 512) -> None:
    """Random vectors, every tenth one nearly that before it."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((count, dimension), dtype=np.float32)
    vectors[9::10] = vectors[8::10][: len(vectors[9::10])]
    vectors[9::10] += 0.1 * rng.standard_normal(vectors[9::10].shape, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    start = time.perf_counter()
    groups = near_duplicates(vectors, NEAR)
    seconds = time.perf_counter() - start
    print(f"{count:,} vectors: {len(np.unique(groups)):,} groups, {seconds:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stability", action="store_true")
    parser.add_argument("--scale", type=int, metavar="PICTURES")
    given = parser.parse_args()
    if given.stability:
        stability()
    elif given.scale:
        scale(given.scale)
    else:
        threshold()


if __name__ == "__main__":
    main()
