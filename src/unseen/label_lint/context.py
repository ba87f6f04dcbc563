"""A label set as one model sees it: its vectors, and what is usual for that model.

Cosines of families differ: what is near for one model is usual for another. So no cosine is judged
by itself, but by its place among those of pairs of everyday words.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from unseen.classifier import Classifier
from unseen.encoder import Progress
from unseen.errors import UnseenWarning
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import LabelSet
from unseen.labels.templates import fill
from unseen.models.model import Score
from unseen.prediction.score import logits, softmax

Rows = NDArray[np.float32]

EVERY = 4  # of the vocabulary: so many words say what is usual

# A match between a picture and its word is never taken to be weaker than this.
LEAST_MATCH = 0.1
SHOWN_TO_EVERY_MODEL = ("check/cat.jpg", "cat")


@cache
def vocabulary() -> tuple[str, ...]:
    """The everyday words that are shipped."""
    text = resources.files("unseen").joinpath("data/vocabulary.txt").read_text("utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return tuple(word.strip() for line in lines for word in line.split(","))


@dataclass(frozen=True, eq=False)
class Subject:
    """Labels, and all that the checks ask of a model. Encodes nothing until it must.

    Of several templates the first stands for all: the checks compare words, and 80 templates
    would say the same, slowly.
    """

    classifier: Classifier
    labels: LabelSet
    progress: Progress | None = None

    @cached_property
    def template(self) -> str:
        return (self.labels.templates or (self.classifier.model.template,))[0]

    @cached_property
    def prompts(self) -> list[tuple[str, ...]]:
        """All prompts of each label."""
        return self.labels.prompts(self.classifier.model.template)

    @property
    def score(self) -> Score:
        """How the model makes probabilities of cosines, for the checks that make up pictures."""
        return self.classifier.model.score

    @property
    def names(self) -> tuple[str, ...]:
        return self.labels.names

    @cached_property
    def foreground(self) -> list[int]:
        """The indices of labels that are not background."""
        return [i for i, label in enumerate(self.labels.labels) if not label.background]

    @cached_property
    def compiled(self) -> CompiledLabels:
        """As `classify` would have it."""
        with quiet():
            return self.classifier.compile(self.labels, progress=self.progress)

    @cached_property
    def vectors(self) -> Rows:
        """(k, d): each label by its own prompts, or in the first template."""
        if len(self.labels.templates or ()) < 2:
            return self.compiled.matrix
        with quiet():
            return self.classifier.compile(replace(self.labels, templates=(self.template,))).matrix

    @cached_property
    def cosines(self) -> Rows:
        return np.asarray(self.vectors @ self.vectors.T, dtype=np.float32)

    def encode(self, texts: Sequence[str]) -> Rows:
        """Prompts as they are → (n, d)."""
        with quiet():
            encoder = self.classifier.encoder
            return encoder.encode_texts(list(texts), progress=self.progress)

    def filled(self, names: Sequence[str]) -> Rows:
        """Names in the first template → (n, d)."""
        return self.encode([fill(self.template, name) for name in names])

    def cosine(self, one: str, other: str) -> float:
        """Of two prompts."""
        a, b = self.encode([one, other])
        return float(a @ b)

    # tokens

    def ids(self, texts: Sequence[str], context: int | None = None) -> list[list[int]]:
        """Tokens of each text, all of them, or what is left within a context."""
        return self.classifier.model.tokenizer.encode(texts, context)[0]

    def tokens(self, text: str) -> int:
        return len(self.ids([text])[0])

    # what is usual

    @cached_property
    def neutral(self) -> Rows:
        """Everyday words that none of the labels is, in the first template."""
        ours = {name.casefold() for name in self.names}
        return self.filled([word for word in vocabulary()[::EVERY] if word not in ours])

    @cached_property
    def usual(self) -> Rows:
        """Cosines of all pairs of everyday words, sorted."""
        upper = np.triu_indices(len(self.neutral), 1)
        return np.sort((self.neutral @ self.neutral.T)[upper])

    def usual_part(self, cosine: float) -> float:
        """The part of pairs of everyday words that are less alike: 0…1."""
        return float(np.searchsorted(self.usual, cosine) / len(self.usual))

    def at(self, part: float) -> float:
        """The cosine that this part of pairs of everyday words stays below."""
        return float(np.quantile(self.usual, part))

    # what a softmax would do

    @cached_property
    def match(self) -> float:
        """The cosine of a picture to its own word, measured on the one picture that is shipped."""
        name, word = SHOWN_TO_EVERY_MODEL
        content = resources.files("unseen").joinpath("data", *name.split("/")).read_bytes()
        picture = self.classifier.encoder.encode_images([content])
        return max(float(self.filled([word])[0] @ picture[0]), LEAST_MATCH)

    def share(self, cosine: float) -> float:
        """Of a picture that matches one of two texts as usual and has nothing else: how much of the
        probability the other one takes, when the cosine of the two texts is this."""
        pair = np.array([[1.0, cosine]], dtype=np.float32) * np.float32(self.match)
        return float(softmax(logits(pair, self.score))[0, 1])


def percent(part: float) -> str:
    """Of what is a sample, so never all of it."""
    return "99.9%" if part >= 0.9995 else f"{part:.1%}"


class quiet(warnings.catch_warnings):  # noqa: N801
    """Prompts that are cut are a finding here, and no warning."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore", UnseenWarning)
