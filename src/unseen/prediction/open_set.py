"""Evidence that a picture shows any of the labels: one number, the same scale for every model.

In the literature this is an OOD (out-of-distribution) score, large for what is in distribution.

A cosine of 0.3 is a perfect match for one model and nothing for another. So a cosine is set against
those that the same picture has with everyday words (`data/concepts.txt`), in units of their spread.

A broad label ("animal") has small cosines with every picture, also with those of animals, and among
hundreds of words there is always a narrower one ("dog") with a larger. So words that lie below a
label in meaning speak for it: `data/kinds.txt` says which do, and the label has the place of the
word that is nearest to it. The evidence of a label is the mean of two z-scores, its own and that of
the best word at or below it; the evidence of a picture is that of its best label.

Some models know few of these words. They are compared with pictures that show nothing, which are
noise made here. docs/unknown.md has what else was tried, and how well it works.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.encoder import Encoder
from unseen.prediction import everyday_words
from unseen.prediction.score import cosines
from unseen.system.prompt_cache import VectorCache
from unseen.types import Floats, Indices

NOTHINGS = 32  # pictures of nothing: their spread is then known to about an eighth
SIDE = 224
STEEPNESS = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0)  # of the spectrum: from grain to clouds
CHANNEL_CORRELATION = 0.6  # of red, green and blue, as in most pictures
VERSION = 1  # of the pictures of nothing: raise it when they change
# A model that knows the words has many directions for them (the built-in 69); one that was trained
# on coloured shapes alone has 4.
LEAST_DIRECTIONS = 16
# Added to evidence against nothing, so that one threshold serves both kinds of models.
NOTHING_SHIFT = 1.55
LEAST_SPREAD = 1e-6  # of cosines; what is less counts as this


@dataclass(frozen=True, eq=False)
class ReferenceSet:
    """What evidence (an OOD score) is measured against, for one model.

    Parameters
    ----------
    concepts : float32 array (b, d)
        Vectors of everyday words, rows of length 1.
    nothing : float32 array (m, d)
        Embeddings of pictures that show nothing, rows of length 1.
    broad_words : float32 array (h, d), optional
        Vectors of broader words, rows of length 1; by default none.
    below : bool array (b + h, b), optional
        Which concepts lie below a concept or broad word in meaning; by default each below itself.

    Examples
    --------
    >>> import unseen
    >>> clf = unseen.load()
    >>> ReferenceSet.of(clf.encoder)
    ReferenceSet(477 concepts, 32 pictures)
    """

    concepts: Floats
    nothing: Floats
    broad_words: Floats | None = None
    below: NDArray[np.bool_] | None = None

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
        words = encoder.encode_texts(everyday_words.prompts(encoder.model))
        return cls.of_rows(words, embeddings_of_nothing(encoder))

    @classmethod
    def of_rows(cls, words: Floats, nothing: Floats) -> ReferenceSet:
        """The set of the words and pictures that are shipped, encoded already.

        Parameters
        ----------
        words : float32 array (b + h, d)
            Vectors of `everyday_words.prompts`.
        nothing : float32 array (m, d)
            Embeddings of `picture_of_nothing`.

        Returns
        -------
        ReferenceSet
        """
        count = len(everyday_words.concepts())
        return cls(words[:count], nothing, words[count:], everyday_words.below())

    @cached_property
    def directions(self) -> float:
        """The participation ratio of the concepts' vectors: how many directions they fill.

        (Σλ)² / Σλ² of the eigenvalues λ of their covariance, which is trace² / Frobenius norm² of
        the Gram matrix.
        """
        centred = (self.concepts - self.concepts.mean(0)).astype(np.float64)
        gram = centred @ centred.T
        return float(np.trace(gram) ** 2 / max(np.square(gram).sum(), 1e-12))

    @property
    def knows_words(self) -> bool:
        """Whether the model tells the everyday words apart."""
        return self.directions >= LEAST_DIRECTIONS

    def nearest_words(self, labels: Floats) -> Indices:
        """For each label the place in `concepts` and then `broad_words` of the word nearest to it.

        What all words share, such as the template, is taken away first.

        Parameters
        ----------
        labels : float32 array (k, d)
            Labels, rows of length 1.

        Returns
        -------
        int array (k,)
        """
        words = self.concepts
        if self.broad_words is not None:
            words = np.concatenate([words, self.broad_words])
        mean = self.concepts.mean(0)
        centred = words - mean
        centred /= spread(np.linalg.norm(centred, axis=1, keepdims=True))
        return np.asarray(cosines(labels - mean, centred).argmax(1))

    def concepts_below(self, words: Indices) -> NDArray[np.bool_]:
        """Which concepts lie below words.

        Parameters
        ----------
        words : int array (k,)
            Places in `concepts` and then `broad_words`.

        Returns
        -------
        bool array (k, b)
        """
        table = np.eye(len(self.concepts), dtype=bool) if self.below is None else self.below
        return np.asarray(table[words])


def name_no_thing(labels: Floats, reference_set: ReferenceSet) -> bool:
    """Whether most of the labels are words as "old" or "indoors", which any thing may be.

    No word speaks for or against them, so there is no evidence to measure.

    Parameters
    ----------
    labels : float32 array (k, d)
        Labels, rows of length 1.
    reference_set : ReferenceSet
        Of the same model.

    Returns
    -------
    bool
    """
    if not reference_set.knows_words or not len(labels):
        return False
    names_thing = reference_set.concepts_below(reference_set.nearest_words(labels)).any(1)
    return bool(names_thing.mean() < 0.5)


def evidence(images: Floats, labels: Floats, reference_set: ReferenceSet) -> Floats:
    """How likely it is that one of the labels is there to be seen: an OOD score.

    The mean of two z-scores, so it depends neither on the scale of cosines nor on what is added to
    all of them.

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
    if reference_set.knows_words:
        return _against_words(images, labels, reference_set)
    return _against_nothing(images, labels, reference_set)


def _against_words(images: Floats, labels: Floats, reference_set: ReferenceSet) -> Floats:
    own = cosines(images, labels)
    words = cosines(images, reference_set.concepts)
    nearest, place = np.unique(reference_set.nearest_words(labels), return_inverse=True)
    best = np.stack(
        [words[:, row].max(1, initial=-2) for row in reference_set.concepts_below(nearest)], axis=1
    )
    # The larger of the label's own cosine and the best of the words below it, and their mean.
    score = ((own + np.maximum(own, best[:, place])) / 2).max(1)
    return np.asarray((score - words.mean(1)) / spread(words.std(1)), dtype=np.float32)


def _against_nothing(images: Floats, labels: Floats, reference_set: ReferenceSet) -> Floats:
    """For models that do not know the words: how the best label stands among what the labels, and
    what the words, reach on pictures of nothing."""
    best = cosines(images, labels).max(1)
    scores = [(best - mean) / deviation for mean, deviation in noise_levels(labels, reference_set)]
    return np.asarray(np.mean(scores, axis=0) + NOTHING_SHIFT, dtype=np.float32)


def noise_levels(labels: Floats, reference_set: ReferenceSet) -> list[tuple[Floats, Floats]]:
    """The mean and the spread of what the labels, and what the words, reach on pictures of nothing.

    Parameters
    ----------
    labels : float32 array (k, d)
        Labels, rows of length 1.
    reference_set : ReferenceSet
        Of the same model.

    Returns
    -------
    list of tuple of two float32 scalars
        That of the labels, then that of the words.
    """
    best = [
        cosines(reference_set.nothing, texts).max(1) for texts in (labels, reference_set.concepts)
    ]
    return [(noise.mean(), spread(noise.std())) for noise in best]


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
    concepts = everyday_words.concepts()
    words = [(i, word) for i, word in enumerate(concepts) if word.casefold() not in labels]
    similarities = cosines(images, reference_set.concepts[[i for i, _ in words]])
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :top]
    return [
        [(words[i][1], float(row[i])) for i in nearest]
        for row, nearest in zip(similarities, order, strict=True)
    ]


def spread(deviation: Floats) -> Floats:
    """A standard deviation that is never 0, as a picture may have the same cosine with all words.

    Parameters
    ----------
    deviation : float32 array
        Standard deviations.

    Returns
    -------
    float32 array
    """
    return np.asarray(np.maximum(deviation, LEAST_SPREAD), dtype=np.float32)


def embeddings_of_nothing(encoder: Encoder) -> Floats:
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
