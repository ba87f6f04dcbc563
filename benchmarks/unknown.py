"""None of these: how many pictures of the labels are refused, at every breadth of label.

    python benchmarks/unknown.py            # about two minutes
    python benchmarks/unknown.py --photographs FOLDER --levels FILE     # these pictures too

Label sets are drawn at random at four levels: species (crab), kind (crustacean), group
(invertebrate), world (animal); `benchmarks/levels` says what is what. Pictures of the labels are
*known*, those of the other labels of the level *near*, everything else is *far*. The pictures are
in two halves: thresholds are chosen on one, with its own draws of labels, and the tables are of the
other, with other draws. Intervals (95 %) are bootstrapped over pictures. FOLDER has a folder for
each species, as tests/photographs.
"""

from __future__ import annotations

import argparse
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import unseen
from unseen.prediction import everyday_words
from unseen.prediction.open_set import ReferenceSet, evidence
from unseen.prediction.prediction import LEAST_EVIDENCE

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import shapes  # noqa: E402

DRAWS = 30  # of labels, of each level and half
TARGET = 0.05  # of the known pictures refused, where the threshold is chosen
LEVELS = ("species", "kind", "group", "world")
SIZES = ((5, 10, 20), (5, 10, 20), (4, 6, 10), (2, 3, 5))  # of the label sets of each level
SHAPE_LEVELS = ("coloured shape", "shape", "colour", "colour word")
SHAPE_SIZES = ((5, 20, 40), (3, 4, 6), (3, 5, 7), (3, 5, 7))
BACKGROUND = "something else"
HALVED = ("photographs", "shapes")  # a folder that was given is measured whole
GRID = np.round(np.arange(-6, 10.01, 0.05), 2)
WORDS = ["invoice", "total", "report", "meeting", "please", "attached", "number", "section"]


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """The chance that a known picture has the higher score; ties count half."""
    every = np.concatenate([known, unknown])
    _, place, count = np.unique(every, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    n, m = len(known), len(unknown)
    return float((rank[:n].sum() - n * (n + 1) / 2) / (n * m))


# scores: (pictures, labels, ground) → higher is more known


def z_bank(x: np.ndarray, labels: np.ndarray, ground: ReferenceSet) -> np.ndarray:
    bank = x @ ground.concepts.T
    return ((x @ labels.T).max(1) - bank.mean(1)) / bank.std(1)


def z_nothing(x: np.ndarray, labels: np.ndarray, ground: ReferenceSet) -> np.ndarray:
    usual = (ground.nothing @ labels.T).max(1)
    return ((x @ labels.T).max(1) - usual.mean()) / usual.std()


def z_below(x: np.ndarray, labels: np.ndarray, ground: ReferenceSet) -> np.ndarray:
    """The best of the labels and all words below them."""
    below = ground.concepts_below(ground.nearest_words(labels)).any(0)
    return z_bank(x, np.concatenate([labels, ground.concepts[below]]), ground)


SCORES: dict[str, Callable[[np.ndarray, np.ndarray, ReferenceSet], np.ndarray]] = {
    "max cosine, × 10": lambda x, labels, ground: 10 * (x @ labels.T).max(1),
    "z, bank": z_bank,
    "z, nothing": z_nothing,
    "mean of both (0.1.0)": lambda *of: (z_bank(*of) + z_nothing(*of)) / 2,
    "z, best word below": z_below,
    "evidence": evidence,
}


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


def read_levels(path: Path) -> dict[str, tuple[str, ...]]:
    """Species → its name at each level."""
    names = {}
    for line in path.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            above, species = line.split(" : ")
            world, group, kind = above.split(" > ")
            names |= {one: (one, kind, group, world) for one in species.split(", ")}
    return names


@dataclass(frozen=True)
class World:
    """Pictures and what they show, at each level, as one model sees them; and pictures of else."""

    name: str
    levels: tuple[str, ...]
    sizes: tuple[tuple[int, ...], ...]
    ground: ReferenceSet
    images: np.ndarray
    names: np.ndarray  # (levels, pictures)
    vectors: dict[str, np.ndarray]
    far: dict[str, np.ndarray]

    def half(self, which: int) -> World:
        """Every other picture, in an order drawn at random."""
        rows = np.random.default_rng(0).permutation(len(self.images))[which::2]
        return replace(self, images=self.images[rows], names=self.names[:, rows])


def of_folder(
    clf: unseen.Classifier, folder: Path, levels: Path, far: dict[str, np.ndarray]
) -> World:
    files = sorted(file for file in folder.glob("*/*") if file.is_file())
    table = read_levels(levels)
    names = np.array([table[file.parent.name.replace("_", " ")] for file in files]).T
    words = [*dict.fromkeys(names.ravel()), BACKGROUND]
    vectors = dict(zip(words, clf.compile(words).matrix, strict=True))
    images, ground = clf.encode_images(files), clf.reference_set()
    return World(folder.name, LEVELS, SIZES, ground, images, names, vectors, far)


def worlds(folder: Path | None, levels: Path | None) -> list[World]:
    small = unseen.load(ROOT / "tests" / "fixtures" / "shapes-clip")
    builtin = unseen.load()
    scenes = shapes.labels()
    drawn = [shapes.draw(shapes.scene(la), 50_000 + s) for la in scenes for s in range(8)]
    photographs = ROOT / "tests" / "photographs"
    others = {"shapes": drawn[::8], "textures": [*textures(80)], "text": [*texts(60)]}
    far = {kind: builtin.encode_images(pictures) for kind, pictures in others.items()}
    table = ROOT / "benchmarks" / "levels" / "photographs.txt"
    result = [of_folder(builtin, photographs, table, far)]
    if folder is not None and levels is not None:
        result.append(of_folder(builtin, folder, levels, far))
    others["photographs"] = sorted(photographs.glob("*/*.jpg"))
    split = [la.split() for la in scenes for _ in range(8)]
    names = np.array(
        [
            [" ".join(words) for words in split],
            [f"a {shape}" for _, _, shape in split],
            [f"a {colour} shape" for _, colour, _ in split],
            [colour for _, colour, _ in split],
        ]
    )
    words = [*dict.fromkeys(names.ravel()), BACKGROUND]
    result.append(
        World(
            "shapes",
            SHAPE_LEVELS,
            SHAPE_SIZES,
            small.reference_set(),
            small.encode_images(drawn),
            names,
            dict(zip(words, small.compile(words).matrix, strict=True)),
            {kind: small.encode_images(others[kind]) for kind in others if kind != "shapes"},
        )
    )
    return result


def label_sets(world: World, level: int, seed: int) -> Iterator[list[str]]:
    every = sorted({*world.names[level]})
    sizes = world.sizes[level]
    for draw in range(DRAWS):
        rng = np.random.default_rng([seed, level, draw])
        size = min(sizes[draw % len(sizes)], len(every) - 2)
        yield sorted(rng.choice(every, size, replace=False))


@dataclass(frozen=True)
class Draw:
    """The scores of one label set: of every picture, and of what is far."""

    scores: np.ndarray
    is_known: np.ndarray
    is_right: np.ndarray  # the best label is that of the picture
    far: np.ndarray

    def refused(self, threshold: float) -> float:
        return float((self.scores[self.is_known] < threshold).mean())

    def caught(self, threshold: float) -> tuple[float, float]:
        """Of the near and of the far pictures."""
        near = self.scores[~self.is_known]
        return float((near < threshold).mean()), float((self.far < threshold).mean())


def draws(world: World, level: int, seed: int, score: Callable[..., np.ndarray]) -> list[Draw]:
    result = []
    for labels in label_sets(world, level, seed):
        matrix = np.stack([world.vectors[label] for label in labels])
        known = np.isin(world.names[level], labels)
        best = np.array(labels)[(world.images @ matrix.T).argmax(1)]
        far = np.concatenate([score(x, matrix, world.ground) for x in world.far.values()])
        own = score(world.images, matrix, world.ground)
        result.append(Draw(own, known, known & (best == world.names[level]), far))
    return result


def background_score(world: World) -> Callable[..., np.ndarray]:
    """Above 0 where a label beats `--unknown "something else"`."""
    other = world.vectors[BACKGROUND]
    return lambda x, labels, ground: (x @ labels.T).max(1) - x @ other


def unlisted(world: World) -> World:
    """As if the words of all levels were not among the broad words that are shipped."""
    ground, count = world.ground, len(world.ground.concepts)
    keep = ~np.isin(everyday_words.broad_words(), [*world.vectors])
    assert ground.broad_words is not None and ground.below is not None
    below = ground.below[np.concatenate([np.ones(count, dtype=bool), keep])]
    smaller = ReferenceSet(ground.concepts, ground.nothing, ground.broad_words[keep], below)
    return replace(world, ground=smaller)


def interval(of: list[Draw], threshold: float) -> tuple[float, float]:
    """95 % of the mean over label sets, bootstrapped over pictures."""
    pictures = len(of[0].scores)
    times = np.random.default_rng(0).multinomial(pictures, np.full(pictures, 1 / pictures), 1000)
    rates = [
        (times @ ((d.scores < threshold) & d.is_known)) / np.maximum(times @ d.is_known, 1)
        for d in of
    ]
    low, high = np.quantile(np.mean(rates, axis=0), [0.025, 0.975])
    return 100 * float(low), 100 * float(high)


def chosen(world: World, score: Callable[..., np.ndarray], target: float = TARGET) -> float:
    """The highest threshold by which every level of the first half refuses the target at most."""
    half = world.half(0)
    worst = np.max(
        [
            np.mean([[d.refused(t) for t in GRID] for d in draws(half, level, 0, score)], axis=0)
            for level in range(len(world.levels))
        ],
        axis=0,
    )
    return float(GRID[np.flatnonzero(worst <= target)[-1]])


def by_level(world: World, score: Callable[..., np.ndarray], threshold: float, name: str) -> None:
    for level, title in enumerate(world.levels):
        every = draws(world, level, 1, score)
        known = 100 * np.mean([d.refused(threshold) for d in every])
        low, high = interval(every, threshold)
        right = 100 * np.mean(
            [(d.scores[d.is_right] < threshold).mean() for d in every if d.is_right.any()]
        )
        near, far = 100 * np.mean([d.caught(threshold) for d in every], axis=0)
        print(
            f"| {name}: {title} | {known:.0f} ({low:.0f} to {high:.0f}) | {right:.0f} "
            f"| {near:.0f} | {far:.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--levels", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    every = worlds(arguments.photographs, arguments.levels)
    # Pictures that nothing was chosen on: the second half, and all of a folder that was given.
    fresh = [w.half(1) if w.name in HALVED else w for w in every]
    head = "| known refused, % | of these rightly labelled | near caught | far caught |"
    print(f"\n| evidence < {LEAST_EVIDENCE} {head}\n|---|---|---|---|---|")
    for world in fresh:
        by_level(world, evidence, LEAST_EVIDENCE, world.name)
    print(f"\n| the same, no label's word is shipped {head}\n|---|---|---|---|---|")
    for world in fresh:
        if world.name != "shapes":  # whose model does not know the words
            by_level(unlisted(world), evidence, LEAST_EVIDENCE, world.name)
    print(f'\n| `--unknown "{BACKGROUND}"` {head}\n|---|---|---|---|---|')
    for world in fresh:
        by_level(world, background_score(world), 0, world.name)
    print(
        f"\n| score, its threshold by {TARGET:.0%} refused at most | pictures | threshold "
        "| known refused, by level | near caught | far caught | AUROC near | far |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, score in SCORES.items():
        thresholds = {w.name: chosen(w, score) for w in every if w.name in HALVED}
        for world in fresh:
            t = thresholds.get(world.name, thresholds["photographs"])
            of = [draws(world, level, 1, score) for level in range(len(world.levels))]
            refused = " ".join(f"{100 * np.mean([d.refused(t) for d in ds]):.0f}" for ds in of)
            near, far = 100 * np.mean([d.caught(t) for ds in of for d in ds], axis=0)
            areas = [
                100 * np.mean([auroc(d.scores[d.is_known], rows(d)) for ds in of for d in ds])
                for rows in (lambda d: d.scores[~d.is_known], lambda d: d.far)
            ]
            print(
                f"| {name} | {world.name} | {t:.2f} | {refused} | {near:.0f} | {far:.0f} "
                f"| {areas[0]:.0f} | {areas[1]:.0f} |"
            )


if __name__ == "__main__":
    main()
