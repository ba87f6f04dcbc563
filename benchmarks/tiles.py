"""What `--tiles` is worth: every figure of docs/tiles.md.

    python benchmarks/tiles.py --rows /tmp/rows         # everything, some forty minutes
    python benchmarks/tiles.py --rows /tmp/rows shapes  # some of it; rows that are there are read

Things of 1, 2, 5 and 10 % of the area are laid into pictures that do not show them. *photographs*:
the middle of a photograph of tests/photographs, as a soft ellipse, in another one; the built-in
model. *shapes*: a drawn shape in a corner of a scene with a larger one; the small CLIP of the
tests. Rules and numbers were chosen on the draw `CHOICE`, with one half of the labels (*choice*,
*evidence* and *auto* print what was compared); every figure of the other parts is of other draws,
with the labels of the other half.

*right*: of 5 labels, the thing among them and the host not, the thing is the answer; without a
thing the host. *placed*: of these the tile holds the middle of the thing. *yes*: of all labels of a
half in multi-label mode. *false yes*: of the labels that a picture without a thing does not show.
*accepted*: with --unknown auto and 5 labels. Intervals: 95 %, Wilson, over pictures.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import unseen
from unseen.encoder import Encoded, Tiles
from unseen.images.tiling import tile_boxes
from unseen.prediction import score
from unseen.prediction.open_set import evidence
from unseen.prediction.prediction import LEAST_EVIDENCE

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import shapes  # noqa: E402 - it lies with the tests

AREAS = (0.01, 0.02, 0.05, 0.10)
PHOTOGRAPHS = ROOT / "tests" / "photographs"
SIDE = 960  # pixels of a photograph that things are laid into
SHAPES_SIDE = 256
FIXTURE = ROOT / "tests" / "fixtures" / "shapes-clip"
CHOICE = 0  # the draw that rules were chosen on


@dataclass(frozen=True)
class Sample:
    """Pictures, what was laid into each (None: nothing), and the middle of it in its units."""

    images: list[Image.Image]
    hosts: list[str]
    things: list[str | None]
    areas: list[float]
    middles: list[tuple[float, float]]


def folders(half: int | None = None) -> list[Path]:
    """The folders of the photographs; half of them."""
    every = sorted(path for path in PHOTOGRAPHS.iterdir() if path.is_dir())
    return every if half is None else every[half::2]


def square(file: Path, side: int) -> Image.Image:
    """The middle of a photograph."""
    with Image.open(file) as image:
        rgb = image.convert("RGB")
    edge = min(rgb.size)
    left, top = (rgb.width - edge) // 2, (rgb.height - edge) // 2
    box = (left, top, left + edge, top + edge)
    return rgb.resize((side, side), Image.Resampling.BICUBIC, box)


def photograph_sample(
    draw: int, count: int, areas: Sequence[float] = AREAS, reduced: int | None = None
) -> Sample:
    """`count` photographs of each area with a thing of another folder in it; `reduced`: in the end
    to this side."""
    rng = random.Random(f"tiles {draw}")
    sample = Sample([], [], [], [], [])
    names = folders(0 if draw == CHOICE else 1)
    for area in areas:
        for _ in range(count):
            thing, other = rng.sample(names, 2)
            image = square(rng.choice(sorted(other.glob("*.jpg"))), SIDE)
            edge = round(SIDE * math.sqrt(area * 4 / math.pi))
            small = square(rng.choice(sorted(thing.glob("*.jpg"))), edge)
            mask = Image.new("L", (4 * edge, 4 * edge), 0)
            ImageDraw.Draw(mask).ellipse((0, 0, 4 * edge, 4 * edge), fill=255)
            mask = mask.resize((edge, edge)).filter(ImageFilter.GaussianBlur(edge / 40))
            left, top = (rng.randint(0, SIDE - edge) for _ in range(2))
            image.paste(small, (left, top), mask)
            if reduced is not None:
                image = image.resize((reduced, reduced), Image.Resampling.LANCZOS)
            sample.images.append(image)
            sample.hosts.append(other.name.replace("_", " "))
            sample.things.append(thing.name.replace("_", " "))
            sample.areas.append(area)
            sample.middles.append(((left + edge / 2) / SIDE, (top + edge / 2) / SIDE))
    return sample


def plain_photographs(draw: int) -> Sample:
    """The photographs of a half of the folders, as they are laid under things."""
    files = [file for path in folders(0 if draw == CHOICE else 1) for file in path.glob("*.jpg")]
    names = [file.parent.name.replace("_", " ") for file in sorted(files)]
    images = [square(file, SIDE) for file in sorted(files)]
    n = len(images)
    return Sample(images, names, [None] * n, [0.0] * n, [(0.5, 0.5)] * n)


def shape_sample(draw: int, count: int, side: int = SHAPES_SIDE) -> Sample:
    """`count` scenes of each area: a large shape, a small one beside it; and as many without."""
    rng = random.Random(f"shapes {draw}")
    own = shapes.labels()[0 if draw == CHOICE else 1 :: 2]
    sample = Sample([], [], [], [], [])
    for area in (0.0, *AREAS):
        for _ in range(count):
            host, thing = rng.sample(own, 2)
            image, middle = with_shape(host, thing if area else None, area, side, rng)
            sample.images.append(image)
            sample.hosts.append(host)
            sample.things.append(thing if area else None)
            sample.areas.append(area)
            sample.middles.append(middle)
    return sample


def with_shape(
    host: str, thing: str | None, area: float, side: int, rng: random.Random
) -> tuple[Image.Image, tuple[float, float]]:
    """A large shape in the middle, and a small one in a corner, as `shapes.draw` draws them."""
    scale, seed = shapes.SCALE, rng.getrandbits(32)
    own = random.Random(seed)
    ground = tuple(own.randint(195, 255) for _ in range(3))
    image = Image.new("RGB", (side * scale, side * scale), ground)
    pen = ImageDraw.Draw(image)
    radius = math.sqrt(area / math.pi) * 1.15  # a shape fills about three quarters of its circle
    x, y = (rng.choice((radius + 0.01, 1 - radius - 0.01)) for _ in range(2))
    placed = [(host, 0.5, 0.5, 0.22)] + ([(thing, x, y, radius)] if thing else [])
    for label, cx, cy, r in placed:
        colour, shape = label.removeprefix("a ").split()
        tint = tuple(max(0, min(255, v + own.randint(-18, 18))) for v in shapes.COLOURS[colour])
        outlines = shapes._outline(shape, own.uniform(-0.25, 0.25))
        polygons = [[(cx + px * r, cy + py * r) for px, py in o] for o in outlines]
        hole = (cx, cy, r * 0.55) if shape == "ring" else None
        shapes.Figure(polygons, tint, hole).fill(pen, side * scale, tint, ground)
    image = image.resize((side, side), Image.Resampling.LANCZOS)
    grain = np.random.default_rng(seed).normal(128, own.uniform(4, 14), (side, side))
    noise = Image.fromarray(grain.clip(0, 255).astype(np.uint8)).convert("RGB")
    return Image.blend(image, noise, 0.06), (x, y)


def rows_of(
    classifier: unseen.Classifier, sample: Sample, tilings: Sequence[str] = ("2x2", "3x3")
) -> np.ndarray[Any, Any]:
    """(pictures, 1 + tiles, d): the whole and then the tiles of each picture of one size."""

    def views() -> Iterator[Image.Image]:
        for image in sample.images:
            yield image
            for tiling in tilings:
                for box in tile_boxes(image.size, tiling, 1):
                    yield image.crop(box)

    rows = classifier.encoder.encode_images(views())
    return rows.reshape(len(sample.images), -1, rows.shape[-1])


TILES = {"none": [], "2x2": [*range(1, 5)], "3x3": [*range(5, 14)], "pyramid": [*range(1, 14)]}


@dataclass(frozen=True)
class Draw:
    """A sample, encoded, with all labels of its half."""

    classifier: unseen.Classifier
    labels: list[str]
    sample: Sample
    rows: np.ndarray[Any, Any]
    boxes: tuple[tuple[int, int, int, int], ...]

    def encoded(self, i: int, tiling: str) -> Encoded:
        """A picture with its tiles."""
        own = TILES[tiling]
        boxes = tuple(self.boxes[row - 1] for row in own)
        tiles = Tiles(boxes, self.rows[i][own]) if own else None
        return Encoded(str(i), self.rows[i, 0], tiles=tiles)

    @cached_property
    def compiled(self) -> unseen.CompiledLabels:
        return self.classifier.compile(self.labels)

    def some(self, names: Sequence[str]) -> unseen.CompiledLabels:
        """Some of the labels."""
        every = self.compiled
        rows = [self.labels.index(name) for name in names]
        labels, prompts = ([own[row] for row in rows] for own in (every.labels, every.prompts))
        return replace(
            every, labels=tuple(labels), prompts=tuple(prompts), matrix=every.matrix[rows]
        )

    def of_area(self, area: float) -> list[int]:
        """The pictures with a thing of this area; 0: without one."""
        return [i for i, own in enumerate(self.sample.areas) if own == area]


def photographs(draw: int, folder: Path) -> Draw:
    """Photographs with things and without, by the built-in model."""
    classifier = unseen.load()
    plain, full = plain_photographs(draw), photograph_sample(draw, 40)
    sample = Sample(
        plain.images + full.images,
        plain.hosts + full.hosts,
        plain.things + full.things,
        plain.areas + full.areas,
        plain.middles + full.middles,
    )
    labels = [path.name.replace("_", " ") for path in folders(0 if draw == CHOICE else 1)]
    return _draw(classifier, labels, sample, folder / f"photographs-{draw}.npy", SIDE)


def drawn_shapes(draw: int, folder: Path) -> Draw:
    """Drawn scenes, by the small CLIP."""
    labels = shapes.labels()[0 if draw == CHOICE else 1 :: 2]
    sample = shape_sample(draw, 150)
    path = folder / f"shapes-{draw}.npy"
    return _draw(unseen.load(FIXTURE), labels, sample, path, SHAPES_SIDE)


def _draw(
    classifier: unseen.Classifier, labels: list[str], sample: Sample, path: Path, side: int
) -> Draw:
    if not path.exists():
        np.save(path, rows_of(classifier, sample))
    boxes = [box for name in ("2x2", "3x3") for box in tile_boxes((side, side), name, 1)]
    middles = [(x * side, y * side) for x, y in sample.middles]
    placed = Sample(sample.images, sample.hosts, sample.things, sample.areas, middles)
    return Draw(classifier, labels, placed, np.load(path), tuple(boxes))


def share(hits: Sequence[bool]) -> str:
    """A share with its Wilson interval of 95 %."""
    n, p, z = len(hits), float(np.mean(hits)), 1.96
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return f"{p:.2f} [{max(0, middle - half):.2f}, {middle + half:.2f}]"


def label_set(draw: Draw, i: int, count: int, rng: random.Random, *, absent: bool) -> list[str]:
    """Labels of a picture: what is to be seen there is the first, or is not among them."""
    host, thing = draw.sample.hosts[i], draw.sample.things[i]
    others = rng.sample([name for name in draw.labels if name not in (host, thing)], count)
    return others if absent else [thing or host, *others[1:]]


def answers(draws: Sequence[Draw], tiling: str) -> Iterator[str]:
    """Right answers and places of 5 labels, and what --unknown auto lets through."""
    for area in (0.0, *AREAS):
        right, placed, passed, false = [], [], [], []
        for number, draw in enumerate(draws):
            rng = random.Random(number)
            decision = draw.classifier.decision(unknown="auto")
            for i in draw.of_area(area):
                for absent in (False, True) if not area else (False,):
                    labels = draw.some(label_set(draw, i, 5, rng, absent=absent))
                    stream = iter([draw.encoded(i, tiling)])
                    (answer,) = draw.classifier.predictions(stream, labels, decision)
                    accepted = not answer.rejected
                    if absent:
                        false.append(accepted)
                        continue
                    passed.append(accepted)
                    right.append(answer.ranking[0].label == labels.labels[0].name)
                    if right[-1] and area:
                        placed.append(holds(answer.ranking[0].tile, draw.sample.middles[i]))
        what = f"thing of {area:.0%}" if area else "no thing"
        where = f", placed {share(placed)} of {len(placed)}" if placed else ""
        line = f"{tiling:7} {what:12} n {len(right):3}: right {share(right)}{where}"
        unknown = f"; accepted {share(passed)}"
        yield line + unknown + (f", without any label {share(false)}" if not area else "")


def holds(tile: tuple[int, int, int, int] | None, middle: tuple[float, float]) -> bool:
    if tile is None:
        return False
    left, top, right, bottom = tile
    return left <= middle[0] <= right and top <= middle[1] <= bottom


def yes_or_no(draws: Sequence[Draw], tiling: str) -> str:
    """Multi-label: yes for things by area, and false yes a label of plain pictures."""
    yes: dict[float, list[bool]] = {area: [] for area in (0.0, *AREAS)}
    false = []
    for draw in draws:
        labels = draw.compiled
        decision = draw.classifier.decision(multi_label=True)
        stream = (draw.encoded(i, tiling) for i in range(len(draw.rows)))
        for i, answer in enumerate(draw.classifier.predictions(stream, labels, decision)):
            names = set(answer.probabilities)
            host, thing = draw.sample.hosts[i], draw.sample.things[i]
            yes[draw.sample.areas[i]].append((thing or host) in names)
            if thing is None:
                false += [name in names for name in draw.labels if name != host]
    things = ", ".join(f"{area:.0%} {share(yes[area])}" for area in AREAS)
    return (
        f"{tiling:7} yes: {things}; the host of a plain picture {share(yes[0.0])}; "
        f"false yes a label {np.mean(false):.3f}"
    )


def average_precision(scores: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> float:
    ordered = right[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(ordered) / np.arange(1, len(ordered) + 1))[ordered].mean())


def searched(draws: Sequence[Draw], tiling: str) -> str:
    """Mean average precision of a search by each label, for plain pictures and by area."""
    precisions: dict[float, list[float]] = {area: [] for area in (0.0, *AREAS)}
    for draw in draws:
        matrix = draw.compiled.matrix
        cosines = (draw.rows[:, [0, *TILES[tiling]]] @ matrix.T).max(1)
        hosts, things = np.array(draw.sample.hosts), np.array([t or "" for t in draw.sample.things])
        areas = np.array(draw.sample.areas)
        for column, label in enumerate(draw.labels):
            shows = (hosts == label) | (things == label)
            for area, values in precisions.items():
                relevant = (areas == area) & ((things if area else hosts) == label)
                if relevant.any():
                    rows = relevant | ~shows
                    values.append(average_precision(cosines[rows, column], relevant[rows]))
    text = ", ".join(
        f"{f'{area:.0%}' if area else 'plain'} {mean_of(values)}"
        for area, values in precisions.items()
    )
    return f"{tiling:7} search, mean average precision: {text}"


def mean_of(values: Sequence[float]) -> str:
    """A mean over labels with its interval of 95 %."""
    return f"{np.mean(values):.2f} ± {1.96 * np.std(values) / len(values) ** 0.5:.2f}"


def run(draws: Sequence[Draw]) -> Iterator[str]:
    for tiling in TILES:
        yield from answers(draws, tiling)
    for tiling in TILES:
        yield yes_or_no(draws, tiling)
    for tiling in TILES:
        yield searched(draws, tiling)


def run_photographs(folder: Path) -> Iterator[str]:
    yield from run([photographs(draw, folder) for draw in (1,)])


def run_shapes(folder: Path) -> Iterator[str]:
    yield from run([drawn_shapes(draw, folder) for draw in (1, 2)])


RULES: dict[str, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    "maximum": lambda x: x.max(1),
    "mean of the best two": lambda x: np.sort(x, 1)[:, -2:].mean(1),
    "mean of the best three": lambda x: np.sort(x, 1)[:, -3:].mean(1),
    "mean of whole and best": lambda x: (x[:, 0] + x.max(1)) / 2,
    "mean of exp(logit)": lambda x: np.log(np.exp(x).mean(1)),
}


def run_choice(folder: Path) -> Iterator[str]:
    """What the rule was chosen by: yes at 0.5, and where false yes are those of the whole."""
    for name, draw in (
        ("photographs", photographs(CHOICE, folder)),
        ("shapes", drawn_shapes(CHOICE, folder)),
    ):
        labels = draw.compiled
        cosines = draw.rows @ labels.matrix.T
        neutral = draw.rows @ labels.neutral.T
        raw = score.multi_label_logits(cosines, neutral, labels.score)
        logits = score.yes_no_logits(raw, labels.score, labels.competitors).astype(np.float64)
        hosts, things = np.array(draw.sample.hosts), np.array([t or "" for t in draw.sample.things])
        places = {label: column for column, label in enumerate(draw.labels)}
        plain = np.flatnonzero(things == "")
        absent = np.array([[label != hosts[i] for label in draw.labels] for i in plain])
        before = float((logits[plain, 0][absent] >= 0).mean())
        yield f"{name}: false yes of the whole {before:.3f}"
        for tiling, own in TILES.items():
            for rule, pooled in RULES.items() if own else [("-", RULES["maximum"])]:
                values = pooled(logits[:, [0, *own]])
                negatives = values[plain][absent]
                level = float(np.quantile(negatives, 1 - before))
                rows = np.flatnonzero(things != "")
                mine = np.array([values[i, places[things[i]]] for i in rows])
                areas = np.array(draw.sample.areas)[rows]
                at = [
                    " ".join(f"{(mine[areas == area] >= least).mean():.2f}" for area in AREAS)
                    for least in (0.0, level)
                ]
                yield (
                    f"{name} {tiling:7} {rule:22}: at 0.5 false yes {(negatives >= 0).mean():.3f}, "
                    f"yes {at[0]}; at equal false yes {at[1]}"
                )


def run_evidence(folder: Path) -> Iterator[str]:
    """What `TILE_EVIDENCE` was chosen by: pictures that --unknown auto accepts, with 5 labels."""
    yield from accepted_by_evidence("photographs", photographs(CHOICE, folder))
    yield from accepted_by_evidence("shapes", drawn_shapes(CHOICE, folder))


def accepted_by_evidence(name: str, draw: Draw) -> Iterator[str]:
    reference, rng = draw.classifier.reference_set(), random.Random(0)
    matrix = dict(zip(draw.labels, draw.compiled.matrix, strict=True))
    measured = {}
    for i in range(len(draw.rows)):
        for absent in (False, True):
            texts = np.stack([matrix[la] for la in label_set(draw, i, 5, rng, absent=absent)])
            best = (draw.rows[i] @ texts.T).max(1)
            measured[i, absent] = (evidence(draw.rows[i], texts, reference), best)

    def accepted(pictures: list[int], absent: bool, views: list[int], less: float) -> float:
        hits = []
        for i in pictures:
            scores, cosines = (values[views] for values in measured[i, absent])
            hits.append(max(scores[0], scores[cosines.argmax()] - less) >= LEAST_EVIDENCE)
        return float(np.mean(hits))

    plain = draw.of_area(0.0)
    for tiling, own in TILES.items():
        for less in (0.0, 1.0, 1.5, 2.0, 2.5, 3.0) if own else (0.0,):
            views = [0, *own]
            things = [accepted(draw.of_area(area), False, views, less) for area in AREAS]
            yield (
                f"{name} {tiling:7} less {less:.1f}: plain pictures with their label "
                f"{accepted(plain, False, views, less):.2f}, without "
                f"{accepted(plain, True, views, less):.2f}; things "
                + " ".join(f"{value:.2f}" for value in things)
            )


def run_auto(folder: Path) -> Iterator[str]:
    """What ``auto`` was chosen by: pictures of several sizes; the nets take 64 and 260 pixels."""
    for side in (32, 64, 128):
        sample, labels = shape_sample(CHOICE, 30, side), shapes.labels()[0::2]
        path = folder / f"auto-shapes-{side}.npy"
        draw = _draw(unseen.load(FIXTURE), labels, sample, path, side)
        yield from by_area(f"shapes, side {side}", draw, AREAS)
    areas = (0.05, 0.10)
    for side in (130, 260):
        sample = photograph_sample(CHOICE, 16, areas, reduced=side)
        labels = [path.name.replace("_", " ") for path in folders(0)]
        path = folder / f"auto-photographs-{side}.npy"
        draw = _draw(unseen.load(), labels, sample, path, side)
        yield from by_area(f"photographs, side {side}", draw, areas)


def by_area(name: str, draw: Draw, areas: Sequence[float]) -> Iterator[str]:
    for tiling in TILES:
        right = {area: right_answers(draw, tiling, area) for area in areas}
        shares = ", ".join(f"{area:.0%} {value:.2f}" for area, value in right.items())
        yield f"{name}, {tiling:7}: {shares}"


def right_answers(draw: Draw, tiling: str, area: float) -> float:
    """The share of pictures whose answer is the thing, of 5 labels; 5 sets each."""
    rng, right = random.Random(0), []
    decision = draw.classifier.decision()
    for i in draw.of_area(area):
        for _ in range(5):
            labels = draw.some(label_set(draw, i, 5, rng, absent=False))
            stream = iter([draw.encoded(i, tiling)])
            (answer,) = draw.classifier.predictions(stream, labels, decision)
            right.append(answer.ranking[0].label == labels.labels[0].name)
    return float(np.mean(right))


def run_cost(folder: Path) -> Iterator[str]:
    """Processor time of a photograph, which other load does not change, and bytes in an index."""
    os.environ["UNSEEN_CACHE_BYTES"] = "0"  # else the pyramid is there already
    classifier = unseen.load()
    files = sorted(PHOTOGRAPHS.glob("*/*.jpg"))[:6]
    with tempfile.TemporaryDirectory() as home:
        photos = Path(home, "photos")
        photos.mkdir()
        for file in files:
            square(file, 480).resize((1500, 1000)).save(photos / file.name, quality=90)
        base = 0.0
        list(classifier.encoded(sorted(photos.iterdir())[:1]))  # compiled before it is timed
        for tiling in (None, "2x2", "3x3", "pyramid", "auto"):
            stream = classifier.encoded(sorted(photos.iterdir()), tiling)
            start = time.process_time()
            views = [1 + (len(e.tiles.boxes) if e.tiles else 0) for e in stream]
            seconds = (time.process_time() - start) / len(views)
            base = base or seconds
            yield (
                f"{tiling}: {np.mean(views):.0f} views of 1500 × 1000, {seconds * 1e3:.0f} ms of a "
                f"core a picture, {seconds / base:.1f} times as long as without"
            )
        with unseen.Index(photos) as index:
            index.update(classifier.encoder)
            for tiling in ("2x2", "3x3", "pyramid"):
                stored = index.keep_tiles(classifier.encoder, tiling)
                yield f"index, {tiling}: {stored.bytes / stored.pictures / 1e3:.1f} kB a picture"


PARTS: dict[str, Callable[[Path], Iterator[str]]] = {
    "choice": run_choice,
    "evidence": run_evidence,
    "auto": run_auto,
    "photographs": run_photographs,
    "shapes": run_shapes,
    "cost": run_cost,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="default: all")
    parser.add_argument("--rows", type=Path, help="a folder for embeddings, for the next time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.rows or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for part in given.parts or PARTS:
            for line in PARTS[part](folder):
                print(line, flush=True)


if __name__ == "__main__":
    main()
