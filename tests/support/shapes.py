"""Pictures of coloured shapes with captions: what the small trained CLIP was trained on.

A picture is a pure function of its `Scene` and a seed. The combinations in `HELD_OUT` were never
trained on, so a picture of one is a class that the model has not seen.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

COLOURS = {
    "red": (214, 40, 40),
    "green": (44, 150, 60),
    "blue": (40, 80, 210),
    "yellow": (240, 210, 40),
    "purple": (130, 50, 160),
    "orange": (245, 130, 20),
    "pink": (250, 130, 180),
    "brown": (115, 70, 35),
    "black": (20, 20, 20),
    "cyan": (40, 200, 215),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond", "heart", "ring")
SIZES = {"small": 0.15, "large": 0.33}  # radius, as a part of the side
RELATIONS = ("left of", "right of", "above", "below")

# One in five; every colour and every shape stays in training.
HELD_OUT = frozenset(
    (colour, shape)
    for c, colour in enumerate(COLOURS)
    for s, shape in enumerate(SHAPES)
    if (3 * c + s) % 5 == 0
)
SIDE = 64


@dataclass(frozen=True)
class Thing:
    """One coloured shape."""

    colour: str
    shape: str
    size: str

    def caption(self, with_size: bool = False) -> str:
        return f"{self.size + ' ' if with_size else ''}{self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """One thing, or two in a relation: the first is `relation` the second."""

    things: tuple[Thing, ...]
    relation: str | None = None

    def caption(self, with_size: bool = False) -> str:
        """Such as "a small red circle left of a large blue square"."""
        parts = [f"a {thing.caption(with_size)}" for thing in self.things]
        return f" {self.relation} ".join(parts)


def labels(held_out: bool | None = None) -> list[str]:
    """Colours and shapes in the words of a label, "a red circle": all, or (not) held out."""
    return [
        f"a {colour} {shape}"
        for colour in COLOURS
        for shape in SHAPES
        if held_out in (None, (colour, shape) in HELD_OUT)
    ]


def scene(label: str, size: str = "large") -> Scene:
    """The scene of a label, "a red circle" or "red circle"."""
    colour, shape = label.removeprefix("a ").split()
    return Scene((Thing(colour, shape, size),))


def held_out_scenes() -> list[Scene]:
    """One thing each, of the combinations that were never trained on, in both sizes."""
    return [Scene((Thing(c, s, size),)) for c, s in sorted(HELD_OUT) for size in SIZES]


def random_scene(rng: random.Random, *, pairs: float, held_out: bool = False) -> Scene:
    """A scene of two things with the probability `pairs`; of seen combinations, or of unseen."""
    if rng.random() >= pairs:
        return Scene((_thing(rng, held_out),))
    first, second = _thing(rng, held_out), _thing(rng, held_out)
    while second.caption() == first.caption():
        second = _thing(rng, held_out)
    return Scene((first, second), rng.choice(RELATIONS))


def _thing(rng: random.Random, held_out: bool) -> Thing:
    while True:
        thing = Thing(rng.choice([*COLOURS]), rng.choice(SHAPES), rng.choice([*SIZES]))
        if ((thing.colour, thing.shape) in HELD_OUT) == held_out:
            return thing


@dataclass(frozen=True)
class Figure:
    """A thing as it is drawn, in units of the side: polygons, a tint, a hole (x, y, radius)."""

    polygons: list[list[tuple[float, float]]]
    tint: tuple[int, ...]
    hole: tuple[float, float, float] | None

    def fill(self, pen: ImageDraw.ImageDraw, side: int, tint: object, ground: object) -> None:
        for polygon in self.polygons:
            pen.polygon([(x * side, y * side) for x, y in polygon], fill=tint)
        if self.hole is not None:
            x, y, radius = (v * side for v in self.hole)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ground)


SCALE = 4  # drawn large and made small, for smooth edges


def draw(scene: Scene, seed: int, side: int = SIDE) -> Image.Image:
    """The picture of a scene: RGB, side × side; place, tilt, tint and ground vary with the seed."""
    rng = random.Random(f"{scene}{seed}")
    ground = _ground(rng)
    image = Image.new("RGB", (side * SCALE, side * SCALE), ground)
    pen = ImageDraw.Draw(image)
    for figure in _figures(scene, rng):
        figure.fill(pen, side * SCALE, figure.tint, ground)
    image = image.resize((side, side), Image.Resampling.LANCZOS)
    # Not Image.effect_noise, which has a state of its own and heeds no seed.
    grain = np.random.default_rng(rng.getrandbits(32)).normal(128, rng.uniform(4, 14), (side, side))
    noise = Image.fromarray(grain.clip(0, 255).astype(np.uint8)).convert("RGB")
    return Image.blend(image, noise, 0.06)


def outlines(
    scene: Scene, seed: int, side: int = SIDE, *, filled: bool = False
) -> list[NDArray[np.bool_]]:
    """Where each thing of `draw(scene, seed)` lies: bool (side, side) of each, in order.

    A thing that another one covers in part keeps only what is to be seen of it. `filled`: the hole
    of a ring belongs to it.
    """
    rng = random.Random(f"{scene}{seed}")
    _ground(rng)
    masks: list[NDArray[np.bool_]] = []
    for figure in _figures(scene, rng):
        image = Image.new("L", (side * SCALE, side * SCALE), 0)
        figure.fill(ImageDraw.Draw(image), side * SCALE, 255, 255 if filled else 0)
        small = image.resize((side, side), Image.Resampling.BOX)
        mask = np.asarray(small) >= 128
        masks = [before & ~mask for before in masks] + [mask]
    return masks


def _ground(rng: random.Random) -> tuple[int, ...]:
    return tuple(rng.randint(195, 255) for _ in range(3))


def _figures(scene: Scene, rng: random.Random) -> Iterator[Figure]:
    """Each thing in its place. Pictures rest on the order in which random numbers are drawn."""
    for thing, (x, y), room in zip(scene.things, *_places(scene, rng), strict=True):
        radius = min(SIZES[thing.size] * rng.uniform(0.9, 1.1), room)
        tint = tuple(max(0, min(255, v + rng.randint(-18, 18))) for v in COLOURS[thing.colour])
        outlines = _outline(thing.shape, rng.uniform(-0.25, 0.25))
        polygons = [[(x + px * radius, y + py * radius) for px, py in o] for o in outlines]
        hole = (x, y, radius * 0.55) if thing.shape == "ring" else None
        yield Figure(polygons, tint, hole)


def _places(scene: Scene, rng: random.Random) -> tuple[list[tuple[float, float]], list[float]]:
    if scene.relation is None:
        radius = SIZES[scene.things[0].size] * 1.1
        free = 0.5 - radius - 0.03
        return [(0.5 + rng.uniform(-free, free), 0.5 + rng.uniform(-free, free))], [1.0]
    first, second = rng.uniform(0.2, 0.27), rng.uniform(0.73, 0.8)
    across = [rng.uniform(0.35, 0.65) for _ in range(2)]
    if scene.relation in ("right of", "below"):
        first, second = second, first
    along = [first, second]
    sideways = scene.relation in ("left of", "right of")
    places = list(zip(along, across, strict=True) if sideways else zip(across, along, strict=True))
    return places, [0.2, 0.2]


def _outline(shape: str, tilt: float) -> Iterator[list[tuple[float, float]]]:
    """Polygons in the unit circle."""

    def turned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        c, s = math.cos(tilt), math.sin(tilt)
        return [(x * c - y * s, x * s + y * c) for x, y in points]

    def around(
        count: int, start: float, radii: tuple[float, ...] = (1.0,)
    ) -> list[tuple[float, float]]:
        angles = [start + 2 * math.pi * i / count for i in range(count)]
        return [
            (radii[i % len(radii)] * math.cos(a), radii[i % len(radii)] * math.sin(a))
            for i, a in enumerate(angles)
        ]

    up = -math.pi / 2
    if shape in ("circle", "ring"):
        yield around(60, 0)
    elif shape == "square":
        yield turned(around(4, math.pi / 4))
    elif shape == "triangle":
        yield turned(around(3, up))
    elif shape == "star":
        yield turned(around(10, up, (1.0, 0.42)))
    elif shape == "diamond":
        yield turned([(0, -1), (0.62, 0), (0, 1), (-0.62, 0)])
    elif shape == "cross":
        yield turned([(-0.3, -1), (0.3, -1), (0.3, 1), (-0.3, 1)])
        yield turned([(-1, -0.3), (1, -0.3), (1, 0.3), (-1, 0.3)])
    else:  # heart
        turns = [2 * math.pi * i / 60 for i in range(60)]
        yield turned(
            [
                (
                    math.sin(t) ** 3,
                    -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t)) / 16,
                )
                for t in turns
            ]
        )
