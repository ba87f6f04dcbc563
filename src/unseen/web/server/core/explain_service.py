"""Explanations: one at a time, in a thread of their own, when no picture waits to be classified.

The networks that explain are compiled when the first explanation is asked for, once; and rows of
the last pictures stay, so that other labels of them need no network.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unseen.errors import ModelError, UnseenError
from unseen.explanation.masking import windows
from unseen.explanation.explainer import CONCEPTS, WORDS, Explainer
from unseen.explanation.explanation import AUTO, DROP, NONE, Explanation
from unseen.explanation.parts import OpenedPicture, PictureParts
from unseen.labels.compiled import CompiledLabels
from unseen.system.digest import sha256
from unseen.system.lru import ByteLRU
from unseen.types import Floats
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
MOST_WORDS = 16  # of a prompt: each is left out once, which is a text to encode


@dataclass(frozen=True)
class ExplainOptions:
    """What of a picture is explained.

    Parameters
    ----------
    for_, against : str, optional
        As of `Explainer.contrast`.
    method : str
        ``auto``, ``parts`` or ``drop``.
    extras : sequence of str
        Of ``words``, ``concepts`` and ``counterfactual``.
    all_labels : bool
        Whether the maps of all labels are wanted.
    """

    for_: str | None = None
    against: str | None = None
    method: str = AUTO
    extras: Sequence[str] = (WORDS, CONCEPTS)
    all_labels: bool = False


@dataclass(frozen=True)
class Explained:
    """An explanation, and the maps of all labels as (labels, cells) where they were wanted."""

    explanation: Explanation
    maps: Floats | None
    warnings: tuple[str, ...] = ()


class ExplainService:
    """What `POST /v1/explain` calls. For one event loop.

    Parameters
    ----------
    encoding : Encoding
        Whose pictures are explained.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        try:
            self._explainer: Explainer | None = Explainer(encoding.encoder)
            self._reason = ""
        except ModelError as error:
            self._explainer = None
            self._reason = str(error)
        self._jobs: DynamicBatcher[Callable[[], Any], Any] = DynamicBatcher(
            "explain", self._run, encoding.metrics, size=1
        )
        self._rows: ByteLRU[tuple[bytes, str], tuple[OpenedPicture, PictureParts]] = ByteLRU(
            encoding.limits.cache_bytes, _bytes_of, keep_last=True
        )
        self._preparing: asyncio.Task[str] | None = None
        self._inside = 0  # requests that wait for the networks, or for their turn

    @property
    def possible(self) -> bool:
        """Whether the image net of the model falls into places."""
        return self._explainer is not None

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
        explainer = self._explainer
        if explainer is None:
            raise Problem(409, self._reason, code="cannot_be_explained")
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
                lambda: self._explained(explainer, picture, compiled, options, method)
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
        self,
        explainer: Explainer,
        picture: ImageInput,
        compiled: CompiledLabels,
        options: ExplainOptions,
        method: str,
    ) -> Explained:
        opened, rows = self._opened(explainer, picture, method)
        contrast = explainer.contrast(compiled, rows.embedding, options.for_, options.against)
        extras, warnings = list(options.extras), []
        prompts = compiled.prompts[contrast.label]
        if WORDS in extras and prompts and len(prompts[0].split()) > MOST_WORDS:
            extras.remove(WORDS)
            warnings.append(f"The prompt has more than {MOST_WORDS} words: they are not weighed.")
        explanation = explainer.explain_opened(
            opened,
            compiled,
            options.for_,
            options.against,
            method=method,
            extras=extras,
            rows=rows,
        )
        maps = None
        if options.all_labels and method != NONE:
            directions = (compiled.matrix - contrast.rival) * np.float32(compiled.score.scale)
            maps = rows.scores(directions)
        return Explained(replace(explanation, source=picture.name), maps, tuple(warnings))

    def _opened(
        self, explainer: Explainer, picture: ImageInput, method: str
    ) -> tuple[OpenedPicture, PictureParts]:
        """A picture and its rows, of the last ones without a network. UnseenError."""
        content = content_of(picture)
        key = sha256([content]), method
        known = self._rows.get(key)
        self._encoding.metrics.hit("rows", known is not None)
        if known is not None:
            return known
        opened = explainer.parts_encoder.open(content)
        if isinstance(opened, UnseenError):
            raise renamed(opened, picture.name)
        entry = opened, explainer.rows_of(opened, method)
        self._rows.put(key, entry)
        return entry


def _prepare(explainer: Explainer) -> str:
    """Compiles the networks, chooses the method and encodes the concepts; logs how long it took."""
    start = time.perf_counter()
    method = explainer.own_record().method
    explainer.warm_up()
    seconds = round(time.perf_counter() - start, 1)
    logger.info("explain ready", extra={"fields": {"method": method, "seconds": seconds}})
    return method


def _bytes_of(entry: tuple[OpenedPicture, PictureParts]) -> int:
    opened, rows = entry
    pixels = opened.pixels if isinstance(opened.pixels, tuple) else (opened.pixels,)
    image = 3 * opened.image.width * opened.image.height
    return rows.rows.nbytes + image + sum(array.nbytes for array in pixels)
