"""Pictures and texts of requests → embeddings, in batches across requests, with caches.

For one event loop. The work is done in threads: decoders, one for each network, some for URLs.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np

from unseen.classifier import Classifier, load
from unseen.encoder import SHARE, Encoded
from unseen.errors import ImageError, UnseenError, without_frames
from unseen.images.limits import DEFAULT_LIMITS
from unseen.labels.templates import filled_length
from unseen.models.inputs import PictureArrays
from unseen.models.model import Model
from unseen.prediction.everyday_words import prompts
from unseen.prediction.open_set import NOTHINGS, ReferenceSet, picture_of_nothing
from unseen.system.cpu import usable
from unseen.types import Floats
from unseen.web.problems import Problem
from unseen.web.server.core.image_input import ImageInput, content_of, embedding_of
from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.queues.batching import DynamicBatcher, Failure, Place, Room
from unseen.web.server.core.queues.text_queue import TextQueue
from unseen.web.server.core.remote import Fetcher
from unseen.web.server.core.settings import Settings

T = TypeVar("T")
ImagePlace = Place[PictureArrays, "Floats | UnseenError"]  # or why it cannot be decoded

LONG_TEXTS = ["a " * 200] * 24  # as much as a batch may hold
ADVICE = re.compile(r"; raise max_\w+ to allow it")
CHARACTERS = 20_000_000  # of all prompts of a call or a stored set
FETCHED_AT_ONCE = 16  # pictures of one request, by their URLs
_ROOM: ContextVar[Room | None] = ContextVar("unseen room of a request", default=None)
HELD = 256  # requests that may wait for the model to be loaded


@dataclass(frozen=True)
class Texts:
    """(n, d) float32 rows of length 1, and warnings about the texts that were cut."""

    rows: Floats
    warnings: tuple[str, ...]


class Encoding:
    """The two nets of one model, behind queues and caches."""

    def __init__(
        self, settings: Settings, metrics: Metrics, classifier: Classifier | None = None
    ) -> None:
        """Loads no weights; `warm_up` does. `classifier`: the classifier of these settings, where
        it is loaded already. Raises ModelError."""
        self.settings = settings
        self.limits = settings.limits
        self.metrics = metrics
        if classifier is None:
            classifier = load(settings.model_options())
        self.encoder = classifier.encoder
        self.adapted = classifier.adapted
        self.has_adapter = classifier.adapter is not None
        self.started = time.time()
        self._warm = asyncio.Event()  # the model is loaded, or will never be
        self._ready = False
        self._held = 0
        threads = settings.load_options.threads or usable()
        self._decoders = ThreadPoolExecutor(threads, thread_name_prefix="unseen-decode")
        self._fetcher = Fetcher(settings, metrics)
        self.images: DynamicBatcher[PictureArrays, Floats | UnseenError] = DynamicBatcher(
            "image",
            lambda pixels: self.encoder.encode_pixels(pixels),
            metrics,
            size=settings.batch_size or self.encoder.batch_size,
            max_delay=settings.batch_seconds,
        )
        row_bytes = 4 * self.model.dimension + 512  # its text, too, and what Python adds
        self.texts = TextQueue(self._encode_texts, row_bytes, settings.limits, metrics)
        self._reference_set: asyncio.Task[ReferenceSet] | None = None

    @property
    def model(self) -> Model:
        """The checkpoint that answers."""
        return self.encoder.model

    def warm_up(self) -> None:
        """Loads, compiles and checks both networks; measures the seconds for a picture and for a
        text."""
        grey = np.zeros((64, 64, 3), dtype=np.uint8)
        pixels = self.encoder.pixels(grey, limits=DEFAULT_LIMITS)
        assert not isinstance(pixels, UnseenError)
        callers = self.encoder.callers
        if self.settings.batch_size is None and callers > 1:
            self.images.resize(SHARE, callers)
        # The largest batches now: the memory that they need is then allocated from the start.
        size = self.images.size
        self.images.assume(_seconds(partial(self.encoder.encode_pixels, [pixels] * size)) / size)
        label = [*self.model.labels[:1]]  # of a model that knows no other words
        self.encoder.encode_once(label or LONG_TEXTS)
        self.texts.batches.assume(_seconds(partial(self.encoder.encode_once, label or ["a"])))

    async def close(self) -> None:
        """Ends the threads."""
        self._ready = False
        if self._reference_set is not None:
            self._reference_set.cancel()
        for batches in (self.images, self.texts):
            await batches.close()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._fetcher.close()

    @property
    def ready(self) -> bool:
        """Whether the model is loaded and warm."""
        return self._ready

    def become(self, ready: bool) -> None:
        """Lets those go on who wait for the model: it is loaded, or it cannot be."""
        self._ready = ready
        self._warm.set()

    async def until_ready(self) -> None:
        """Waits for the model, as long as a request may take. Problem 503 where that is too long,
        or too many wait already."""
        if self._ready:
            return
        if self._held < HELD:
            self._held += 1
            try:
                await asyncio.wait_for(self._warm.wait(), self.limits.seconds)
            except (TimeoutError, asyncio.TimeoutError):
                pass
            finally:
                self._held -= 1
        if not self._ready:
            raise Problem(
                503, "the model is being loaded; try again soon.", code="starting", retry_after=2
            )

    def admit(self) -> None:
        """Raises a Problem, at once, when too much waits already. Texts are checked later: they may
        be cached."""
        limits = self.limits  # what waits for half of a request's time may not be done in the rest
        self.images.check(limits.queue_seconds, limits.queue_pictures, limits.seconds / 2)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Around the work of a request whose body is there: `admit`, once and for all of it."""
        self.admit()
        room = self.images.keep_room()
        before = _ROOM.set(room)
        try:
            yield
        finally:
            _ROOM.reset(before)
            room.leave()

    # pictures

    async def encode_pictures(self, pictures: Sequence[ImageInput]) -> list[Encoded]:
        """Each picture's embedding, or why it has none, in order. Raises Problem for too many."""
        at_most(len(pictures), self.limits.images, "pictures in a call")
        await self.until_ready()
        room = _ROOM.get()
        if room is not None:
            room.leave()
        elif any(picture.embedding is None for picture in pictures):
            self.admit()
        fetching = asyncio.Semaphore(FETCHED_AT_ONCE)
        # Begun first, so that concurrent requests see the queue length.
        places = [
            self._begin(picture) if picture.embedding is None and picture.url is None else None
            for picture in pictures
        ]
        encoded = [self._encode(*pair, fetching) for pair in zip(pictures, places, strict=True)]
        if len(encoded) == 1:
            return [await encoded[0]]
        return list(await asyncio.gather(*encoded))

    async def embed_pictures(self, pictures: Sequence[ImageInput]) -> Floats:
        """(n, d) float32 rows, of length 1. Problem 400 for a picture that cannot be read."""
        rows = np.zeros((len(pictures), self.model.dimension), dtype=np.float32)
        for row, encoded in zip(rows, await self.encode_pictures(pictures), strict=True):
            if encoded.embedding is None:
                raise Problem(400, str(encoded.error), code="bad_image")
            row[:] = encoded.embedding
        return rows

    def encode_in_thread(
        self, pixels: Sequence[PictureArrays], loop: asyncio.AbstractEventLoop
    ) -> list[Floats]:
        """The embedding (d,) of each picture, for a thread that is not the loop's: they queue with
        those of requests."""
        submit = self.images.submit
        waiting = [asyncio.run_coroutine_threadsafe(submit(one), loop) for one in pixels]
        embeddings = []
        for future in waiting:
            result = future.result(self.limits.seconds)
            if isinstance(result, UnseenError):
                raise result
            embeddings.append(result)
        return embeddings

    async def _encode(
        self, picture: ImageInput, place: ImagePlace | None, fetching: asyncio.Semaphore
    ) -> Encoded:
        name = picture.name
        try:
            if picture.embedding is not None:
                vector = embedding_of(picture.embedding, self.model.dimension, name)
                return Encoded(name, vector)
            if picture.url is not None:
                async with fetching:
                    content = await self.fetch(picture.url, picture.headers)
                picture = replace(picture, content=content)
        except UnseenError as error:
            return Encoded(name, None, without_frames(error))
        result = await (place or self._begin(picture)).result
        if isinstance(result, UnseenError):
            return Encoded(name, None, result)
        return Encoded(name, result)

    def _begin(self, picture: ImageInput) -> ImagePlace:
        """Starts to decode a picture, which goes from there to the network."""
        place = self.images.reserve()
        decoding = self._decoders.submit(self._decode_for, place, picture)
        place.result.add_done_callback(lambda _: decoding.cancel())  # where nobody waits any more
        return place

    def _decode_for(self, place: ImagePlace, picture: ImageInput) -> None:
        try:
            pixels = self._decode(picture)
        except BaseException as error:
            self.images.answer(place, Failure(error))
            raise
        if isinstance(pixels, UnseenError):
            self.images.answer(place, pixels)
        else:
            self.images.hand_in(place, pixels)

    def _decode(self, picture: ImageInput) -> PictureArrays | UnseenError:
        with self.metrics.stage("decode"):
            try:
                content = content_of(picture)
            except ImageError as error:
                return without_frames(error)
            pixels = self.encoder.pixels(content)
            return renamed(pixels, picture.name) if isinstance(pixels, UnseenError) else pixels

    async def fetch(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The bytes at a URL that a client named. Raises SourceError, or Problem where too many
        are being fetched. `headers`: for the host of the URL alone; never a client's own."""
        return await self._fetcher.fetch(url, headers)

    # texts

    async def encode_texts(self, texts: Sequence[str], *, patient: bool = False) -> Texts:
        """Texts as they are; one that is cached is not encoded again. `patient`: it may take longer
        than a request may. Raises Problem where it cannot be done in time."""
        await self.until_ready()
        distinct = list(dict.fromkeys(texts))
        encoded = await self.texts.rows(distinct, patient=patient)
        warnings = tuple(self.encoder.cut_short(text) for text in distinct if encoded[text][1])
        rows = np.array([encoded[text][0] for text in texts], dtype=np.float32)
        return Texts(rows.reshape(len(texts), self.model.dimension), warnings)

    def _encode_texts(self, texts: list[str]) -> list[tuple[Floats, bool]]:
        rows, cut = self.encoder.encode_once(texts)
        # Copies: a cached row must not keep its whole batch in memory.
        return [(row.copy(), was_cut) for row, was_cut in zip(rows, cut, strict=True)]

    async def reference_set(self) -> ReferenceSet:
        """What evidence is measured against: encoded once, in the queues of all other work."""
        task = self._reference_set
        if task is None or (task.done() and task.exception() is not None):
            task = self._reference_set = asyncio.create_task(self._encode_reference_set())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Shielded: a client that disconnects must not cancel what others wait for.
        return await asyncio.shield(task)

    async def _encode_reference_set(self) -> ReferenceSet:
        self.admit()
        texts = await self.encode_texts(prompts(self.model))
        noise = [in_pool(self._decoders, self._nothing, number) for number in range(NOTHINGS)]
        rows = [self.images.submit(pixels) for pixels in await asyncio.gather(*noise)]
        nothing = cast("list[Floats]", await asyncio.gather(*rows))
        return ReferenceSet.of_rows(texts.rows, np.stack(nothing))

    def _nothing(self, number: int) -> PictureArrays:
        pixels = self.encoder.pixels(picture_of_nothing(number))
        if isinstance(pixels, UnseenError):
            raise pixels
        return pixels

    async def count_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens the network reads of these texts. Raises LabelError."""
        encode = self.model.tokenizer.encode
        ids, _ = await in_pool(self._decoders, encode, texts, self.model.context_length)
        return sum(map(len, ids))

    def check_texts(self, texts: Sequence[str], limit: int, what: str = "texts in a call") -> None:
        """Problem 413 for more than `limit` texts, 422 for one that is too long."""
        at_most(len(texts), limit, what)
        longest = max(texts, key=len, default="")
        self._check_length(longest, len(longest))

    def check_prompts(self, prompts: Iterable[tuple[str, str]]) -> None:
        """Problem 422 for a template and a label whose prompt is too long, 413 where all together
        are; none is made for that: a megabyte of both can be a terabyte of prompts."""
        characters = 0
        for template, label in prompts:
            length = filled_length(template, label)
            self._check_length(template, length)
            characters += length
        at_most(characters, CHARACTERS, "characters in prompts")

    def _check_length(self, text: str, length: int) -> None:
        if length > self.limits.prompt_chars:
            raise Problem(
                422,
                f"the text {text[:40]!r}… has {length:,} characters; at most "
                f"{self.limits.prompt_chars:,} are read.",
                code="text_too_long",
            )


def _seconds(work: Callable[[], Any]) -> float:
    """How long it takes, the shortest of three times."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


async def in_pool(pool: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
    """The result of work in a thread of a pool."""
    return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)


def at_most(number: int, limit: int, what: str) -> None:
    """Problem 413 for more than `limit`."""
    if number > limit:
        raise Problem(413, f"{number:,} {what}; at most {limit:,} are allowed.", code="too_many")


def renamed(error: UnseenError, name: str) -> UnseenError:
    """For a client: bytes are called image 0, and no client can raise a limit."""
    return type(error)(ADVICE.sub("", str(error)).replace("image 0", name, 1))
