"""The labels of requests → compiled label sets: made once, kept in memory, stored under names."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Coroutine, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

from unseen.errors import LabelError, UnseenError
from unseen.labels.compiled import CompiledLabels, assemble, texts_of
from unseen.labels.label_set import Label, LabelSet
from unseen.prediction.calibration import Calibration
from unseen.prediction.decision import Decision
from unseen.system import cache
from unseen.system.lru import ByteLRU
from unseen.web.server.core.encoding import Encoding, at_most, in_pool
from unseen.web.server.core.label_sets import LabelStore, StoredSet
from unseen.web.server.core.logs import LOGGER
from unseen.web.server.core.problems import Problem

logger = logging.getLogger(LOGGER)

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
    calibration: Calibration | None = None

    def calibrated(self, decision: Decision) -> Decision:
        """With the calibration of the stored set, where it is of this mode."""
        mode = decision.multi_label
        if self.calibration is None or self.calibration.multi_label != mode:
            return decision
        return replace(decision, calibration=self.calibration)


class Labelling:
    """Label sets, compiled for the model of an `Encoding`."""

    def __init__(self, encoding: Encoding) -> None:
        """Opens the file of stored sets. Raises StoreError."""
        self._encoding = encoding
        self._clerk = ThreadPoolExecutor(1, thread_name_prefix="unseen-labels")
        self._compiled: ByteLRU[Hashable, Ready] = ByteLRU(
            encoding.limits.cache_bytes, _bytes_of, keep_last=True
        )
        self._compiling: dict[Hashable, asyncio.Task[Ready]] = {}
        self._store = LabelStore(
            encoding.settings.label_store or cache.home() / "labelsets.sqlite",
            encoding.model.fingerprint,
        )

    async def close(self) -> None:
        """Ends the thread and closes the file."""
        for task in list(self._compiling.values()):
            task.cancel()
        self._clerk.shutdown(wait=True, cancel_futures=True)
        self._store.close()

    def label_set(self, asked: Asked, *, stored: bool = False) -> LabelSet:
        """The labels that came with a request. Raises LabelError, and Problem for too many."""
        limits = self._encoding.limits
        model = self._encoding.model
        if asked.labels is None and model.labels:
            none = (*model.background, *asked.background)
            names = [name for name in model.labels if name not in none]
            asked = replace(asked, labels=names, background=none)
        if asked.labels is None:
            raise LabelError("no labels were given: labels, or the name of a labelset.")
        most = limits.stored_labels if stored else limits.labels
        at_most(len(asked.labels), most, "labels in a call")
        # Merged here, and not by LabelSet, which would warn the log of a server.
        labels = asked.labels
        if isinstance(labels, list):
            labels = list(dict.fromkeys(" ".join(label.split()) for label in labels))
        background = dict.fromkeys(" ".join(label.split()) for label in asked.background)
        label_set = LabelSet.from_data(labels).extended(asked.template, background)
        prompts = label_set.prompts(self._encoding.model.template)
        texts = [text for own in prompts for text in own]
        self._encoding.check_texts([*label_set.names, *texts], 2**31)
        most = limits.stored_prompts if stored else limits.prompts
        at_most(len(texts), most, "prompts (labels times templates)")
        return label_set

    async def of(self, asked: Asked) -> Ready:
        """The labels of a request, compiled."""
        if asked.labelset is None:
            label_set = self.label_set(asked)
            return await self._made_once(label_set, lambda: self._compile(label_set))
        if asked.labels is not None or asked.template is not None or asked.background:
            raise LabelError(
                f"the label set {asked.labelset!r} brings its own labels, templates and "
                "background: leave those out, or leave labelset out."
            )
        return await self.compiled(await self.stored(asked.labelset))

    async def _made_once(
        self, key: Hashable, make: Callable[[], Coroutine[Any, Any, Ready]]
    ) -> Ready:
        """What is kept under a key; made once, for all that ask meanwhile."""
        found = self._compiled.get(key)
        self._encoding.metrics.hit("labels", found is not None)
        if found is not None:
            return found
        task = self._compiling.get(key)
        if task is None:
            task = self._compiling[key] = asyncio.create_task(self._adapted(make()))
            task.add_done_callback(lambda done: self._keep(key, done))
        # Shielded: one who goes away takes nothing from the others.
        return await asyncio.shield(task)

    async def _adapted(self, made: Coroutine[Any, Any, Ready]) -> Ready:
        """As the server's adapter has it; the store keeps it as it was."""
        ready = await made
        compiled = self._encoding.adapted(ready.compiled)
        # What was learnt is of labels as they are answered, adapted or not.
        learnt = None if ready.stored is None else _calibration(ready.stored, compiled)
        return replace(ready, compiled=compiled, calibration=learnt)

    def _keep(self, key: Hashable, task: asyncio.Task[Ready]) -> None:
        self._compiling.pop(key, None)
        if not task.cancelled() and task.exception() is None:
            self._compiled.put(key, task.result())

    async def _compile(self, label_set: LabelSet) -> Ready:
        texts = await self._encoding.encode_texts(texts_of(self._encoding.model, label_set))
        return Ready(assemble(self._encoding.model, label_set, texts.rows), texts.warnings)

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
            found = await in_pool(self._clerk, self._store.ready, wanted)
        if found is None:
            found = await in_pool(self._clerk, self._store.get, wanted, version)
        if found is None:
            which = f"{wanted}@{version}" if version is not None else wanted
            raise Problem(404, f"there is no label set {which!r}.", code="no_such_labelset")
        return found

    async def newest(self, name: str, version: int | None = None) -> StoredSet:
        """A set as it was put, compiled or not (then that is begun). Problem 404."""
        found = await in_pool(self._clerk, self._store.get, name, version)
        if found is None:
            raise Problem(404, f"there is no label set {name!r}.", code="no_such_labelset")
        if found.status == "compiling":
            _in_the_background(self.compiled(found))
        return found

    async def compiled(self, stored: StoredSet) -> Ready:
        """A stored set, compiled: from memory, from the file, or now."""
        key = (stored.name, stored.version)
        return await self._made_once(key, lambda: self._compile_stored(stored))

    async def _compile_stored(self, stored: StoredSet) -> Ready:
        where = (stored.name, stored.version)
        file = await in_pool(self._clerk, self._store.compiled, *where)
        if file is not None:
            compiled = CompiledLabels.from_bytes(file, stored.name)
            compiled = compiled.for_model(self._encoding.model)
            return Ready(compiled, stored=stored)
        try:
            ready = await self._compile(_defined(stored))
        except UnseenError as error:
            await in_pool(self._clerk, self._store.keep, *where, None, str(error))
            raise
        await in_pool(self._clerk, self._store.keep, *where, ready.compiled.to_bytes())
        return replace(ready, stored=replace(stored, status="ready"))

    async def put(self, name: str, asked: Asked) -> tuple[StoredSet, bool]:
        """Keeps a set, and compiles it → it, and whether its name is new.

        Where compiling takes long it goes on afterwards: the status says so.
        """
        return await self.put_set(name, self.label_set(asked, stored=True))

    async def put_set(
        self, name: str, label_set: LabelSet, calibration: Calibration | None = None
    ) -> tuple[StoredSet, bool]:
        """As `put`, of labels already read, and what was learnt of them."""
        if NAME.fullmatch(name) is None:
            raise Problem(422, "a label set's name has 1 to 64 letters, digits, _, ., - or spaces.")
        known = await in_pool(self._clerk, self._store.get, name, None)
        if known is None:
            number = await in_pool(self._clerk, self._store.count)
            at_most(number + 1, self._encoding.limits.label_sets, "label sets")
        stored, new = await in_pool(
            self._clerk,
            self._store.put,
            name,
            _definition(label_set, calibration),
            len(label_set.labels),
        )
        await asyncio.wait([_in_the_background(self.compiled(stored))], timeout=COMPILE_SECONDS)
        found = await in_pool(self._clerk, self._store.get, name, stored.version)
        return found or stored, new

    async def learnt(self, name: str, label_set: LabelSet) -> Calibration | None:
        """What is kept for a set of that name, where its newest version has just these labels."""
        stored = await in_pool(self._clerk, self._store.get, name, None)
        if stored is None or "calibration" not in stored.definition:
            return None
        same = json.loads(json.dumps(_definition(label_set, None)))
        if any(stored.definition[key] != value for key, value in same.items()):
            return None
        return Calibration.from_data(stored.definition["calibration"], name)

    async def list(self) -> list[StoredSet]:
        """The newest version of each."""
        return await in_pool(self._clerk, self._store.list)

    async def delete(self, name: str) -> None:
        """Problem 404 where there is none."""
        if not await in_pool(self._clerk, self._store.delete, name):
            raise Problem(404, f"there is no label set {name!r}.", code="no_such_labelset")
        self._compiled.discard_if(lambda key: isinstance(key, tuple) and key[0] == name)


def _bytes_of(ready: Ready) -> int:
    """What compiled labels keep, about: their vectors, and what Python makes of a label."""
    compiled = ready.compiled
    return compiled.matrix.nbytes + compiled.neutral.nbytes + 4096 + 1024 * len(compiled.labels)


def _definition(label_set: LabelSet, calibration: Calibration | None) -> dict[str, Any]:
    """What is kept of a set: enough to make it again."""
    return {
        "labels": [asdict(label) for label in label_set.labels],
        "templates": label_set.templates,
        **({} if calibration is None else {"calibration": calibration.to_data()}),
    }


def _calibration(stored: StoredSet, compiled: CompiledLabels) -> Calibration | None:
    """That of a stored set; one that is not of this model and these labels is logged, and left."""
    data = stored.definition.get("calibration")
    if data is None:
        return None
    try:
        found = Calibration.from_data(data, f"{stored.name}@{stored.version}")
        found.check(compiled, multi_label=found.multi_label)
    except LabelError as error:
        fields = {"labelset": f"{stored.name}@{stored.version}", "error": str(error)}
        logger.error("calibration not used", extra={"fields": fields})
        return None
    return found


def _defined(stored: StoredSet) -> LabelSet:
    labels, patterns = stored.definition["labels"], stored.definition["templates"]
    return LabelSet(
        tuple(Label(**{**label, "prompts": tuple(label["prompts"])}) for label in labels),
        tuple(patterns) if patterns else None,
        stored.name,
    )


def _in_the_background(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Goes on by itself; what it raises is found in the store."""
    task = asyncio.ensure_future(work)
    _BACKGROUND.add(task)  # the event loop itself keeps only weak references
    task.add_done_callback(_BACKGROUND.discard)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


_BACKGROUND: set[asyncio.Task[Any]] = set()
