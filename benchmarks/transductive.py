"""Zero-shot against transduction (src/unseen/transductive.py): where it helps, and where not.

    python benchmarks/transductive.py            # accuracy, about two minutes
    python benchmarks/transductive.py --time     # seconds at 1,000 to 100,000 pictures
    python benchmarks/transductive.py --summary  # accuracy, and a line for each kind of collection

`gain` is in points of top-1, its 95 % interval by a bootstrap over the pictures of all draws (of
what came out: the collection is not drawn anew); `worst` is the worst of the draws. `TransCLIP` is
the gain of the method as published (arXiv:2406.01837), as we understand it, in plain numpy;
`anchor` that of classes which are held to their texts (after StatA, arXiv:2501.03729), and its
worst draw. `says` is the mean probability of the answers, which should be as large as the part of
them that is right.
Rows with a star were looked at while constants were chosen.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from scipy.sparse import csr_array

import unseen
from unseen.models.model import Score
from unseen.prediction.score import softmax
from unseen.prediction.transductive import transduce

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import shapes  # noqa: E402

EACH = 40  # pictures of a label, drawn once
DRAWS = 5
Case = tuple[np.ndarray, np.ndarray, np.ndarray, Score]  # pictures, texts, truth


def coarse(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """16 × 16 pixels, and noise."""
    small = image.resize((16, 16), Image.Resampling.BOX).resize((64, 64), Image.Resampling.BICUBIC)
    return grainy(small, rng, 20)


def grainy(image: Image.Image, rng: np.random.Generator, level: float = 60) -> Image.Image:
    """Noise in every pixel."""
    noisy = np.asarray(image) + rng.normal(0, level, (64, 64, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def blurred(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(3.5))


def tinted(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """As by lamplight: half the blue, and less of the green."""
    return Image.fromarray((np.asarray(image) * [1.0, 0.75, 0.5]).astype(np.uint8))


SPOILED: dict[str, tuple[str, Callable[[Image.Image, np.random.Generator], Image.Image]]] = {
    "as trained on *": ("large", lambda image, rng: image),
    "coarse *": ("large", coarse),
    "small, coarse *": ("small", coarse),
    "blurred": ("large", blurred),
    "tinted": ("large", tinted),
    "grainy": ("large", grainy),
}


def of_shapes() -> Iterator[tuple[str, list[Case]]]:
    """The trained fixture on pictures of coloured shapes: 80 labels."""
    classifier = unseen.load(ROOT / "tests" / "fixtures" / "shapes-clip")
    labels = shapes.labels()
    texts = classifier.compile(labels).matrix
    truth = np.repeat(np.arange(80), EACH)
    for name, (size, spoil) in SPOILED.items():
        rng = np.random.default_rng(0)
        images = classifier.encode_images(
            spoil(shapes.draw(shapes.scene(label, size), 20_000 + seed), rng)
            for label in labels
            for seed in range(EACH)
        )
        kinds: dict[str, list[Case]] = {}
        for draw in range(DRAWS):
            for kind, wanted, chosen in _collections(np.random.default_rng(draw), truth):
                place = np.full(80, -1)
                place[chosen] = np.arange(len(chosen))
                case = (images[wanted], texts[chosen], place[truth[wanted]], classifier.model.score)
                kinds.setdefault(kind, []).append(case)
        for kind, cases in kinds.items():
            yield f"{name}: {kind}", cases


def _collections(
    rng: np.random.Generator, truth: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """A kind of collection, which pictures are in it, and which labels are asked for."""
    every = np.arange(80)
    place = np.concatenate([rng.permutation(EACH) for _ in every])  # of a picture in its label
    yield "80 labels, 40 of each", place < EACH, every
    yield "80 labels, 10 of each", place < 10, every
    yield "80 labels, 3 of each", place < 3, every
    uneven = np.round(EACH * 100.0 ** (-rng.permutation(80) / 79) + 0.1).astype(int)
    yield "80 labels, 40 to 0 of each", place < uneven[truth], every
    yield "80 labels, 10 of them there", np.isin(truth, rng.choice(80, 10, replace=False)), every
    yield "80 labels, one of them there", truth == rng.integers(80), every
    yield "80 labels, 40 pictures", rng.permutation(len(truth)) < EACH, every
    ten = rng.choice(80, 10, replace=False)
    yield "10 labels, 40 of each", np.isin(truth, ten), ten
    uneven = np.zeros(80, dtype=int)
    uneven[ten] = np.round(EACH ** (1 - np.arange(10) / 9))
    yield "10 labels, 40 to 1 of each", place < uneven[truth], ten
    uneven = np.zeros(80, dtype=int)
    uneven[ten[:2]] = EACH, 1
    yield "2 labels, 40 and 1", place < uneven[truth], ten[:2]


def of_photographs() -> Iterator[tuple[str, list[Case]]]:
    """The built-in model on tests/photographs."""
    classifier = unseen.load()
    files = sorted((ROOT / "tests" / "photographs").glob("*/*.jpg"))
    names = [file.parent.name.replace("_", " ") for file in files]
    labels = sorted(set(names))
    truth = np.array([labels.index(name) for name in names])
    images, texts = classifier.encode_images(files), classifier.compile(labels).matrix
    score = classifier.model.score

    def own(chosen: np.ndarray) -> Case:
        wanted = np.isin(truth, chosen)
        return images[wanted], texts[chosen], np.searchsorted(chosen, truth[wanted]), score

    yield "photographs *: 69 labels", [(images, texts, truth, score)]
    count = np.bincount(truth)
    for least in (2, 3):
        chosen = np.flatnonzero(count >= least)
        wanted = np.isin(truth, chosen)
        yield f"photographs *: {len(chosen)} labels with {least} or more", [own(chosen)]
        yield (
            f"photographs *: the same among 69 ({least})",
            [(images[wanted], texts, truth[wanted], score)],
        )
    rng = np.random.default_rng(1)
    drawn = [np.sort(rng.choice(69, 20, replace=False)) for _ in range(20)]
    yield "photographs *: 20 labels of the 69", [own(chosen) for chosen in drawn]


def transclip(images: np.ndarray, texts: np.ndarray, score: Score) -> np.ndarray:
    """TransCLIP-ZS: first means from the 8 surest pictures a class, one variance, 3 neighbours."""
    n, d = images.shape
    say = images @ texts.T * score.scale
    z = softmax(say)
    means = np.stack([images[np.argsort(-column)[:8]].mean(0) for column in z.T])
    variance = np.full(d, 1 / d)
    weight = neighbours(images, 3)
    for _ in range(10):
        scaled = means / variance
        data = images @ scaled.T - 0.5 * (means * scaled).sum(1)
        for _ in range(5):
            z = softmax(np.maximum(say - say.max(1, keepdims=True), -27) + data + weight @ z)
        count = z.sum(0)
        means = (z.T @ images) / np.maximum(count, 1e-9)[:, None]
        variance = ((images**2).sum(0) - (count[:, None] * means**2).sum(0)) / n
        variance = np.maximum(variance, 1e-8)
    return z


def anchored(images: np.ndarray, texts: np.ndarray, score: Score) -> np.ndarray:
    """Each label a Gaussian that stays near its text, the more the fewer pictures it has.

    After StatA (Zanella et al. 2025, arXiv:2501.03729): a mean between that of a label's pictures
    and its text, β = n / (n + 1) of n pictures the weight of the first; a variance a coordinate,
    mixed alike with the variance of pictures around texts; and 3 neighbours, as of TransCLIP.
    """
    z = zero = softmax(images @ texts.T * score.scale)
    weight = 2 * neighbours(images, 3)  # both ways count whole
    squares = images**2
    # Σ z (x - text)² / n, multiplied out: one for all labels.
    first = squares.sum(0) + z.sum(0) @ texts**2 - 2 * ((z.T @ images) * texts).sum(0)
    first = np.maximum(first / len(images), 1e-8)
    for _ in range(10):
        count = z.sum(0)[:, None]
        beta = count / (count + 1)
        mean = (z.T @ images) / np.maximum(count, 1e-9)
        variance = (z.T @ squares) / np.maximum(count, 1e-9) - mean**2
        mean = beta * mean + (1 - beta) * texts
        mean /= np.linalg.norm(mean, axis=1, keepdims=True)
        variance = beta * np.maximum(variance, 0) + (1 - beta) * (first + (mean - texts) ** 2)
        variance = np.maximum(variance, 1e-8)
        log = squares @ (1 / variance).T - 2 * images @ (mean / variance).T
        log = -0.5 * (log + (mean**2 / variance + np.log(variance)).sum(1))
        for _ in range(5):
            say = np.log(np.maximum(zero, 1e-30)) + log / 50 + weight @ z / 6
            z = softmax(say.astype(np.float32))
    return z


def neighbours(images: np.ndarray, count: int) -> csr_array:
    """(n, n): the cosine of a picture and each of its nearest; of both ways, half of each."""
    alike = images @ images.T
    np.fill_diagonal(alike, -1)
    count = min(count, len(images) - 1)
    near = np.argpartition(-alike, count - 1, axis=1)[:, :count]
    rows = np.repeat(np.arange(len(images)), count)
    columns = near.ravel()
    weight = csr_array((np.maximum(alike[rows, columns], 0), (rows, columns)), alike.shape)
    return (weight + weight.T) / 2


def interval(difference: np.ndarray) -> tuple[float, float]:
    """95 % of the mean, by bootstrap."""
    rng = np.random.default_rng(0)
    drawn = [rng.choice(difference, len(difference)).mean() for _ in range(1000)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return 100 * float(low), 100 * float(high)


def accuracy(summary: bool) -> None:
    print(f"{'collection':47} {'n':>5} {'zero-shot':>9} {'transd.':>7} {'gain':>6} ", end="")
    print(f"{'95 %':>15} {'worst':>6} {'TransCLIP':>9} {'anchor':>7} {'worst':>6}   ", end="")
    print("says: zero-shot, transd.")
    behind: list[tuple[float, float, str]] = []  # the anchor's gain less ours, its own, where
    for make in (of_photographs, of_shapes):
        for name, cases in make():
            answers: dict[str, list[np.ndarray]] = {}
            says = []
            for images, texts, truth, score in cases:
                zero = softmax(images @ texts.T * score.scale)
                ours = transduce(images, texts, score)
                of_each = {"zero": zero, "ours": ours}
                of_each |= {
                    way.__name__: way(images, texts, score) for way in (transclip, anchored)
                }
                for way, p in of_each.items():
                    answers.setdefault(way, []).append((p.argmax(1) == truth).astype(float))
                says.append((zero.max(1).mean(), ours.max(1).mean()))

            def gains(way: str, answers: dict[str, list[np.ndarray]] = answers) -> list[float]:
                pairs = zip(answers["zero"], answers[way], strict=True)
                return [100 * float(a.mean() - b.mean()) for b, a in pairs]

            b, a, t, s = (np.concatenate(part) for part in answers.values())
            low, high = interval(a - b)
            said = 100 * np.mean(says, axis=0)
            behind.append((100 * float((s - a).mean()), 100 * float((s - b).mean()), name))
            print(
                f"{name:47} {len(cases[0][0]):5} {100 * b.mean():9.1f} {100 * a.mean():7.1f} "
                f"{100 * (a - b).mean():+6.1f}  ({low:+5.1f} … {high:+5.1f}) "
                f"{min(gains('ours')):+6.1f} {100 * (t - b).mean():+9.1f} "
                f"{100 * (s - b).mean():+7.1f} {min(gains('anchored')):+6.1f}   "
                f"{said[0]:5.0f} {said[1]:5.0f}",
                flush=True,
            )
    if summary:
        more, less = ([row for row in behind if sign * row[0] > 0.05] for sign in (1, -1))
        worse = sorted(row for row in behind if row[1] < -0.05)
        print(f"anchor against ours: better on {len(more)} of {len(behind)}, worse on {len(less)}")
        for difference, gain, name in sorted(behind):
            print(f"  {difference:+6.1f} (gain {gain:+6.1f})  {name}")
        print(f"below zero-shot: {len(worse)} of {len(behind)}")


def seconds() -> None:
    """Clusters of vectors: 100 labels, 512 dimensions."""
    for n in (1_000, 10_000, 100_000):
        rng = np.random.default_rng(0)
        centres = rng.normal(size=(100, 512)).astype(np.float32)
        images = centres[rng.integers(0, 100, n)]
        images += 1.5 * rng.normal(size=(n, 512)).astype(np.float32)
        images /= np.linalg.norm(images, axis=1, keepdims=True)
        texts = centres / np.linalg.norm(centres, axis=1, keepdims=True)
        start = time.perf_counter()
        transduce(images, texts, Score("softmax", 100.0))
        print(f"{n:7} pictures, 100 labels: {time.perf_counter() - start:6.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--time", action="store_true", help="seconds instead of accuracy")
    parser.add_argument("--summary", action="store_true", help="anchor against ours, in the end")
    arguments = parser.parse_args()
    if arguments.time:
        seconds()
    else:
        accuracy(arguments.summary)


if __name__ == "__main__":
    main()
