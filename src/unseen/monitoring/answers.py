"""Pictures → embeddings, and the probabilities of the labels, for whatever watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from unseen.encoder import Encoder
from unseen.errors import UnseenError
from unseen.labels.compiled import CompiledLabels
from unseen.prediction.decision import Decision
from unseen.prediction.predict import predict
from unseen.video.classification import states_of
from unseen.video.events import States

if TYPE_CHECKING:
    from unseen.types import Doubles, Floats, Images


class Answers(Protocol):
    """What the watching asks."""

    def embed(self, pictures: Sequence[Images | Path | bytes]) -> list[Floats | UnseenError]:
        """An embedding (d,) of each picture, or why there is none."""

    def states(self, embeddings: Floats) -> tuple[States, Floats, Doubles]:
        """Embeddings (n, d) → what is told apart, the probability of each, (n, k), and the best
        logit of each picture, (n,)."""


@dataclass(frozen=True)
class ModelAnswers:
    """The answers of a model.

    Parameters
    ----------
    encoder : Encoder
        Its networks.
    labels : CompiledLabels
        What may happen.
    decision : Decision
        How labels are decided upon.
    """

    encoder: Encoder
    labels: CompiledLabels
    decision: Decision

    def embed(self, pictures: Sequence[Images | Path | bytes]) -> list[Floats | UnseenError]:
        """An embedding of each picture, or why there is none."""
        arrays = [self.encoder.pixels(picture) for picture in pictures]
        good = [array for array in arrays if not isinstance(array, UnseenError)]
        size = self.encoder.batch_size
        batches = [good[i : i + size] for i in range(0, len(good), size)]
        rows = iter([row for batch in batches for row in self.encoder.encode_pixels(batch)])
        return [a if isinstance(a, UnseenError) else next(rows) for a in arrays]

    def states(self, embeddings: Floats) -> tuple[States, Floats, Doubles]:
        """What is told apart, the probability of each, and the best logits."""
        decision = replace(self.decision, top_k=1)
        predictions = predict([""] * len(embeddings), embeddings, self.labels, decision)
        unknown = [one.unknown for one in predictions]
        return states_of(np.asarray(embeddings), self.labels, self.decision, unknown)
