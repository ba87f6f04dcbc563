"""A label set as one model sees it: its vectors, and what is usual for that model.

Cosines of families differ: what is close for one model is usual for another. So a cosine is judged
by its quantile among those of pairs of everyday words.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from unseen.classifier import Classifier
from unseen.errors import UnseenWarning
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import LabelSet
from unseen.labels.templates import fill
from unseen.models.model import Score
from unseen.prediction.score import logits, softmax
from unseen.system.packaged import packaged
from unseen.types import Floats, Progress

VOCABULARY_STEP = 4  # every so many words of the vocabulary are enough to know what is usual

# A match between a picture and its word is never taken to be weaker than this.
MIN_MATCH = 0.1
SHOWN_TO_EVERY_MODEL = ("check/cat.jpg", "cat")


@cache
def vocabulary() -> tuple[str, ...]:
    """The everyday words that are shipped."""
    text = packaged("data/vocabulary.txt").read_text("utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return tuple(word.strip() for line in lines for word in line.split(","))


@dataclass(frozen=True, eq=False)
class Subject:
    """Labels, and what the checks need of a model. Encodes nothing until it must.

    Of several templates the first stands for all: the checks compare words, and 80 templates
    would give the same answer, slowly.
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
    def vectors(self) -> Floats:
        """(k, d): each label by its own prompts, or in the first template."""
        if len(self.labels.templates or ()) < 2:
            return self.compiled.matrix
        with quiet():
            return self.classifier.compile(replace(self.labels, templates=(self.template,))).matrix

    @cached_property
    def cosines(self) -> Floats:
        return np.asarray(self.vectors @ self.vectors.T, dtype=np.float32)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Prompts as they are → (n, d)."""
        with quiet():
            encoder = self.classifier.encoder
            return encoder.encode_texts(list(texts), progress=self.progress)

    def encode_names(self, names: Sequence[str]) -> Floats:
        """Names in the first template → (n, d)."""
        return self.encode([fill(self.template, name) for name in names])

    def cosine(self, first: str, second: str) -> float:
        """Of two prompts."""
        a, b = self.encode([first, second])
        return float(a @ b)

    # tokens

    def ids(self, texts: Sequence[str], context: int | None = None) -> list[list[int]]:
        """Token ids of each text, all of them, or those within a context."""
        return self.classifier.model.tokenizer.encode(texts, context)[0]

    def tokens(self, text: str) -> int:
        return len(self.ids([text])[0])

    # what is usual

    @cached_property
    def neutral(self) -> Floats:
        """Vectors of everyday words that are not labels, in the first template."""
        names = {name.casefold() for name in self.names}
        return self.encode_names(
            [word for word in vocabulary()[::VOCABULARY_STEP] if word not in names]
        )

    @cached_property
    def usual_cosines(self) -> Floats:
        """Cosines of all pairs of everyday words, sorted."""
        upper = np.triu_indices(len(self.neutral), 1)
        return np.sort((self.neutral @ self.neutral.T)[upper])

    def usual_part(self, cosine: float) -> float:
        """The part of pairs of everyday words that are less alike: 0…1."""
        return float(np.searchsorted(self.usual_cosines, cosine) / len(self.usual_cosines))

    def quantile(self, part: float) -> float:
        """The cosine that this part of pairs of everyday words stays below."""
        return float(np.quantile(self.usual_cosines, part))

    # what a softmax would do

    @cached_property
    def match(self) -> float:
        """The cosine of a picture to its own word, measured on the one picture that is shipped."""
        name, word = SHOWN_TO_EVERY_MODEL
        content = packaged(f"data/{name}").read_bytes()
        picture = self.classifier.encoder.encode_images([content])
        return max(float(self.encode_names([word])[0] @ picture[0]), MIN_MATCH)

    def share(self, cosine: float) -> float:
        """The probability that the other of two texts takes from a picture of the first one.

        The picture is made up: it matches the first as usual, and has nothing else. Its cosine to
        the second is then that match times the cosine of the two texts.
        """
        pair = np.array([[1.0, cosine]], dtype=np.float32) * np.float32(self.match)
        return float(softmax(logits(pair, self.score))[0, 1])


def percent(part: float) -> str:
    """A part of a sample as text, so never all of it."""
    return "99.9%" if part >= 0.9995 else f"{part:.1%}"


class quiet(warnings.catch_warnings):  # noqa: N801
    """Without the warning that a prompt is cut: here that is a finding."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore", UnseenWarning)
