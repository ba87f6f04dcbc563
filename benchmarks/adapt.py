"""Zero-shot against adapters made of 1 to 16 pictures a label (src/unseen/adapt.py).

    python benchmarks/adapt.py                          # accuracy, about ten minutes
    python benchmarks/adapt.py --plot docs/adapt.svg    # and the plot of it
    python benchmarks/adapt.py --some                   # which labels have pictures, and which not
    python benchmarks/adapt.py --time                   # seconds to make one

Each line is so many draws of examples; what is classified was never an example. `gain` is in points
of top-1 with its 95 % interval over the draws (Student's t), `worst` the worst draw. `kept`: in how
many draws zero-shot was kept. `says`: the mean probability of the answers, zero-shot's and then the
adapter's, which should be as large as the part of them that is right.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import t as student

import unseen
from unseen.labels.compiled import CompiledLabels
from unseen.learning.adapt import fit_adapter
from unseen.models.model import Score
from unseen.prediction.adapter import ZERO_SHOT
from unseen.prediction.score import single_label

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "benchmarks")]

from transductive import blurred, grainy, tinted  # noqa: E402

import shapes  # noqa: E402

SHOTS = (1, 2, 4, 8, 16)
DRAWS = 10
DRAWS_OF_80 = 5  # of the collections with 80 labels, which take longer
POOL, TEST = 20, 20  # pictures of a label to draw examples from, and to classify

SPOILED: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "as trained on": lambda image, rng: image,
    "blurred": blurred,
    "tinted": tinted,
    "grainy": grainy,
}


@dataclass(frozen=True)
class Draw:
    """Examples and what is classified: embeddings, and the places of their labels."""

    examples: np.ndarray
    owners: np.ndarray
    images: np.ndarray
    truth: np.ndarray


def of_shapes(
    labels: list[str], names: tuple[str, ...] = (*SPOILED,)
) -> Iterator[tuple[str, CompiledLabels, Callable[[int, int], Draw]]]:
    """The trained fixture on spoiled pictures of shapes."""
    classifier = unseen.load(ROOT / "tests" / "fixtures" / "shapes-clip")
    compiled = classifier.compile(labels)
    each = POOL + TEST
    truth = np.repeat(np.arange(len(labels)), each)
    pool = np.tile(np.arange(each) < POOL, len(labels))
    for name in names:
        rng = np.random.default_rng(0)
        rows = classifier.encode_images(
            SPOILED[name](shapes.draw(shapes.scene(label), 30_000 + seed), rng)
            for label in labels
            for seed in range(each)
        )

        def draw(shots: int, seed: int, rows: np.ndarray = rows) -> Draw:
            rng = np.random.default_rng(seed)
            chosen = np.concatenate(
                [
                    rng.choice(np.flatnonzero(pool & (truth == label)), shots, replace=False)
                    for label in range(len(labels))
                ]
            )
            return Draw(rows[chosen], truth[chosen], rows[~pool], truth[~pool])

        yield f"{len(labels)} shapes, {name}", compiled, draw


def of_photographs() -> Iterator[tuple[str, CompiledLabels, Callable[[int, int], Draw]]]:
    """The built-in model on tests/photographs: labels with at least two and three.

    One photograph of each label at least is left to be classified, so a label of two has one
    example, however many are asked for. From 8 on they are filled up with random crops of the
    examples, mirrored or not: no new photographs.
    """
    classifier = unseen.load()
    files = sorted((ROOT / "tests" / "photographs").glob("*/*.jpg"))
    names = [file.parent.name.replace("_", " ") for file in files]
    labels = sorted(set(names))
    truth = np.array([labels.index(name) for name in names])
    wanted = np.flatnonzero(np.bincount(truth)[truth] >= 2)
    views = classifier.encode_images(view for i in wanted for view in _views(files[i]))
    views = views.reshape(len(wanted), -1, views.shape[1])
    truth = truth[wanted]
    count = np.bincount(truth, minlength=len(labels))
    for least in (2, 3):
        chosen = np.flatnonzero(count >= least)
        inside = np.isin(truth, chosen)
        compiled = classifier.compile([labels[i] for i in chosen])
        mine, place = views[inside], np.searchsorted(chosen, truth[inside])

        def draw(shots: int, seed: int, mine: np.ndarray = mine, place: np.ndarray = place) -> Draw:
            rng = np.random.default_rng(seed)
            examples, owners, rest = [], [], np.ones(len(place), dtype=bool)
            for label in range(place.max() + 1):
                own = rng.permutation(np.flatnonzero(place == label))
                own = own[: min(shots, len(own) - 1)]
                rest[own] = False
                shown = [mine[i, 0] for i in own]
                while 8 <= shots > len(shown):
                    shown.append(mine[rng.choice(own), rng.integers(1, mine.shape[1])])
                examples += shown
                owners += [label] * len(shown)
            return Draw(np.array(examples), np.array(owners), mine[rest, 0], place[rest])

        yield (
            f"photographs, {len(chosen)} labels",
            compiled,
            draw,
        )


def _views(file: Path) -> Iterator[Image.Image]:
    """The photograph, and sixteen crops of 60 to 100 % of its sides."""
    image = unseen.open_image(file)
    yield image
    rng = np.random.default_rng(0)
    for _ in range(16):
        part = rng.uniform(0.6, 1.0)
        width, height = (round(part * side) for side in image.size)
        x, y = (rng.integers(0, a - b + 1) for a, b in zip(image.size, (width, height)))  # noqa: B905
        crop = image.crop((x, y, x + width, y + height))
        yield crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


def accuracy(plot: Path | None) -> None:
    print(
        f"{'pictures':40} {'shots':>5} {'zero-shot':>9} {'adapted':>7} {'gain':>6} {'95 %':>16} "
        f"{'worst':>6} {'kept':>5} {'says':>9} {'kB':>5}  chosen"
    )
    curves: dict[str, list[tuple[int, float, float, float, float]]] = {}
    held_out = shapes.labels(held_out=True)
    every = of_shapes(shapes.labels(), ("blurred", "grainy"))
    for collections in (of_shapes(held_out), every, of_photographs()):
        for name, labels, draw in collections:
            for shots in SHOTS:
                draws = DRAWS_OF_80 if len(labels.labels) == 80 else DRAWS
                found = [one(labels, draw(shots, seed), seed) for seed in range(draws)]
                before, after, said, says, size = np.array([f[:5] for f in found]).T
                gain = 100 * (after - before)
                half = student.ppf(0.975, draws - 1) * gain.std(ddof=1) / np.sqrt(draws)
                methods = Counter(f[5] for f in found)
                kept = methods.pop(ZERO_SHOT, 0)
                chosen = ", ".join(f"{m} {c}" for m, c in methods.most_common())
                mean = gain.mean()
                print(
                    f"{name:40} {shots:5} {100 * before.mean():9.1f} {100 * after.mean():7.1f} "
                    f"{mean:+6.1f}  ({mean - half:+5.1f} … {mean + half:+5.1f}) {gain.min():+6.1f} "
                    f"{kept:5} {100 * said.mean():4.0f} {100 * says.mean():4.0f} "
                    f"{size.mean() / 1000:5.0f}  {chosen}",
                    flush=True,
                )
                zero = 100 * before.mean()
                curves.setdefault(name, []).append(
                    (shots, zero, zero + mean, zero + mean - half, zero + mean + half)
                )
    if plot is not None:
        plot.write_text(drawn(curves), "utf-8")


def one(
    labels: CompiledLabels, draw: Draw, seed: int
) -> tuple[float, float, float, float, int, str]:
    """Right before and after, said before and after, bytes, method."""
    made = fit_adapter(draw.examples, draw.owners, labels, seed=seed)
    after = made.apply(labels)
    zero = single_label(labels.similarities(draw.images), labels.score)
    own = single_label(after.similarities(draw.images), after.score)
    return (
        float((zero.argmax(1) == draw.truth).mean()),
        float((own.argmax(1) == draw.truth).mean()),
        float(zero.max(1).mean()),
        float(own.max(1).mean()),
        len(made.to_bytes()),
        made.method,
    )


def some() -> None:
    """All 80 labels are asked for, and half of them have example pictures."""
    print(f"{'pictures':22} {'shots':>5}   with pictures: zero, adapted   without: zero, adapted")
    for name, labels, draw in of_shapes(shapes.labels(), ("blurred", "grainy")):
        for shots in (2, 8):
            found = []
            for seed in range(5):
                taught = np.random.default_rng(seed).permutation(80) < 40
                drawn_now = draw(shots, seed)
                inside = taught[drawn_now.owners]
                shown = replace(
                    drawn_now,
                    examples=drawn_now.examples[inside],
                    owners=drawn_now.owners[inside],
                )
                made = fit_adapter(shown.examples, shown.owners, labels, seed=seed)
                before = labels.similarities(shown.images).argmax(1) == shown.truth
                after = made.apply(labels).similarities(shown.images).argmax(1) == shown.truth
                known = taught[shown.truth]
                found.append([m[k].mean() for k in (known, ~known) for m in (before, after)])
            a, b, c, d = 100 * np.mean(found, axis=0)
            print(f"{name:22} {shots:5}   {a:21.1f} {b:8.1f}   {c:13.1f} {d:8.1f}", flush=True)


def seconds() -> None:
    """Clusters of vectors, 512 dimensions."""
    for k, shots in ((10, 16), (100, 4), (100, 16)):
        rng = np.random.default_rng(0)
        centres = rng.normal(size=(k, 512))
        owners = np.repeat(np.arange(k), shots)
        rows = [centres[owners] + 1.5 * rng.normal(size=(len(owners), 512))]
        rows.append(centres + 1.5 * rng.normal(size=(k, 512)))
        images, texts = (
            (r / np.linalg.norm(r, axis=1, keepdims=True)).astype(np.float32) for r in rows
        )
        names = unseen.LabelSet.of([f"label {i}" for i in range(k)]).labels
        prompts = tuple((label.name,) for label in names)
        score = Score("softmax", 100.0)
        labels = CompiledLabels(names, prompts, texts, texts, "", None, "", stored_score=score)
        start = time.perf_counter()
        made = fit_adapter(images, owners, labels)
        took = time.perf_counter() - start
        print(f"{k:4} labels, {shots:2} of each: {took:6.1f} s  ({made.method})", flush=True)


# the plot

COLOURS = (
    "#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c",
)  # fmt: skip
WIDTH, HEIGHT, LEFT, TOP = 760, 420, 56, 24
RIGHT, BOTTOM = 500, 372


def drawn(curves: dict[str, list[tuple[int, float, float, float, float]]]) -> str:
    """Right, in percent, against the pictures a label, as SVG."""

    def x(shots: float) -> float:
        return LEFT + 60 + (RIGHT - LEFT - 80) * np.log2(shots) / 4

    def y(percent: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * percent / 100

    start = LEFT + 14  # zero-shot
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for percent in range(0, 101, 20):
        parts.append(
            f'<path d="M{LEFT} {y(percent):.0f}H{RIGHT}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{y(percent) + 4:.0f}" text-anchor="end">{percent}</text>'
        )
    ticks = [(start, "0"), *((x(shots), str(shots)) for shots in SHOTS)]
    for place, text in ticks:
        parts.append(f'<text x="{place:.0f}" y="{BOTTOM + 18}" text-anchor="middle">{text}</text>')
    parts.append(
        f'<text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 38}" text-anchor="middle">'
        "example pictures a label (0: zero-shot)</text>"
        f'<text x="16" y="{(TOP + BOTTOM) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 16 {(TOP + BOTTOM) / 2})">right, %</text>'
    )
    for i, (name, points) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        there = [f"{x(p[0]):.1f} {y(p[4]):.1f}" for p in points]
        back = [f"{x(p[0]):.1f} {y(p[3]):.1f}" for p in reversed(points)]
        parts.append(f'<path d="M{"L".join(there + back)}Z" fill="{colour}" opacity="0.2"/>')
        line = [f"{start} {y(points[0][1]):.1f}", *(f"{x(p[0]):.1f} {y(p[2]):.1f}" for p in points)]
        parts.append(
            f'<path d="M{"L".join(line)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        for place in line:
            cx, cy = place.split()
            parts.append(f'<circle cx="{cx}" cy="{cy}" r="3" fill="{colour}"/>')
        row = TOP + 20 + 24 * i
        parts.append(
            f'<path d="M{RIGHT + 16} {row}h20" stroke="{colour}" stroke-width="2"/>'
            f'<text x="{RIGHT + 42}" y="{row + 4}" font-size="12">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plot", type=Path, help="write this SVG")
    parser.add_argument("--some", action="store_true", help="labels with and without pictures")
    parser.add_argument("--time", action="store_true", help="seconds instead of accuracy")
    arguments = parser.parse_args()
    if arguments.time:
        seconds()
    elif arguments.some:
        some()
    else:
        accuracy(arguments.plot)


if __name__ == "__main__":
    main()
