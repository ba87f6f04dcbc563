"""Explanations: one at a time, in a thread of their own, when no picture waits to be classified.

The networks that explain are compiled when the first explanation is asked for, once; and rows of
the last pictures stay, so that other labels of them need no network.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from unseen.errors import ImageError, ModelError
from unseen.explanation.explainer import Explainer
from unseen.explanation.explanation import AUTO, DROP
from unseen.explanation.masking import windows
from unseen.labels.compiled import CompiledLabels
from unseen.web.explaining import Explained, Explaining, ExplainOptions
from unseen.web.problems import Problem, overloaded
from unseen.web.server.core.encoding import Encoding, renamed
from unseen.web.server.core.image_input import ImageInput, content_of
from unseen.web.server.core.logs import LOGGER
from unseen.web.server.core.queues.batching import DynamicBatcher

logger = logging.getLogger(LOGGER)

WAITING = 4  # explanations that may wait however long one takes
MOST_INSIDE = 16  # explanations that may wait while the networks are compiled
POLITE_SECONDS = 2.0  # that an explanation lets pictures go first
LOOK_SECONDS = 0.01
PREPARING_SHARE = 0.5  # of the seconds of a request, that the first may wait for the networks


class ExplainService:
    """What `POST /v1/explain` calls. For one event loop.

    Parameters
    ----------
    encoding : Encoding
        Whose pictures are explained.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._explaining: Explaining | None = None
        self._reason = ""
        try:
            self._explaining = Explaining(
                Explainer(encoding.encoder),
                encoding.limits.cache_bytes,
                lambda there: encoding.metrics.hit("rows", there),
            )
        except ModelError as error:
            self._reason = str(error)
        self._jobs: DynamicBatcher[Callable[[], Any], Any] = DynamicBatcher(
            "explain", self._run, encoding.metrics, size=1
        )
        self._preparing: asyncio.Task[str] | None = None
        self._inside = 0  # requests that wait for the networks, or for their turn

    @property
    def possible(self) -> bool:
        """Whether the image net of the model falls into places."""
        return self._explaining is not None

    async def close(self) -> None:
        """Ends the thread."""
        if self._preparing is not None:
            self._preparing.cancel()
        await self._jobs.close()

    async def explain(
        self, picture: ImageInput, compiled: CompiledLabels, options: ExplainOptions
    ) -> Explained:
        """Why a picture has its label.

        Parameters
        ----------
        picture : ImageInput
            With its content: no URL.
        compiled : CompiledLabels
            The labels.
        options : ExplainOptions
            What is explained.

        Returns
        -------
        Explained

        Raises
        ------
        Problem, UnseenError
            The model cannot be explained, the picture not read, a label is not among the labels,
            or too much waits already.
        """
        explaining = self._explaining
        if explaining is None:
            raise Problem(409, self._reason, code="cannot_be_explained")
        explainer = explaining.explainer
        explainer.check_labels(compiled, options.for_, options.against)
        await self._encoding.until_ready()
        limits = self._encoding.limits
        self._jobs.check(limits.queue_seconds, WAITING, limits.seconds / 2)
        if self._inside >= MOST_INSIDE:  # while the networks are compiled, no wait is known
            raise overloaded(max(1.0, self._jobs.wait()))
        self._inside += 1
        try:
            best = await self._prepared(explainer)
            method = best if options.method == AUTO else options.method
            self._check(explainer, method)
            explained: Explained = await self._jobs.submit(
                lambda: _explained(explaining, picture, compiled, options, method)
            )
        finally:
            self._inside -= 1
        return explained

    def _check(self, explainer: Explainer, method: str) -> None:
        """Problem 422 where the method is not for this model, or would take too long here."""
        if method != DROP:
            return
        if not explainer.masking.has_tokens:
            raise Problem(422, "the image net of this model has no tokens to drop; use parts.")
        forwards = len(windows(explainer.parts_encoder.grid))
        seconds = forwards * self._encoding.images.seconds
        if seconds > self._encoding.limits.seconds / 4:
            raise Problem(
                422,
                f"drop takes {forwards} forward passes, about {seconds:.0f} s here; use parts.",
                code="too_slow",
            )

    # in the thread

    def _run(self, jobs: list[Callable[[], Any]]) -> list[Any]:
        """Each job, once no picture is queued: classification comes first."""
        for _ in range(round(POLITE_SECONDS / LOOK_SECONDS)):
            if not self._encoding.images.pending:
                break
            time.sleep(LOOK_SECONDS)
        return [job() for job in jobs]

    async def _prepared(self, explainer: Explainer) -> str:
        """The method of this model; the networks are compiled by then. Problem 503 where that takes
        longer than a request may wait: it goes on."""
        task = self._preparing
        if task is None or (task.done() and task.exception() is not None):
            task = asyncio.create_task(self._jobs.submit(lambda: _prepare(explainer)))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            # What it took says nothing of what comes after it.
            task.add_done_callback(lambda done: self._jobs.assume(0.0))
            self._preparing = task
        seconds = PREPARING_SHARE * self._encoding.limits.seconds
        try:
            # Shielded: a client that disconnects must not cancel what others wait for.
            return await asyncio.wait_for(asyncio.shield(task), seconds)
        except (TimeoutError, asyncio.TimeoutError):
            raise Problem(
                503,
                "the networks that explain are being compiled, once; try again soon.",
                code="starting",
                retry_after=5,
            ) from None


def _explained(
    explaining: Explaining,
    picture: ImageInput,
    compiled: CompiledLabels,
    options: ExplainOptions,
    method: str,
) -> Explained:
    try:
        content = content_of(picture)
        return explaining.explained(content, picture.name, compiled, options, method)
    except ImageError as error:
        raise renamed(error, picture.name) from None


def _prepare(explainer: Explainer) -> str:
    """Compiles the networks, chooses the method and encodes the concepts; logs how long it took."""
    start = time.perf_counter()
    method = explainer.own_record().method
    explainer.warm_up()
    seconds = round(time.perf_counter() - start, 1)
    logger.info("explain ready", extra={"fields": {"method": method, "seconds": seconds}})
    return method
