"""A concept word of a label set against none: the built-in model, and the small trained CLIP.

    python benchmarks/concept.py

A label set is every word of tests/photographs that lies below one broad word of data/kinds.txt
("bird": duck, owl, parrot …), which is its concept; sets of the same labels count once. Each
photograph of these labels is classified. `before` and `behind`: one of the two prompts of a concept
alone. The difference is in points of top-1 over all pictures, its 95 % interval by a bootstrap over
photographs, which are in several sets.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import unseen
from unseen.labels.templates import of_concept
from unseen.prediction.everyday_words import kinds_of

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support")]

import shapes  # noqa: E402

FEWEST = 4  # labels of a set


def photographs() -> tuple[unseen.Classifier, np.ndarray, np.ndarray, dict[str, list[str]]]:
    classifier = unseen.load()
    files = sorted((ROOT / "tests" / "photographs").glob("*/*.jpg"))
    names = np.array([file.parent.name.replace("_", " ") for file in files])
    kinds: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        for kind in kinds_of(name):
            kinds.setdefault(kind, []).append(name)
    sets: dict[tuple[str, ...], str] = {}
    for kind, own in sorted(kinds.items()):
        if len(own) >= FEWEST:
            sets.setdefault(tuple(own), kind)
    chosen = {kind: [*own] for own, kind in sets.items()}
    return classifier, classifier.encode_images(files), names, chosen


def drawn() -> tuple[unseen.Classifier, np.ndarray, np.ndarray, dict[str, list[str]]]:
    classifier = unseen.load(ROOT / "tests" / "fixtures" / "shapes-clip")
    labels = [f"{colour} {shape}" for colour in shapes.COLOURS for shape in shapes.SHAPES]
    names = np.repeat(labels, 5)
    pictures = [
        shapes.draw(shapes.scene(f"a {n}", "small"), 70_000 + i) for i, n in enumerate(names)
    ]
    return classifier, classifier.encode_images(pictures), names, {"shape": labels}


def main() -> None:
    for title, (classifier, rows, names, sets) in (
        ("photographs, built-in", photographs()),
        ("80 small shapes, trained CLIP", drawn()),
    ):
        default = classifier.model.template
        right: dict[str, list[np.ndarray]] = {}
        where = []
        for kind, labels in sets.items():
            both = of_concept(None, default, kind)
            ways = {"none": (default,), "both": both, "before": both[:1], "behind": both[1:]}
            members = np.flatnonzero(np.isin(names, labels))
            where.append(members)
            truth = np.array([labels.index(name) for name in names[members]])
            line = []
            for way, patterns in ways.items():
                matrix = classifier.compile(labels, template=list(patterns)).matrix
                hits = (rows[members] @ matrix.T).argmax(1) == truth
                right.setdefault(way, []).append(hits)
                line.append(f"{way} {hits.mean():.1%}")
            print(f"  {kind}: {len(labels)} labels, {len(members)} pictures: {', '.join(line)}")
        pictures = np.concatenate(where)
        print(f"{title}: {len(sets)} sets, {len(set(pictures.tolist()))} pictures")
        rng = np.random.default_rng(0)
        base = np.concatenate(right["none"]).astype(float)
        for way in ("both", "before", "behind"):
            gain = np.concatenate(right[way]) - base
            sums = np.bincount(pictures, gain, len(names))
            counts = np.bincount(pictures, minlength=len(names))
            draws = rng.integers(0, len(names), (4000, len(names)))
            means = 100 * sums[draws].sum(1) / counts[draws].sum(1)
            low, high = np.quantile(means, [0.025, 0.975])
            print(
                f"  {way:8} {base.mean():.1%} → {100 * gain.mean():+.1f} points "
                f"({low:+.1f} to {high:+.1f})"
            )


if __name__ == "__main__":
    main()
