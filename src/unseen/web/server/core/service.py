"""What every route calls: pictures and labels in, predictions out."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from unseen.classifier import Classifier
from unseen.encoder import Encoded
from unseen.images.open import open_image
from unseen.images.thumbnails import thumbnail
from unseen.prediction.decision import Decision
from unseen.prediction.facets import Facet, FacetPrediction, check_names
from unseen.prediction.predict import predict_encoded, predict_facets
from unseen.prediction.prediction import Prediction
from unseen.web.explaining import Explained, ExplainOptions
from unseen.web.problems import Problem
from unseen.web.server.core.encoding import Encoding, at_most, in_pool
from unseen.web.server.core.explain_service import ExplainService
from unseen.web.server.core.image_input import ImageInput, content_of
from unseen.web.server.core.label_service import CompiledSet, LabelRequest, LabelService
from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.settings import Settings
from unseen.web.server.core.video.video_service import VideoService
from unseen.web.server.core.video.watch_service import WatchService

T = TypeVar("T")
U = TypeVar("U")


class Service(Encoding):
    """One model behind queues and caches, and the label sets that are compiled for it.

    Parameters
    ----------
    settings : Settings
        How the server is set up.
    metrics : Metrics
        Where queues and caches are counted.
    classifier : Classifier, optional
        The classifier of these settings, where it is loaded already.

    Raises
    ------
    ModelError, StoreError
        Where the model or the file of label sets cannot be read. Weights are loaded by `warm_up`.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, classifier: Classifier | None = None
    ) -> None:
        super().__init__(settings, metrics, classifier)
        self.label_service = LabelService(self)
        self.explain_service = ExplainService(self)
        self.video_service = VideoService(self)
        self.watch_service = WatchService(self)

    async def close(self) -> None:
        """Ends the threads and closes the files."""
        await self.watch_service.close()
        await self.video_service.close()
        await self.label_service.close()
        await self.explain_service.close()
        await super().close()

    async def start_watching(self) -> None:
        """Begins to watch the sources of the settings, with the labels of their first file.

        Raises
        ------
        UnseenError, Problem
            Where a source, the rules or the labels cannot be used.
        """
        files = self.settings.labels
        request = LabelRequest(labelset=files[0].stem if files else None)
        labels = await self.label_service.compiled_set(request)
        self.watch_service.start(labels.compiled, labels.calibrated(Decision()))

    async def classify(
        self, images: Sequence[ImageInput], request: LabelRequest, decision: Decision
    ) -> tuple[list[Prediction], CompiledSet]:
        """A prediction for each picture; labels and pictures are encoded side by side.

        Parameters
        ----------
        images : sequence of ImageInput
            The pictures; one that cannot be read is a prediction with an error.
        request : LabelRequest
            The labels.
        decision : Decision
            How probabilities become answers.

        Returns
        -------
        tuple of list of Prediction and CompiledSet
            The predictions in order, and the labels that they are of.

        Raises
        ------
        Problem, LabelError
            For too many pictures or labels, an unknown label set, or an overloaded server.
        """
        _, predictions, labels = await self.classify_encoded(images, request, decision)
        return predictions, labels

    async def classify_encoded(
        self, images: Sequence[ImageInput], request: LabelRequest, decision: Decision
    ) -> tuple[list[Encoded], list[Prediction], CompiledSet]:
        """As `classify`, and first the embeddings that the predictions were made of."""
        known = self.label_service.known(request)
        if known is not None:  # no work of its own, so no tasks are needed
            labels, encoded = known, await self.encode_pictures(images)
        else:
            labels, encoded = await _both(
                self.label_service.compiled_set(request), self.encode_pictures(images)
            )
        decision = labels.calibrated(decision)
        self.check_answers(len(encoded), [(labels, decision)])
        return encoded, predict_encoded(encoded, labels.compiled, decision), labels

    async def classify_facets(
        self,
        images: Sequence[ImageInput],
        requests: Mapping[str, tuple[LabelRequest, Decision]],
    ) -> tuple[list[FacetPrediction], dict[str, CompiledSet], dict[str, Facet]]:
        """The answers of several label sets for each picture, which is encoded once.

        Parameters
        ----------
        images : sequence of ImageInput
            The pictures; one that cannot be read is a prediction with an error.
        requests : mapping of str to tuple of LabelRequest and Decision
            The name of each set → its labels, and how probabilities become its answers.

        Returns
        -------
        tuple
            The predictions in order, the label sets, and what they were answered by.

        Raises
        ------
        Problem, LabelError
            As `classify`; the labels of all sets count together.
        """
        check_names([*requests])
        self.label_service.check_together([request for request, _ in requests.values()])
        sets, encoded = await _both(self._compiled_sets(requests), self.encode_pictures(images))
        facets = {
            name: Facet(sets[name].compiled, sets[name].calibrated(decision))
            for name, (_, decision) in requests.items()
        }
        answered = [(sets[name], facet.decision) for name, facet in facets.items()]
        self.check_answers(len(encoded), answered)
        return predict_facets(encoded, facets), sets, facets

    def check_answers(self, pictures: int, sets: Iterable[tuple[CompiledSet, Decision]]) -> None:
        """Problem 413 for more rows of pictures and labels than an answer may have: stored sets are
        large, and a row is made in the event loop."""
        rows = pictures * sum(
            min(len(labels.compiled.labels), decision.top_k or self.limits.stored_labels)
            for labels, decision in sets
        )
        at_most(rows, self.limits.answers, "answers (pictures times labels); give top_k")

    async def _compiled_sets(
        self, requests: Mapping[str, tuple[LabelRequest, Decision]]
    ) -> dict[str, CompiledSet]:
        return {
            name: await self.label_service.compiled_set(request)
            for name, (request, _) in requests.items()
        }

    async def explain(
        self, image: ImageInput, request: LabelRequest, options: ExplainOptions
    ) -> tuple[Explained, CompiledSet]:
        """Why a picture has its label.

        Parameters
        ----------
        image : ImageInput
            The picture itself: an embedding has no places.
        request : LabelRequest
            The labels.
        options : ExplainOptions
            What of it is explained.

        Returns
        -------
        tuple of Explained and CompiledSet
            The explanation, and the labels that it is of.

        Raises
        ------
        Problem, UnseenError
            As of `ExplainService.explain`, and for labels that cannot be used.
        """
        if image.embedding is not None:
            raise Problem(422, "an embedding has no places to show; send the picture itself.")
        labels = await self.label_service.compiled_set(request)
        if image.url is not None:
            image = replace(image, content=await self.fetch(image.url), text=None)
        return await self.explain_service.explain(image, labels.compiled, options), labels

    async def small_jpeg(self, image: ImageInput, side: int) -> bytes:
        """A picture, or what is at its URL, as a JPEG of at most `side` pixels.

        Raises UnseenError where it cannot be had or read.
        """
        if image.url is not None:
            image = replace(image, content=await self.fetch(image.url))
        return await in_pool(self._decoders, self._small_jpeg, image, side)

    def _small_jpeg(self, image: ImageInput, side: int) -> bytes:
        limits = self.limits.of_a_picture()
        return thumbnail(open_image(content_of(image), limits=limits, at_least=side), side)

    async def classify_one(
        self, image: ImageInput, request: LabelRequest, decision: Decision
    ) -> tuple[Prediction, CompiledSet]:
        """As `classify`, for one picture.

        Parameters
        ----------
        image : ImageInput
            The picture.
        request : LabelRequest
            The labels.
        decision : Decision
            How probabilities become an answer.

        Returns
        -------
        tuple of Prediction and CompiledSet
            The prediction, and the labels that it is of.

        Raises
        ------
        Problem
            400 where the picture cannot be read; and what `classify` raises.
        """
        (prediction,), labels = await self.classify([image], request, decision)
        if prediction.error is not None:
            raise Problem(400, prediction.error, code="bad_image")
        return prediction, labels


async def _both(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """Both results; where one fails the other is cancelled."""
    tasks = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
