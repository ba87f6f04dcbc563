"""How much speaks for any label at all: one number that means the same for every model.

A cosine of 0.3 is a perfect match for one model and nothing for another. So the best cosine of a
picture is set against two usual ones, each in its own spread:

- against everyday words: how the best label stands among the concepts that are shipped
  (`data/concepts.txt`), for this picture;
- against nothing: how the best cosine stands among those that the same labels reach on pictures
  that show nothing, which are noise drawn here. More labels reach more by chance, and here too.

The evidence is the mean of the two. docs/unknown.md has what else was tried, and how well it works.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.encoder import Encoder
from unseen.labels.templates import fill
from unseen.models.model import Model
from unseen.prediction.score import cosines
from unseen.system.prompt_cache import VectorCache

Rows = NDArray[np.float32]

NOTHINGS = 32  # pictures of nothing: their spread is then known to about an eighth
SIDE = 224
STEEPNESS = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0)  # of the spectrum: from grain to clouds
LIKE = 0.6  # how alike the colour channels are, as in most pictures
VERSION = 1  # of the pictures of nothing: raise it when they change


@dataclass(frozen=True, eq=False)
class ReferenceSet:
    """What evidence is measured against, of one model: everyday words, and pictures of nothing."""

    concepts: Rows  # (b, d)
    nothing: Rows  # (m, d)

    def __repr__(self) -> str:
        return f"Ground({len(self.concepts)} concepts, {len(self.nothing)} pictures)"

    @classmethod
    def of(cls, encoder: Encoder) -> ReferenceSet:
        """Encoded once and kept on disk: some hundred words and 32 small pictures."""
        return cls(encoder.encode_texts(prompts(encoder.model)), _nothing(encoder))


def evidence(images: Rows, labels: Rows, reference_set: ReferenceSet) -> Rows:
    """(n, d) pictures and (k, d) labels → (n,): large where one of the labels is there to be seen.

    Does not depend on the scale of cosines, nor on what is added to all of them.
    """
    best = cosines(images, labels).max(1)
    words = cosines(images, reference_set.concepts)
    usual = cosines(reference_set.nothing, labels).max(1)
    among = (best - words.mean(1)) / _spread(words.std(1))
    above = (best - usual.mean()) / _spread(usual.std())
    return np.asarray((among + above) / 2, dtype=np.float32)


def _spread(deviation: Rows) -> Rows:
    return np.asarray(np.maximum(deviation, 1e-6), dtype=np.float32)


@cache
def concepts() -> tuple[str, ...]:
    """The everyday words that are shipped."""
    text = resources.files("unseen").joinpath("data/concepts.txt").read_text("utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


def prompts(model: Model) -> list[str]:
    """The everyday words, as a model is asked for them."""
    return [fill(model.template, word) for word in concepts()]


def _nothing(encoder: Encoder) -> Rows:
    """The embeddings of the pictures of nothing, from the cache on disk or made now."""
    key = f"{encoder.model.fingerprint}-nothing-{VERSION}"
    names = [str(number) for number in range(NOTHINGS)]
    kept = VectorCache()
    known = kept.get_many(key, names)
    if len(known) < NOTHINGS:
        rows = encoder.encode_images([picture_of_nothing(number) for number in range(NOTHINGS)])
        known = dict(zip(names, rows, strict=True))
        kept.put_many(key, known)
    return np.stack([known[name] for name in names])


def picture_of_nothing(number: int) -> Image.Image:
    """Coloured noise whose amplitude falls with the frequency as 1 / f^a."""
    draw = np.random.default_rng(number)
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequency[0, 0] = 1
    fall = frequency ** STEEPNESS[number % len(STEEPNESS)]
    noise = draw.normal(size=(SIDE, SIDE, 3))
    waves = np.fft.irfft2(
        np.fft.rfft2(noise, axes=(0, 1)) / fall[..., None], s=(SIDE, SIDE), axes=(0, 1)
    )
    waves = (waves - waves.mean((0, 1))) / waves.std((0, 1))
    mixed = waves @ np.linalg.cholesky(np.full((3, 3), LIKE) + (1 - LIKE) * np.eye(3)).T
    pixels = mixed * draw.uniform(15, 60) + draw.uniform(50, 205, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
