"""What every route calls: pictures and labels in, predictions out."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from unseen.classifier import Classifier
from unseen.prediction.decision import Decision
from unseen.prediction.predict import predict_encoded
from unseen.prediction.prediction import Prediction
from unseen.web.server.core.encoding import Encoding
from unseen.web.server.core.label_service import Asked, Labelling, Ready
from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.pictures import Picture
from unseen.web.server.core.problems import Problem
from unseen.web.server.core.settings import Settings

T = TypeVar("T")
U = TypeVar("U")


class Service(Encoding):
    """One model that encodes, and knows label sets."""

    def __init__(
        self, settings: Settings, metrics: Metrics, classifier: Classifier | None = None
    ) -> None:
        """Loads no weights; `warm_up` does. Raises ModelError, StoreError."""
        super().__init__(settings, metrics, classifier)
        self.labelling = Labelling(self)

    async def close(self) -> None:
        """Ends the threads and closes the files."""
        await self.labelling.close()
        await super().close()

    async def classify(
        self, pictures: Sequence[Picture], asked: Asked, decision: Decision
    ) -> tuple[list[Prediction], Ready]:
        """A prediction for each picture; labels and pictures are encoded side by side."""
        labels, encoded = await _both(self.labelling.of(asked), self.encode_pictures(pictures))
        decision = labels.calibrated(decision)
        return predict_encoded(encoded, labels.compiled, decision), labels

    async def classify_one(
        self, picture: Picture, asked: Asked, decision: Decision
    ) -> tuple[Prediction, Ready]:
        """As `classify`; Problem 400 when it is no picture."""
        (prediction,), labels = await self.classify([picture], asked, decision)
        if prediction.error is not None:
            raise Problem(400, prediction.error, code="bad_image")
        return prediction, labels


async def _both(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """Both results; where one fails the other is not gone on with."""
    one, two = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        await asyncio.gather(one, two)
        return one.result(), two.result()
    finally:
        for task in (one, two):
            task.cancel()
