"""Templates weighted by what pictures without labels say, against a template and a plain mean.

    python benchmarks/template_weights.py

After the zero-shot prompt ensembling of Allingham et al. 2023 (arXiv:2302.06235): a template counts
as much as its labels' logits reach on the pictures, softmax(s / t) of s = the mean over pictures of
the largest logit, each logit less the label's mean over the pictures, as some labels are near to
everything. `best half` is the plain mean of the templates whose s is above the median. The
temperature t was chosen on the line with a star.

All are top-1 in percent, with the 80 templates `imagenet`: `one` the model's own template, `mean`
all 80 alike. Below each line are the gains against both, with 95 % by a bootstrap over pictures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from sklearn.datasets import load_digits

import unseen
from unseen.labels.templates import fill, templates

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "benchmarks")]

from transductive import blurred, grainy, interval, tinted  # noqa: E402

import shapes  # noqa: E402

EACH = 20  # pictures of a label of the shapes
TEMPERATURES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
CHOSEN = 0.1  # on the photographs
SPOILED: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "as they are *": lambda image, rng: image,
    "grey": lambda image, rng: ImageOps.grayscale(image).convert("RGB"),
    "small": lambda image, rng: image.resize((24, 24)),
    "posters": lambda image, rng: ImageOps.posterize(image.convert("RGB"), 1),
}
Case = tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]


def cases() -> Iterator[Case]:
    """Name, pictures (n, d), one (k, d), texts (templates, k, d), truth and the scale of logits."""
    yield from of_photographs()
    yield of_digits()
    yield from of_shapes()


def of_photographs() -> Iterator[Case]:
    """The built-in model on tests/photographs, as they are and changed."""
    classifier = unseen.load()
    files = sorted((ROOT / "tests" / "photographs").glob("*/*.jpg"))
    names = [file.parent.name.replace("_", " ") for file in files]
    labels = sorted(set(names))
    truth = np.array([labels.index(name) for name in names])
    one, texts = of_texts(classifier, labels)
    for name, change in SPOILED.items():
        rng = np.random.default_rng(0)
        images = classifier.encode_images(change(Image.open(file), rng) for file in files)
        yield f"photographs, {name}", images, one, texts, truth, classifier.model.score.scale


def of_digits() -> Case:
    """The built-in model on 500 of scikit-learn's handwritten digits."""
    classifier = unseen.load()
    digits = load_digits()
    images = classifier.encode_images(
        Image.fromarray((255 - image / 16 * 255).astype(np.uint8)).resize((64, 64)).convert("RGB")
        for image in digits.images[:500]
    )
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    one, texts = of_texts(classifier, [f"digit {name}" for name in names])
    return "digits", images, one, texts, digits.target[:500], classifier.model.score.scale


def of_shapes() -> Iterator[Case]:
    """The trained fixture, 80 labels."""
    classifier = unseen.load(ROOT / "tests" / "fixtures" / "shapes-clip")
    labels = shapes.labels()
    truth = np.repeat(np.arange(len(labels)), EACH)
    one, texts = of_texts(classifier, labels)
    for name, change in (("blurred", blurred), ("tinted", tinted), ("grainy", grainy)):
        rng = np.random.default_rng(0)
        images = classifier.encode_images(
            change(shapes.draw(shapes.scene(label), 40_000 + seed), rng)
            for label in labels
            for seed in range(EACH)
        )
        yield f"shapes, {name}", images, one, texts, truth, classifier.model.score.scale


def of_texts(classifier: unseen.Classifier, labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The labels in the model's own template (k, d), and in all 80 (templates, k, d)."""
    patterns = templates("imagenet")
    prompts = [fill(pattern, label) for pattern in patterns for label in labels]
    rows = classifier.encode_texts(prompts)
    return classifier.compile(labels).matrix, rows.reshape(len(patterns), len(labels), -1)


def weights(images: np.ndarray, texts: np.ndarray, scale: float) -> np.ndarray:
    """(templates,): s, how much the labels of each reach on these pictures."""
    reached = []
    for rows in texts:
        logits = scale * images @ rows.T
        reached.append((logits - logits.mean(0)).max(1).mean())
    return np.array(reached)


def mean(texts: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """(templates, k, d) → (k, d), rows of length 1."""
    rows = np.average(texts, axis=0, weights=weight)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def main() -> None:
    names = [f"t = {t:g}" for t in TEMPERATURES] + ["best half"]
    print(
        f"{'pictures':28} {'n':>5} {'one':>5} {'mean':>5}   " + "  ".join(f"{n:>9}" for n in names)
    )
    for name, images, one, texts, truth, scale in cases():
        s = weights(images, texts, scale)

        def right(rows: np.ndarray, images=images, truth=truth) -> np.ndarray:
            return ((images @ rows.T).argmax(1) == truth).astype(float)

        softmaxes = [np.exp((s - s.max()) / t) for t in TEMPERATURES]
        rows = [mean(texts, w / w.sum()) for w in softmaxes]
        rows.append(mean(texts, (s >= np.median(s)).astype(float)))
        base = {"one": right(one), "mean": right(mean(texts))}
        line = "  ".join(f"{100 * right(r).mean():9.1f}" for r in rows)
        print(
            f"{name:28} {len(images):5} {100 * base['one'].mean():5.1f} "
            f"{100 * base['mean'].mean():5.1f}   {line}"
        )
        taken = right(rows[TEMPERATURES.index(CHOSEN)])
        for against, other in {**base, "best half against mean": base["mean"]}.items():
            now = right(rows[-1]) if "half" in against else taken
            low, high = interval(now - other)
            print(
                f"    t = {CHOSEN:g} against {against}: "
                if "half" not in against
                else f"    {against}: ",
                f"{100 * (now - other).mean():+.1f} ({low:+.1f} … {high:+.1f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
