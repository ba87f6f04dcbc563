"""How often the built-in model is right on tests/photographs.

    python benchmarks/builtin_accuracy.py                        # the table in docs/builtin.md
    python benchmarks/builtin_accuracy.py --misses               # and what it said instead
    python benchmarks/builtin_accuracy.py --photographs FOLDER   # your own: a folder a label

`N labels` sets each picture's label against N - 1 others, drawn 100 times with a fixed seed. Each
figure is counted in two ways: the share of the pictures, as `unseen eval` counts, and the mean over
labels, in which a label with more pictures counts for no more than another.
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


def line(name: str, right: np.ndarray, truth: np.ndarray, note: str = "") -> str:
    """A figure, by picture and by label, in percent."""
    labels = np.mean([right[truth == label].mean() for label in np.unique(truth)])
    return f"{name:<35} {100 * right.mean():8.1f} % {100 * labels:8.1f} %{note}"


def against_others(scores: np.ndarray, truth: np.ndarray, among: int) -> np.ndarray:
    """How often the right label of each picture wins against `among` - 1 others, from 0 to 1."""
    rng = np.random.default_rng(0)
    rows = np.arange(len(truth))
    wins = np.zeros(len(truth))
    for _ in range(DRAWS):
        order = rng.random(scores.shape)
        order[rows, truth] = 2  # always drawn
        drawn = np.argpartition(-order, among - 1, axis=1)[:, :among]
        wins += scores[rows, truth] >= np.take_along_axis(scores, drawn, 1).max(1)
    return wins / DRAWS


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
    print(f"{f'{len(files)} photographs, {len(labels)} labels':<35} by picture   by label")
    for top in (1, 5):
        print(line(f"top-{top}", rank < top, truth))
    for among in SUBSETS:
        if among < len(labels):
            print(line(f"{among} labels", against_others(scores, truth, among), truth))
    for name, (words, right_word) in WORDS.items():
        rows = [i for i, label in enumerate(names) if label in right_word]
        if rows:
            answers = cosines(words)[rows].argmax(1)
            word_ids = np.array([words.index(right_word[names[i]]) for i in rows])
            print(line(name, answers == word_ids, word_ids, f"   ({len(rows)} pictures)"))
    if options.misses:
        for i in np.flatnonzero(rank):
            best = ", ".join(labels[k] for k in np.argsort(-scores[i])[:3])
            print(f"{files[i].relative_to(options.photographs)}: {best}; right was {rank[i] + 1}.")


if __name__ == "__main__":
    main()
