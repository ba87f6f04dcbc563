"""Zero-shot against adapters made of 1 to 16 pictures a label (src/unseen/learning/adapt.py).

    python benchmarks/adapt.py                          # accuracy
    python benchmarks/adapt.py --plot docs/adapt.svg    # and the plot of it
    python benchmarks/adapt.py --chance                 # labels that were drawn by lot
    python benchmarks/adapt.py --known                  # texts that know all there is to know
    python benchmarks/adapt.py --noise                  # some examples are labelled wrongly
    python benchmarks/adapt.py --seeds                  # the same examples, another seed
    python benchmarks/adapt.py --some                   # which labels have pictures, and which not
    python benchmarks/adapt.py --time                   # seconds to make one

Each line is so many draws of examples; what is classified was never an example. `gain` is in points
of top-1 with its 95 % interval over the draws (Student's t), `worst` the worst draw. `kept`: in how
many draws zero-shot was kept. `says`: the mean probability of the answers, zero-shot's and then the
adapter's, which should be as large as the part of them that is right. `--only NAME` (repeatable)
takes the collections whose name has this in it.

The constants of the gate were chosen on other pictures of the shapes (clean, half grainy, grainy,
coarse, blurred, tinted), never on the photographs or the digits.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import beta
from scipy.stats import t as student
from sklearn.datasets import load_digits

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

SHOTS = (1, 2, 3, 4, 8, 16)
DRAWS = 10
LOTS = 400  # draws of labels by lot
EACH = 40  # pictures of a label of the shapes
TEST = 20  # of a label that are classified, at most

SPOILED: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "as trained on": lambda image, rng: image,
    "blurred": blurred,
    "tinted": tinted,
    "grainy": grainy,
    "a little grainy": lambda image, rng: grainy(image, rng, 30),
}


@dataclass(frozen=True)
class Collection:
    """Embeddings by label."""

    name: str
    labels: CompiledLabels
    rows: list[np.ndarray]

    @property
    def most(self) -> int:
        """Examples of a label that leave one picture at least to be classified."""
        return max(map(len, self.rows)) - 1

    def draw(self, shots: int, seed: int) -> Draw:
        """So many examples of each label, and at most `TEST` others."""
        rng = np.random.default_rng([seed, shots])
        orders = [rng.permutation(len(rows)) for rows in self.rows]
        counts = [min(shots, len(rows) - 1) for rows in self.rows]
        parts = [(o[:n], o[n : n + TEST]) for o, n in zip(orders, counts, strict=True)]
        examples, images = (
            np.concatenate([rows[part[i]] for rows, part in zip(self.rows, parts, strict=True)])
            for i in (0, 1)
        )
        owners, truth = (
            np.repeat(np.arange(len(parts)), [len(part[i]) for part in parts]) for i in (0, 1)
        )
        return Draw(examples, owners, images, truth)


@dataclass(frozen=True)
class Draw:
    """Examples and what is classified: embeddings, and the ids of their labels."""

    examples: np.ndarray
    owners: np.ndarray
    images: np.ndarray
    truth: np.ndarray


def of_shapes(labels: Sequence[str], names: Sequence[str]) -> Iterator[Collection]:
    """The trained fixture on spoiled pictures of shapes; "a star" is one in any colour."""
    classifier = unseen.load(ROOT / "tests" / "fixtures" / "shapes-clip")
    compiled = classifier.compile(list(labels))
    for name in names:
        rng = np.random.default_rng(0)
        colours = [*shapes.COLOURS]
        scenes = [
            label if len(label.split()) > 2 else f"a {colours[i % 10]} {label.split()[-1]}"
            for label in labels
            for i in range(EACH)
        ]
        rows = classifier.encode_images(
            SPOILED[name](shapes.draw(shapes.scene(scene), 30_000 + i % EACH), rng)
            for i, scene in enumerate(scenes)
        )
        yield Collection(f"{len(labels)} shapes, {name}", compiled, np.split(rows, len(labels)))


def of_photographs() -> Iterator[Collection]:
    """The built-in model on tests/photographs: labels with at least two and three.

    One photograph of each label at least is left to be classified, so a label of two has one
    example, however many are asked for.
    """
    classifier = unseen.load()
    files = sorted((ROOT / "tests" / "photographs").glob("*/*.jpg"))
    rows = classifier.encode_images(files)
    names = np.array([file.parent.name.replace("_", " ") for file in files])
    for least in (2, 3):
        labels = [name for name in sorted(set(names)) if (names == name).sum() >= least]
        yield Collection(
            f"photographs, {len(labels)} labels",
            classifier.compile(labels),
            [rows[names == label] for label in labels],
        )


def of_digits() -> Iterator[Collection]:
    """The built-in model on scikit-learn's handwritten digits, 8 × 8 pixels made larger."""
    classifier = unseen.load()
    digits = load_digits()
    rows = classifier.encode_images(
        Image.fromarray((255 - image / 16 * 255).astype(np.uint8)).resize((64, 64)).convert("RGB")
        for image in digits.images
    )
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    labels = classifier.compile([f"the digit {name}" for name in names])
    yield Collection("digits", labels, [rows[digits.target == i] for i in range(10)])


def of_all(only: Sequence[str]) -> Iterator[Collection]:
    """The collections whose name has one of the texts in it, or all."""
    held_out = shapes.labels(held_out=True)
    makers: list[tuple[str, Callable[[], Iterator[Collection]]]] = [
        (f"16 shapes, {name}", lambda name=name: of_shapes(held_out, [name]))
        for name in ("as trained on", "blurred", "tinted", "grainy")
    ]
    any_colour = [f"a {shape}" for shape in shapes.SHAPES]
    makers += [("8 shapes, grainy", lambda: of_shapes(any_colour, ["a little grainy"]))]
    makers += [("photographs", of_photographs), ("digits", of_digits)]
    for name, make in makers:
        if not only or any(text in name for text in only):
            yield from make()


def accuracy(only: Sequence[str], plot: Path | None) -> None:
    print(
        f"{'pictures':26} {'shots':>5} {'zero-shot':>9} {'adapted':>7} {'gain':>6} {'95 %':>16} "
        f"{'worst':>6} {'kept':>5} {'says':>9} {'kB':>5}  chosen"
    )
    curves: dict[str, list[tuple[int, float, float, float, float]]] = {}
    for collection in of_all(only):
        for shots in SHOTS:
            if shots > max(collection.most, 4):
                continue
            drawn_now = [collection.draw(shots, seed) for seed in range(DRAWS)]
            results = [one(collection.labels, draw, seed) for seed, draw in enumerate(drawn_now)]
            before, after, said, says, size = np.array([result[:5] for result in results]).T
            gain = 100 * (after - before)
            half = student.ppf(0.975, DRAWS - 1) * gain.std(ddof=1) / np.sqrt(DRAWS)
            methods = Counter(result[5] for result in results)
            kept = methods.pop(ZERO_SHOT, 0)
            chosen = ", ".join(f"{m} {c}" for m, c in methods.most_common())
            mean = gain.mean()
            print(
                f"{collection.name:26} {shots:5} {100 * before.mean():9.1f} "
                f"{100 * after.mean():7.1f} {mean:+6.1f}  ({mean - half:+5.1f} … "
                f"{mean + half:+5.1f}) {gain.min():+6.1f} {kept:5} {100 * said.mean():4.0f} "
                f"{100 * says.mean():4.0f} {size.mean() / 1000:5.0f}  {chosen}",
                flush=True,
            )
            zero = 100 * before.mean()
            curves.setdefault(collection.name, []).append(
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


def relabelled(
    only: Sequence[str],
    shots: Sequence[int],
    draws: int,
    relabel: Callable[[CompiledLabels, Draw, np.random.Generator], Draw],
    title: str,
) -> None:
    """How often an adapter is made of examples with other labels, and what it gains."""
    for collection in of_all(only):
        for count in (n for n in shots if n <= max(collection.most, 4)):
            gains, made = [], 0
            for seed in range(draws):
                rng = np.random.default_rng([seed, count, 1])
                draw = relabel(collection.labels, collection.draw(count, seed), rng)
                before, after, *_, method = one(collection.labels, draw, seed)
                gains.append(100 * (after - before))
                made += method != ZERO_SHOT
            low = beta.ppf(0.025, made, draws - made + 1) if made else 0.0
            high = beta.ppf(0.975, made + 1, draws - made) if made < draws else 1.0
            print(
                f"{collection.name:26} {title:12} {count:5} shots: made in {made} of {draws}, "
                f"{100 * made / draws:.1f} % ({100 * low:.1f} … {100 * high:.1f}); gain "
                f"{np.mean(gains):+.1f}, worst {min(gains):+.1f}",
                flush=True,
            )


def by_lot(labels: CompiledLabels, draw: Draw, rng: np.random.Generator) -> Draw:
    """As many examples of each label, and each picture has any."""
    return Draw(draw.examples, rng.permutation(draw.owners), draw.images, draw.truth)


def as_texts_say(labels: CompiledLabels, draw: Draw, rng: np.random.Generator) -> Draw:
    """Labels drawn with zero-shot's own probabilities, of a third of its scale: nothing is left to
    learn, although many answers are wrong."""

    def drawn_labels(images: np.ndarray) -> np.ndarray:
        scale = Score("softmax", labels.score.scale / 3)
        p = single_label(labels.similarities(images), scale).astype(np.float64)
        return np.array([rng.choice(len(row), p=row / row.sum()) for row in p])

    return Draw(draw.examples, drawn_labels(draw.examples), draw.images, drawn_labels(draw.images))


def with_noise(part: float) -> Callable[[CompiledLabels, Draw, np.random.Generator], Draw]:
    """So many of the examples have another label than theirs."""

    def relabel(labels: CompiledLabels, draw: Draw, rng: np.random.Generator) -> Draw:
        k = len(labels.labels)
        wrong = rng.random(len(draw.owners)) < part
        other = (draw.owners + rng.integers(1, k, len(draw.owners))) % k
        owners = np.where(wrong, other, draw.owners)
        return Draw(draw.examples, owners, draw.images, draw.truth)

    return relabel


def seeds(only: Sequence[str]) -> None:
    """The same examples, and ten seeds of the folds: the spread of what comes out."""
    for collection in of_all(only):
        for shots in (2, 4):
            spreads = []
            for number in range(5):
                draw = collection.draw(shots, number)
                after = [100 * one(collection.labels, draw, seed)[1] for seed in range(8)]
                spreads.append(max(after) - min(after))
            print(
                f"{collection.name:26} {shots:5} shots: from the worst to the best of 8 seeds "
                f"{np.mean(spreads):.1f} points, at most {max(spreads):.1f} (5 draws)",
                flush=True,
            )


def some() -> None:
    """All 16 labels are asked for, and half of them have example pictures."""
    print(f"{'pictures':22} {'shots':>5}   with pictures: zero, adapted   without: zero, adapted")
    for collection in of_shapes(shapes.labels(held_out=True), ("tinted", "grainy")):
        for shots in (2, 8):
            results = []
            for seed in range(5):
                taught = np.random.default_rng(seed).permutation(16) < 8
                draw = collection.draw(shots, seed)
                inside = taught[draw.owners]
                made = fit_adapter(
                    draw.examples[inside], draw.owners[inside], collection.labels, seed=seed
                )
                before = collection.labels.similarities(draw.images).argmax(1) == draw.truth
                after = made.apply(collection.labels).similarities(draw.images)
                right = after.argmax(1) == draw.truth
                known = taught[draw.truth]
                results.append([m[k].mean() for k in (known, ~known) for m in (before, right)])
            a, b, c, d = 100 * np.mean(results, axis=0)
            print(
                f"{collection.name:22} {shots:5}   {a:21.1f} {b:8.1f}   {c:13.1f} {d:8.1f}",
                flush=True,
            )


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
        start = time.process_time()  # of the processor, so that other work does not count
        made = fit_adapter(images, owners, labels)
        took = time.process_time() - start
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


MODES = ("chance", "known", "noise", "seeds", "some", "time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plot", type=Path, help="write this SVG")
    parser.add_argument("--only", action="append", default=[], help="collections of this name")
    for mode in MODES:
        parser.add_argument(f"--{mode}", action="store_true")
    arguments = parser.parse_args()
    only = arguments.only
    if arguments.time:
        seconds()
    elif arguments.some:
        some()
    elif arguments.seeds:
        seeds(only)
    elif arguments.chance:
        relabelled(only, (2, 4, 8), LOTS, by_lot, "by lot")
    elif arguments.known:
        relabelled(only, (2, 4, 8), 40, as_texts_say, "as texts say")
    elif arguments.noise:
        for part in (0.1, 0.2, 0.3):
            relabelled(only, (2, 4, 8), DRAWS, with_noise(part), f"{part:.0%} wrong")
    else:
        accuracy(only, arguments.plot)


if __name__ == "__main__":
    main()
