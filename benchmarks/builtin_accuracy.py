"""How often the built-in model is right on tests/photographs.

    python benchmarks/builtin_accuracy.py                        # the table in docs/builtin.md
    python benchmarks/builtin_accuracy.py --misses               # and what it said instead
    python benchmarks/builtin_accuracy.py --photographs FOLDER   # your own: a folder a label

`N labels` sets each picture's label against N - 1 others, drawn 100 times with a fixed seed.
Labels that have more pictures count for no more: every figure is a mean over labels, and the plain
mean over pictures stands beside the first two.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import unseen

ROOT = Path(__file__).parents[1]
DRAWS = 100
SUBSETS = (2, 5, 10, 20)

# Label sets of everyday words, and which folder each of their words is right for.
# fmt: off
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
ANIMALS = [
    "bee", "bird", "bison", "cat", "chicken", "cow", "crab", "crocodile", "dog", "duck", "fish",
    "giraffe", "horse", "koala", "owl", "panda", "parrot", "pig", "sheep",
]
# fmt: on
WORDS: dict[str, tuple[list[str], dict[str, str]]] = {
    "the CIFAR-10 words": (
        CIFAR,
        {"bird": "bird", "owl": "bird", "parrot": "bird", "duck": "bird", "chicken": "bird"}
        | {"cat": "cat", "dog": "dog", "horse": "horse", "moose": "deer"},
    ),
    "the same, with articles": (
        [f"an {w}" if w[0] in "aeiou" else f"a {w}" for w in CIFAR],
        {"bird": "a bird", "owl": "a bird", "parrot": "a bird", "duck": "a bird"}
        | {"cat": "a cat", "dog": "a dog", "horse": "a horse", "chicken": "a bird"},
    ),
    "plurals": (
        ["dogs", "cats", "horses", "cows", "birds", "sheep", "fishes", "pigs"],
        {"dog": "dogs", "cat": "cats", "horse": "horses", "cow": "cows", "bird": "birds"}
        | {"owl": "birds", "parrot": "birds", "sheep": "sheep", "fish": "fishes", "pig": "pigs"},
    ),
    "coarse words": (
        ["animal", "vehicle", "food", "plant", "building", "furniture"],
        dict.fromkeys(ANIMALS, "animal")
        | dict.fromkeys(["castle", "cathedral", "pagoda", "skyscraper", "tower"], "building")
        | {"chair": "furniture", "coffee": "food", "flower": "plant"},
    ),
    "kinds of animal": (
        ["mammal", "bird", "reptile", "fish", "insect"],
        dict.fromkeys(["cat", "cow", "dog", "giraffe", "horse", "jaguar", "pig", "sheep"], "mammal")
        | dict.fromkeys(["bird", "chicken", "duck", "owl", "parrot"], "bird")
        | dict.fromkeys(["chameleon", "crocodile", "komodo dragon"], "reptile")
        | {"bee": "insect", "fish": "fish"},
    ),
}


def label_means(right: np.ndarray, truth: np.ndarray) -> float:
    """Mean over pictures of a label, then over labels; percent."""
    return 100 * float(np.mean([right[truth == label].mean() for label in np.unique(truth)]))


def against_others(scores: np.ndarray, truth: np.ndarray, among: int) -> float:
    """How often the right label wins against `among` - 1 others; percent."""
    rng = np.random.default_rng(0)
    rows = np.arange(len(truth))
    wins = np.zeros(len(truth))
    for _ in range(DRAWS):
        order = rng.random(scores.shape)
        order[rows, truth] = 2  # always drawn
        drawn = np.argpartition(-order, among - 1, axis=1)[:, :among]
        wins += scores[rows, truth] >= np.take_along_axis(scores, drawn, 1).max(1)
    return label_means(wins / DRAWS, truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photographs", type=Path, default=ROOT / "tests" / "photographs")
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--misses", action="store_true", help="list what was named wrongly")
    options = parser.parse_args()
    files = sorted(options.photographs.glob("*/*.jpg"))
    names = [file.parent.name.replace("_", " ") for file in files]
    labels = sorted(set(names))
    truth = np.array([labels.index(name) for name in names])
    classifier = unseen.load(options.model)
    images = classifier.encode_images(files)

    def cosines(words: list[str]) -> np.ndarray:
        return images @ classifier.compile(words).matrix.T

    scores = cosines(labels)
    rank = (scores > scores[np.arange(len(files)), truth][:, None]).sum(1)
    print(f"{len(files)} photographs, {len(labels)} labels        by label   by picture")
    for top in (1, 5):
        right = rank < top
        print(f"top-{top:<31} {label_means(right, truth):8.1f} % {100 * right.mean():8.1f} %")
    for among in SUBSETS:
        if among < len(labels):
            name = f"{among} labels"
            print(f"{name:<35} {against_others(scores, truth, among):8.1f} %")
    for name, (words, right_word) in WORDS.items():
        rows = [i for i, label in enumerate(names) if label in right_word]
        if rows:
            said = cosines(words)[rows].argmax(1)
            right = said == [words.index(right_word[names[i]]) for i in rows]
            print(f"{name:<35} {'':8}   {100 * right.mean():8.1f} %   ({len(rows)} pictures)")
    if options.misses:
        for i in np.flatnonzero(rank):
            best = ", ".join(labels[k] for k in np.argsort(-scores[i])[:3])
            print(f"{files[i].relative_to(options.photographs)}: {best}; right was {rank[i] + 1}.")


if __name__ == "__main__":
    main()
