"""Pictures of coloured shapes with captions: what the small trained CLIP was trained on.

    shapes.draw("a red circle", seed=3)
    shapes.draw("a small red circle left of a blue square", seed=3)

A picture depends on its caption and seed alone. No picture or caption of the combinations in
`HELD_OUT` was ever trained on: to the model they are unseen classes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from PIL import Image, ImageDraw

COLOURS = {
    "red": (214, 35, 40),
    "green": (40, 145, 60),
    "blue": (35, 75, 210),
    "yellow": (238, 215, 30),
    "purple": (125, 45, 160),
    "orange": (242, 130, 20),
    "pink": (245, 120, 180),
    "brown": (115, 70, 35),
    "black": (18, 18, 18),
    "white": (255, 255, 255),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond", "heart", "ring")
SIZES = {"small": 0.13, "large": 0.3}  # radius, as a part of the picture's side
RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

# One combination in five; every colour and every shape stays in training.
HELD_OUT = frozenset(
    (colour, shape)
    for c, colour in enumerate(COLOURS)
    for s, shape in enumerate(SHAPES)
    if (3 * c + s) % 5 == 0
)
SIDE = 64
PAIR_RADIUS = 0.21  # the largest radius at which two things stay apart


@dataclass(frozen=True)
class Thing:
    """A coloured shape, its size said or left open."""

    colour: str
    shape: str
    size: str = ""

    @property
    def held_out(self) -> bool:
        return (self.colour, self.shape) in HELD_OUT

    def caption(self) -> str:
        return f"a {self.size} {self.colour} {self.shape}".replace("  ", " ")


@dataclass(frozen=True)
class Scene:
    """One thing, or two in a relation: the first is `relation` the second."""

    things: tuple[Thing, ...]
    relation: str = ""

    def caption(self) -> str:
        """Such as "a red circle", or "a small red circle left of a blue square"."""
        return f" {self.relation} ".join(thing.caption() for thing in self.things)

    def mirrored(self) -> Scene:
        """The same, said from the other thing: "a blue square right of a small red circle"."""
        return Scene(self.things[::-1], OPPOSITE.get(self.relation, ""))

    def readings(self) -> set[str]:
        """All captions that are true of it: each size said or not, from either thing."""
        sized = product(*((thing, replace(thing, size="")) for thing in self.things))
        said = [Scene(things, self.relation) for things in sized]
        return {reading.caption() for scene in said for reading in (scene, scene.mirrored())}


def parse(caption: str) -> Scene:
    """The scene of a caption as `Scene.caption` writes it; ValueError for any other text."""
    for relation in RELATIONS:
        first, found, second = caption.partition(f" {relation} ")
        if found:
            return Scene((_parse_thing(first), _parse_thing(second)), relation)
    return Scene((_parse_thing(caption),))


def _parse_thing(text: str) -> Thing:
    match text.removeprefix("a ").split():
        case [colour, shape] if colour in COLOURS and shape in SHAPES:
            return Thing(colour, shape)
        case [size, colour, shape] if size in SIZES and colour in COLOURS and shape in SHAPES:
            return Thing(colour, shape, size)
    raise ValueError(f"not a coloured shape: {text!r}")


def labels(held_out: bool | None = None) -> list[str]:
    """Captions of every colour and shape ("a red circle"); or of the held-out or seen ones."""
    things = [Thing(colour, shape) for colour in COLOURS for shape in SHAPES]
    return [t.caption() for t in things if held_out is None or t.held_out == held_out]


def random_scene(rng: random.Random, *, pairs: float = 0.0, held_out: bool = False) -> Scene:
    """A scene of held-out or of seen combinations, sizes said; of two with probability `pairs`."""
    if rng.random() >= pairs:
        return Scene((_random_thing(rng, held_out),))
    first, second = _random_thing(rng, held_out), _random_thing(rng, held_out)
    while (first.colour, first.shape) == (second.colour, second.shape):
        second = _random_thing(rng, held_out)
    return Scene((first, second), rng.choice(RELATIONS))


def _random_thing(rng: random.Random, held_out: bool) -> Thing:
    while True:
        thing = Thing(rng.choice([*COLOURS]), rng.choice(SHAPES), rng.choice([*SIZES]))
        if thing.held_out == held_out:
            return thing


def draw(scene: Scene | str, seed: int, side: int = SIDE) -> Image.Image:
    """The picture of a scene or of its caption: RGB, side × side.

    The seed settles place, tilt, tint, ground and noise, and any size that was left open.
    """
    scene = parse(scene) if isinstance(scene, str) else scene
    rng = random.Random(f"{scene.caption()} {seed}")
    image = _ground(rng, side)
    large = 3 * side  # masks are drawn large and made small, for smooth edges
    for thing, (x, y) in zip(scene.things, _places(scene, rng), strict=True):
        radius = SIZES[thing.size or rng.choice([*SIZES])] * rng.uniform(0.92, 1.08)
        if scene.relation:
            radius = min(radius, PAIR_RADIUS)
        # One at the edge would be hard to tell from one half outside.
        x, y = (min(max(v, radius + 0.02), 0.98 - radius) for v in (x, y))
        mask = Image.new("L", (large, large))
        pen = ImageDraw.Draw(mask)
        for n, outline in enumerate(_outlines(thing.shape, rng.uniform(-0.25, 0.25))):
            hole = thing.shape == "ring" and n == 1
            points = [((x + px * radius) * large, (y + py * radius) * large) for px, py in outline]
            pen.polygon(points, fill=0 if hole else 255)
        tint = tuple(max(0, min(255, v + rng.randint(-16, 16))) for v in COLOURS[thing.colour])
        image.paste(tint, mask=mask.reduce(3))
    noise = Image.frombytes("RGB", (SIDE, SIDE), rng.randbytes(3 * SIDE * SIDE))
    return Image.blend(image, noise.resize((side, side)), rng.uniform(0.02, 0.1))


def _ground(rng: random.Random, side: int) -> Image.Image:
    """From one light colour to another, in any direction."""
    first = [rng.randint(165, 225) for _ in range(3)]
    second = tuple(v + rng.randint(-20, 20) for v in first)
    ramp = Image.linear_gradient("L").resize((side, side)).rotate(rng.choice((0, 90, 180, 270)))
    ground = Image.new("RGB", (side, side), tuple(first))
    ground.paste(second, mask=ramp)
    return ground


def _places(scene: Scene, rng: random.Random) -> list[tuple[float, float]]:
    if not scene.relation:
        return [(rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.85))]
    along = [rng.uniform(0.22, 0.28), rng.uniform(0.72, 0.78)]
    across = [rng.uniform(0.35, 0.65) for _ in along]
    if scene.relation in ("right of", "below"):
        along.reverse()
    sideways = scene.relation in ("left of", "right of")
    return list(zip(along, across, strict=True) if sideways else zip(across, along, strict=True))


Point = tuple[float, float]


def _outlines(shape: str, tilt: float) -> Iterator[list[Point]]:
    """Polygons in the unit circle, y downwards; a ring's second is its hole."""
    c, s = math.cos(tilt), math.sin(tilt)
    for outline in OUTLINES[shape]:
        yield [(x * c - y * s, x * s + y * c) for x, y in outline]


def _curve(count: int, point: Callable[[float], Point]) -> list[Point]:
    return [point(2 * math.pi * i / count) for i in range(count)]


def _round(radius: float) -> list[Point]:
    return _curve(48, lambda t: (radius * math.sin(t), -radius * math.cos(t)))


def _corners(count: int, turn: float = 0.0, inner: float = 1.0) -> list[Point]:
    """A regular figure that stands on a side; with `inner`, every second corner is drawn in."""
    points = _curve(count, lambda t: (math.sin(t + turn), -math.cos(t + turn)))
    return [(x * inner, y * inner) if i % 2 else (x, y) for i, (x, y) in enumerate(points)]


OUTLINES: dict[str, list[list[Point]]] = {
    "circle": [_round(1)],
    "ring": [_round(1), _round(0.55)],
    "square": [_corners(4, turn=math.pi / 4)],
    "triangle": [_corners(3)],
    "star": [_corners(10, inner=0.42)],
    "diamond": [[(0, -1), (0.6, 0), (0, 1), (-0.6, 0)]],
    "cross": [
        [(-0.3, -0.95), (0.3, -0.95), (0.3, 0.95), (-0.3, 0.95)],
        [(-0.95, -0.3), (0.95, -0.3), (0.95, 0.3), (-0.95, 0.3)],
    ],
    "heart": [
        _curve(
            48,
            lambda t: (
                math.sin(t) ** 3,
                -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t)) / 16,
            ),
        )
    ],
}
