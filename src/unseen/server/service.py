"""What every route calls: pictures, texts and labels in, embeddings and predictions out.

For one event loop. Work is done in threads: decoders, one for each network, one for label sets.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unseen import cache
from unseen.classify import Classifier, load
from unseen.compiled_labels import CompiledLabels, assemble, texts_of
from unseen.decide import Decision, decide_encoded
from unseen.encode import Encoded
from unseen.errors import ImageError, LabelError, SourceError, UnseenError
from unseen.images import DEFAULT_LIMITS
from unseen.labels import Label, LabelSet
from unseen.models.model import Model
from unseen.predictions import Prediction
from unseen.server.batches import Batches
from unseen.server.labelsets import LabelStore, StoredSet
from unseen.server.metrics import Metrics
from unseen.server.pictures import Picture, content_of, embedding_of
from unseen.server.problems import Problem
from unseen.server.settings import Settings

T = TypeVar("T")
U = TypeVar("U")
Floats = NDArray[np.float32]
Decoding = asyncio.Future[NDArray[np.uint8] | UnseenError]

TEXTS_AT_ONCE = 64  # texts in a batch
TEXTS_IN_TURN = 64  # texts of one request before others have their turn
KEPT_BYTES = 64 * 1024 * 1024  # of prompts, and of compiled sets, each
FETCHERS = 16  # threads that wait for URLs
COMPILE_SECONDS = 5.0  # that a PUT waits for its set
NAME = re.compile(r"[\w][\w .-]{0,63}")
WITH_VERSION = re.compile(r"(.+)@(\d{1,9})")


@dataclass(frozen=True)
class Asked:
    """The labels of a request: of its own, or the name of a stored set, perhaps with a version."""

    labels: Any = None
    labelset: str | None = None
    template: str | Sequence[str] | None = None
    background: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ready:
    """Labels that are compiled, what is to be said of them, and the stored set they are of."""

    compiled: CompiledLabels
    warnings: tuple[str, ...] = ()
    stored: StoredSet | None = None


@dataclass(frozen=True)
class Texts:
    """(n, d) float32 rows of length 1, and what is to be said of the texts that were cut."""

    rows: Floats
    warnings: tuple[str, ...]


class Service:
    """One model, behind queues and caches."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Loads no weights; `start` does. Raises ModelError, StoreError."""
        self.settings = settings
        self.limits = settings.limits
        self.metrics = metrics
        self.classifier: Classifier = load(
            settings.model,
            revision=settings.revision,
            limits=settings.limits.of_a_picture(),
            exact=settings.exact,
            threads=settings.threads,
            precision=settings.precision,
            device=settings.device,
            commercial=settings.commercial,
        )
        self.encoder = self.classifier.encoder
        self.started = time.time()
        self.ready = False
        threads = settings.threads or os.cpu_count() or 1
        self._decoders = ThreadPoolExecutor(threads, thread_name_prefix="unseen-decode")
        self._fetchers = ThreadPoolExecutor(FETCHERS, thread_name_prefix="unseen-fetch")
        self._clerk = ThreadPoolExecutor(1, thread_name_prefix="unseen-labels")
        self.images: Batches[NDArray[np.uint8], Floats] = Batches(
            "image",
            lambda pixels: self.encoder.encode_pixels(pixels),
            metrics,
            size=settings.batch_size,
            patience=settings.batch_seconds,
        )
        self.texts: Batches[str, tuple[Floats, bool]] = Batches(
            "text", self._encode_texts, metrics, size=TEXTS_AT_ONCE
        )
        self._prompts: OrderedDict[str, tuple[Floats, bool]] = OrderedDict()
        self._compiled: OrderedDict[Hashable, Ready] = OrderedDict()
        self._compiled_bytes = 0
        self._compiling: dict[Hashable, asyncio.Task[Ready]] = {}
        self._store = LabelStore(
            settings.label_store or cache.home() / "labelsets.sqlite", self.model.fingerprint
        )

    @property
    def model(self) -> Model:
        """The checkpoint that answers."""
        return self.encoder.model

    def warm_up(self) -> None:
        """Loads, compiles and checks both nets, and the first inference of each."""
        grey = np.zeros((64, 64, 3), dtype=np.uint8)
        pixels = self.encoder.pixels(grey, limits=DEFAULT_LIMITS)
        assert not isinstance(pixels, UnseenError)
        for _ in range(2):  # the second time tells what it takes
            start = time.perf_counter()
            self.encoder.encode_pixels([pixels])
            middle = time.perf_counter()
            self.encoder.encode_once(["a"])
            self.images.assume(middle - start)
            self.texts.assume(time.perf_counter() - middle)

    async def close(self) -> None:
        """Ends the threads and closes the files."""
        self.ready = False
        for task in list(self._compiling.values()):
            task.cancel()
        for batches in (self.images, self.texts):
            await batches.close()
        for pool in (self._decoders, self._fetchers):
            pool.shutdown(wait=False, cancel_futures=True)
        self._clerk.shutdown(wait=True, cancel_futures=True)
        self._store.close()

    def admit(self) -> None:
        """Raises a Problem, at once, when the server is not warm or too much waits already."""
        self._must_be_ready()
        self.images.check(self.limits.queue_seconds)  # texts may be known: they are asked for later

    def _must_be_ready(self) -> None:
        if not self.ready:
            raise Problem(
                503, "the model is being loaded; try again soon.", code="starting", retry_after=2
            )

    # pictures

    async def encode_pictures(self, pictures: Sequence[Picture]) -> list[Encoded]:
        """Each picture's embedding, or why it has none, in order. Raises Problem for too many."""
        self._at_most(len(pictures), self.limits.images, "pictures in a call")
        self._must_be_ready()
        if any(picture.embedding is None for picture in pictures):
            self.images.check(self.limits.queue_seconds)
        # Begun at once: what else comes in this moment is to find them counted.
        begun = [
            self._decoding(picture) if picture.embedding is None and picture.url is None else None
            for picture in pictures
        ]
        return list(await asyncio.gather(*map(self._encode, pictures, begun)))

    async def encode_picture(self, picture: Picture) -> Encoded:
        """One picture, which has to be one: Problem 400 when it is none."""
        (encoded,) = await self.encode_pictures([picture])
        if encoded.error is not None:
            raise Problem(400, str(encoded.error), code="bad_image")
        return encoded

    async def _encode(self, picture: Picture, begun: Decoding | None) -> Encoded:
        name = picture.name
        start = time.perf_counter()
        try:
            if picture.embedding is not None:
                vector = embedding_of(picture.embedding, self.model.dimension, name)
                return Encoded(name, vector)
            if picture.url is not None:
                picture = replace(picture, content=await self.fetched(picture.url, picture.headers))
                start = time.perf_counter()
        except UnseenError as error:
            return Encoded(name, None, error)
        pixels = await (begun or self._decoding(picture))
        if isinstance(pixels, UnseenError):
            return Encoded(name, None, pixels)
        return Encoded(name, await self.images.submit(pixels, since=start))

    def _decoding(self, picture: Picture) -> Decoding:
        """Begun, and counted as long as it lasts."""
        loop = asyncio.get_running_loop()
        self.images.expect(1)
        begun = loop.run_in_executor(self._decoders, self._decode, picture)
        begun.add_done_callback(lambda _: self.images.expect(-1))
        return begun

    def _decode(self, picture: Picture) -> NDArray[np.uint8] | UnseenError:
        with self.metrics.stage("decode"):
            try:
                content = content_of(picture)
            except ImageError as error:
                return error
            pixels = self.encoder.pixels(content)
            return _renamed(pixels, picture.name) if isinstance(pixels, UnseenError) else pixels

    async def fetched(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The bytes at a URL that a client named. Raises SourceError.

        `headers`: for the host of the URL alone; never a client's own.
        """
        if not (self.settings.urls or self.settings.url_hosts):
            raise SourceError(
                "pictures are not fetched from URLs by this server (`unseen serve --urls` allows "
                "it): send the picture itself, as base64."
            )
        from unseen.server.remote import fetched  # noqa: PLC0415 - http and ssl, if asked for

        with self.metrics.stage("fetch"):
            return await self._in(self._fetchers, fetched, url, self.settings, headers)

    # texts

    async def encode_texts(self, texts: Sequence[str]) -> Texts:
        """Texts as they are; each is encoded once, as long as it is remembered."""
        distinct = list(dict.fromkeys(texts))
        found: dict[str, tuple[Floats, bool]] = {}
        missing = []
        for text in distinct:
            known = self._prompts.get(text)
            if known is None:
                missing.append(text)
            else:
                self._prompts.move_to_end(text)
                found[text] = known
        self.metrics.cache.labels("prompt", "hit").inc(len(found))
        self.metrics.cache.labels("prompt", "miss").inc(len(missing))
        if missing:
            self._must_be_ready()
            self.texts.check(self.limits.queue_seconds)
        for start in range(0, len(missing), TEXTS_IN_TURN):
            some = missing[start : start + TEXTS_IN_TURN]
            answers = await asyncio.gather(*map(self.texts.submit, some))
            found.update(zip(some, answers, strict=True))
            self._remember(dict(zip(some, answers, strict=True)))
        said = tuple(self.encoder.cut_short(text) for text in distinct if found[text][1])
        rows = np.array([found[text][0] for text in texts], dtype=np.float32)
        return Texts(rows.reshape(len(texts), self.model.dimension), said)

    def _encode_texts(self, texts: list[str]) -> list[tuple[Floats, bool]]:
        rows, cut = self.encoder.encode_once(texts)
        # Copies: a row that is kept must not keep its whole batch.
        return [(row.copy(), was_cut) for row, was_cut in zip(rows, cut, strict=True)]

    def _remember(self, prompts: dict[str, tuple[Floats, bool]]) -> None:
        self._prompts.update(prompts)
        each = 4 * self.model.dimension + 512  # and its text, and what Python adds
        while len(self._prompts) * each > KEPT_BYTES:
            self._prompts.popitem(last=False)

    async def count_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens the network reads of these texts. Raises LabelError."""
        encode = self.model.tokenizer.encode
        ids, _ = await self._in(self._decoders, encode, texts, self.model.context_length)
        return sum(map(len, ids))

    def check_texts(self, texts: Sequence[str], most: int, what: str = "texts in a call") -> None:
        """Problem 413 or 422 for too many, one too long, or one that is no Unicode."""
        self._at_most(len(texts), most, what)
        longest = max(texts, key=len, default="")
        if len(longest) > self.limits.prompt_chars:
            raise Problem(
                422,
                f"the text {longest[:40]!r}… has {len(longest):,} characters; at most "
                f"{self.limits.prompt_chars:,} are read.",
                code="text_too_long",
            )

    # labels

    def label_set(self, asked: Asked, *, stored: bool = False) -> LabelSet:
        """The labels that came with a request. Raises LabelError, and Problem for too many."""
        limits = self.limits
        if asked.labels is None:
            raise LabelError("no labels were given: labels, or the name of a labelset.")
        most = limits.stored_labels if stored else limits.labels
        self._at_most(len(asked.labels), most, "labels in a call")
        # Merged here, and not by LabelSet, which would warn the log of a server.
        labels = asked.labels
        if isinstance(labels, list):
            labels = list(dict.fromkeys(" ".join(label.split()) for label in labels))
        background = dict.fromkeys(" ".join(label.split()) for label in asked.background)
        label_set = LabelSet.from_data(labels).extended(asked.template, background)
        prompts = label_set.prompts(self.model.template)
        texts = [text for own in prompts for text in own]
        self.check_texts([*label_set.names, *texts], 2**31)
        most = limits.stored_prompts if stored else limits.prompts
        self._at_most(len(texts), most, "prompts (labels times templates)")
        return label_set

    async def labels(self, asked: Asked) -> Ready:
        """The labels of a request, compiled."""
        if asked.labelset is None:
            label_set = self.label_set(asked)
            return await self._made_once(label_set, lambda: self._compile(label_set))
        if asked.labels is not None or asked.template is not None or asked.background:
            raise LabelError(
                f"the label set {asked.labelset!r} brings its own labels, templates and "
                "background: leave those out, or leave labelset out."
            )
        return await self.compiled_set(await self.stored(asked.labelset))

    async def _made_once(
        self, key: Hashable, make: Callable[[], Coroutine[Any, Any, Ready]]
    ) -> Ready:
        """What is kept under a key; made once, for all that ask meanwhile."""
        found = self._compiled.get(key)
        self.metrics.hit("labels", found is not None)
        if found is not None:
            self._compiled.move_to_end(key)
            return found
        task = self._compiling.get(key)
        if task is None:
            task = self._compiling[key] = asyncio.create_task(make())
            task.add_done_callback(lambda done: self._keep(key, done))
        # Shielded: one who goes away takes nothing from the others.
        return await asyncio.shield(task)

    def _keep(self, key: Hashable, task: asyncio.Task[Ready]) -> None:
        self._compiling.pop(key, None)
        if task.cancelled() or task.exception() is not None:
            return
        self._compiled[key] = task.result()
        self._compiled_bytes += task.result().compiled.matrix.nbytes
        while self._compiled_bytes > KEPT_BYTES and len(self._compiled) > 1:
            _, old = self._compiled.popitem(last=False)
            self._compiled_bytes -= old.compiled.matrix.nbytes

    async def _compile(self, label_set: LabelSet) -> Ready:
        texts = await self.encode_texts(texts_of(self.model, label_set))
        return Ready(assemble(self.model, label_set, texts.rows), texts.warnings)

    # stored label sets

    async def stored(self, wanted: str, version: int | None = None) -> StoredSet:
        """A set by its NAME or NAME@VERSION. Of a name alone, the newest that is compiled.

        Problem 404 where there is none.
        """
        match = WITH_VERSION.fullmatch(wanted)
        if match is not None:
            wanted, version = match[1], int(match[2])
        found = None
        if version is None:
            found = await self._in(self._clerk, self._store.ready, wanted)
        if found is None:
            found = await self._in(self._clerk, self._store.get, wanted, version)
        if found is None:
            which = f"{wanted}@{version}" if version is not None else wanted
            raise Problem(404, f"there is no label set {which!r}.", code="no_such_labelset")
        return found

    async def newest(self, name: str, version: int | None = None) -> StoredSet:
        """A set as it was put, compiled or not (then that is begun). Problem 404."""
        found = await self._in(self._clerk, self._store.get, name, version)
        if found is None:
            raise Problem(404, f"there is no label set {name!r}.", code="no_such_labelset")
        if found.status == "compiling":
            _in_the_background(self.compiled_set(found))
        return found

    async def compiled_set(self, stored: StoredSet) -> Ready:
        """A stored set, compiled: from memory, from the file, or now."""
        key = (stored.name, stored.version)
        return await self._made_once(key, lambda: self._compile_stored(stored))

    async def _compile_stored(self, stored: StoredSet) -> Ready:
        where = (stored.name, stored.version)
        file = await self._in(self._clerk, self._store.compiled, *where)
        if file is not None:
            return Ready(CompiledLabels.from_bytes(file, stored.name), stored=stored)
        try:
            ready = await self._compile(_defined(stored))
        except UnseenError as error:
            await self._in(self._clerk, self._store.keep, *where, None, str(error))
            raise
        await self._in(self._clerk, self._store.keep, *where, ready.compiled.to_bytes())
        return replace(ready, stored=replace(stored, status="ready"))

    async def put(self, name: str, asked: Asked) -> tuple[StoredSet, bool]:
        """Keeps a set, and compiles it → it, and whether its name is new.

        Where compiling takes long it goes on afterwards: the status says so.
        """
        return await self.put_set(name, self.label_set(asked, stored=True))

    async def put_set(self, name: str, label_set: LabelSet) -> tuple[StoredSet, bool]:
        """As `put`, of labels already read."""
        if NAME.fullmatch(name) is None:
            raise Problem(422, "a label set's name has 1 to 64 letters, digits, _, ., - or spaces.")
        known = await self._in(self._clerk, self._store.get, name, None)
        if known is None:
            number = await self._in(self._clerk, self._store.count)
            self._at_most(number + 1, self.limits.label_sets, "label sets")
        stored, new = await self._in(
            self._clerk, self._store.put, name, _definition(label_set), len(label_set.labels)
        )
        await asyncio.wait([_in_the_background(self.compiled_set(stored))], timeout=COMPILE_SECONDS)
        found = await self._in(self._clerk, self._store.get, name, stored.version)
        return found or stored, new

    async def list_sets(self) -> list[StoredSet]:
        """The newest version of each."""
        return await self._in(self._clerk, self._store.list)

    async def delete_set(self, name: str) -> None:
        """Problem 404 where there is none."""
        if not await self._in(self._clerk, self._store.delete, name):
            raise Problem(404, f"there is no label set {name!r}.", code="no_such_labelset")
        for key in [k for k in self._compiled if isinstance(k, tuple) and k[0] == name]:
            self._compiled_bytes -= self._compiled.pop(key).compiled.matrix.nbytes

    # answers

    async def classify(
        self, pictures: Sequence[Picture], asked: Asked, decision: Decision
    ) -> tuple[list[Prediction], Ready]:
        """A prediction for each picture; labels and pictures are encoded side by side."""
        labels, encoded = await _both(self.labels(asked), self.encode_pictures(pictures))
        return decide_encoded(encoded, labels.compiled, self.model.score, decision), labels

    async def classify_one(
        self, picture: Picture, asked: Asked, decision: Decision
    ) -> tuple[Prediction, Ready]:
        """As `classify`; Problem 400 when it is no picture."""
        labels, encoded = await _both(self.labels(asked), self.encode_picture(picture))
        (prediction,) = decide_encoded([encoded], labels.compiled, self.model.score, decision)
        return prediction, labels

    def _at_most(self, number: int, most: int, what: str) -> None:
        if number > most:
            raise Problem(413, f"{number:,} {what}; at most {most:,} are taken.", code="too_many")

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)


def _definition(label_set: LabelSet) -> dict[str, Any]:
    """What is kept of a set: enough to make it again."""
    return {
        "labels": [asdict(label) for label in label_set.labels],
        "templates": label_set.templates,
    }


def _defined(stored: StoredSet) -> LabelSet:
    labels, patterns = stored.definition["labels"], stored.definition["templates"]
    return LabelSet(
        tuple(Label(**{**label, "prompts": tuple(label["prompts"])}) for label in labels),
        tuple(patterns) if patterns else None,
        stored.name,
    )


async def _both(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """Both results; where one fails the other is not gone on with."""
    one, two = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        await asyncio.gather(one, two)
        return one.result(), two.result()
    finally:
        for task in (one, two):
            task.cancel()


def _in_the_background(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Goes on by itself; what it raises is found in the store."""
    task = asyncio.ensure_future(work)
    _BACKGROUND.add(task)  # the event loop itself keeps only weak references
    task.add_done_callback(_BACKGROUND.discard)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


_BACKGROUND: set[asyncio.Task[Any]] = set()


def _renamed(error: UnseenError, name: str) -> UnseenError:
    """An error of bytes has no name of its own: it calls them image 0."""
    return type(error)(str(error).replace("image 0", name, 1))
