"""Evidence that a picture shows any of the labels: one number, the same scale for every model.

In the literature this is an OOD (out-of-distribution) score, large for what is in distribution.

A cosine of 0.3 is a perfect match for one model and nothing for another. So the best cosine of a
picture is set against two usual ones, each in its own spread:

- against everyday words: where the best label lies among the concepts that are shipped
  (`data/concepts.txt`), for this picture;
- against nothing: where the best cosine lies among those that the same labels reach on pictures
  that show nothing, which are noise made here. More labels reach more by chance, and here too.

The evidence is the mean of the two. docs/unknown.md has what else was tried, and how well it works.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from PIL import Image

from unseen.encoder import Encoder
from unseen.labels.templates import fill
from unseen.models.model import Model
from unseen.prediction.score import cosines
from unseen.system.prompt_cache import VectorCache
from unseen.types import Floats

NOTHINGS = 32  # pictures of nothing: their spread is then known to about an eighth
SIDE = 224
STEEPNESS = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0)  # of the spectrum: from grain to clouds
CHANNEL_CORRELATION = 0.6  # of red, green and blue, as in most pictures
VERSION = 1  # of the pictures of nothing: raise it when they change


@dataclass(frozen=True, eq=False)
class ReferenceSet:
    """What evidence (an OOD score) is measured against, for one model.

    Parameters
    ----------
    concepts : float32 array (b, d)
        Vectors of everyday words, rows of length 1.
    nothing : float32 array (m, d)
        Embeddings of pictures that show nothing, rows of length 1.

    Examples
    --------
    >>> import unseen
    >>> clf = unseen.load()
    >>> ReferenceSet.of(clf.encoder)
    ReferenceSet(477 concepts, 32 pictures)
    """

    concepts: Floats
    nothing: Floats

    def __repr__(self) -> str:
        return f"ReferenceSet({len(self.concepts)} concepts, {len(self.nothing)} pictures)"

    @classmethod
    def of(cls, encoder: Encoder) -> ReferenceSet:
        """Some hundred words and 32 small pictures, encoded once and cached on disk.

        Parameters
        ----------
        encoder : Encoder
            The model whose evidence is measured.

        Returns
        -------
        ReferenceSet
        """
        return cls(encoder.encode_texts(prompts(encoder.model)), _nothing(encoder))


def evidence(images: Floats, labels: Floats, reference_set: ReferenceSet) -> Floats:
    """How likely it is that one of the labels is there to be seen: an OOD score.

    The mean of two z-scores of the best cosine, so it depends neither on the scale of cosines nor
    on what is added to all of them.

    Parameters
    ----------
    images : float32 array (n, d)
        Pictures, rows of length 1.
    labels : float32 array (k, d)
        Labels, rows of length 1.
    reference_set : ReferenceSet
        Of the same model.

    Returns
    -------
    float32 array (n,)
        The evidence of each picture, in standard deviations.
    """
    best = cosines(images, labels).max(1)
    words = cosines(images, reference_set.concepts)
    noise = cosines(reference_set.nothing, labels).max(1)
    # The words differ by picture, the noise by label set: each has its own mean and deviation.
    word_score = (best - words.mean(1)) / _spread(words.std(1))
    noise_score = (best - noise.mean()) / _spread(noise.std())
    return np.asarray((word_score + noise_score) / 2, dtype=np.float32)


def nearest_concepts(
    images: Floats, reference_set: ReferenceSet, *, top: int, without: Collection[str] = ()
) -> list[list[tuple[str, float]]]:
    """The everyday words that pictures resemble most, whatever the labels are.

    Parameters
    ----------
    images : float32 array (n, d)
        Pictures, rows of length 1.
    reference_set : ReferenceSet
        Of the same model.
    top : int
        How many words a picture gets.
    without : collection of str
        Words to leave out, whatever their case: the labels.

    Returns
    -------
    list of list of tuple of str and float
        For each picture its nearest words, best first, with their cosines.
    """
    labels = {label.casefold() for label in without}
    words = [(i, word) for i, word in enumerate(concepts()) if word.casefold() not in labels]
    similarities = cosines(images, reference_set.concepts[[i for i, _ in words]])
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :top]
    return [
        [(words[i][1], float(row[i])) for i in nearest]
        for row, nearest in zip(similarities, order, strict=True)
    ]


def _spread(deviation: Floats) -> Floats:
    """Never 0: a picture whose cosines are all the same is not divided by."""
    return np.asarray(np.maximum(deviation, 1e-6), dtype=np.float32)


@cache
def concepts() -> tuple[str, ...]:
    """The everyday words that are shipped."""
    text = resources.files("unseen").joinpath("data/concepts.txt").read_text("utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


def prompts(model: Model) -> list[str]:
    """The everyday words in the template of a model."""
    return [fill(model.template, word) for word in concepts()]


def _nothing(encoder: Encoder) -> Floats:
    """The embeddings of the pictures of nothing, from the cache on disk or made now."""
    key = f"{encoder.model.fingerprint}-nothing-{VERSION}"
    names = [str(number) for number in range(NOTHINGS)]
    cache = VectorCache()
    vectors = cache.get_many(key, names)
    if len(vectors) < NOTHINGS:
        rows = encoder.encode_images([picture_of_nothing(number) for number in range(NOTHINGS)])
        vectors = dict(zip(names, rows, strict=True))
        cache.put_many(key, vectors)
    return np.stack([vectors[name] for name in names])


def picture_of_nothing(number: int) -> Image.Image:
    """Coloured noise whose amplitude falls with the frequency as 1 / f^a."""
    rng = np.random.default_rng(number)
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequency[0, 0] = 1
    divisor = frequency ** STEEPNESS[number % len(STEEPNESS)]
    noise = rng.normal(size=(SIDE, SIDE, 3))
    waves = np.fft.irfft2(
        np.fft.rfft2(noise, axes=(0, 1)) / divisor[..., None], s=(SIDE, SIDE), axes=(0, 1)
    )
    waves = (waves - waves.mean((0, 1))) / waves.std((0, 1))
    # The Cholesky factor of their correlation makes independent channels correlated.
    correlation = np.full((3, 3), CHANNEL_CORRELATION) + (1 - CHANNEL_CORRELATION) * np.eye(3)
    channels = waves @ np.linalg.cholesky(correlation).T
    pixels = channels * rng.uniform(15, 60) + rng.uniform(50, 205, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
