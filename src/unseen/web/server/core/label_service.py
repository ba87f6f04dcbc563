"""The labels of requests → compiled label sets: each compiled once, cached, stored by name."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

from unseen.errors import LabelError, UnseenError
from unseen.labels.compile import assemble, texts_of
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import Label, LabelSet
from unseen.prediction.calibration import Calibration
from unseen.prediction.decision import Decision
from unseen.system import cache
from unseen.system.lru import ByteLRU
from unseen.web.problems import Problem
from unseen.web.server.core.encoding import CHARACTERS, Encoding, at_most, in_pool
from unseen.web.server.core.label_sets import LabelStore, StoredSet
from unseen.web.server.core.logs import LOGGER
from unseen.web.server.core.queues.sharing import SharedWork

logger = logging.getLogger(LOGGER)

PROMPTS = "prompts (labels times templates)"
COMPILE_SECONDS = 5.0  # that a PUT waits for its set to be compiled
NAME = re.compile(r"[\w][\w .-]{0,63}")
WITH_VERSION = re.compile(r"(.+)@(\d{1,9})")


@dataclass(frozen=True)
class LabelRequest:
    """The labels of a request: in it, or the name of a stored set, perhaps with a version."""

    labels: Any = None
    labelset: str | None = None
    template: str | Sequence[str] | None = None
    background: tuple[str, ...] = ()
    concept: str | None = None


@dataclass(frozen=True)
class CompiledSet:
    """Compiled labels, the warnings about them, and the stored set from which they come."""

    compiled: CompiledLabels
    warnings: tuple[str, ...] = ()
    stored: StoredSet | None = None
    calibration: Calibration | None = None

    def calibrated(self, decision: Decision) -> Decision:
        """With the calibration of the stored set, where that was learnt for this mode."""
        mode = decision.multi_label
        if self.calibration is None or self.calibration.multi_label != mode:
            return decision
        return replace(decision, calibration=self.calibration)


class LabelService:
    """Label sets, compiled for the model of an `Encoding`."""

    def __init__(self, encoding: Encoding) -> None:
        """Opens the file of stored sets. Raises StoreError."""
        self._encoding = encoding
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="unseen-labels")
        self._compiled: ByteLRU[Hashable, CompiledSet] = ByteLRU(
            encoding.limits.cache_bytes, _bytes_of, keep_last=True
        )
        self._compiling: SharedWork[Hashable, CompiledSet] = SharedWork()
        self._store = LabelStore(
            encoding.settings.label_store or cache.home() / "labelsets.sqlite",
            encoding.model.fingerprint,
            encoding.limits.label_versions,
        )

    async def close(self) -> None:
        """Ends the thread and closes the file."""
        self._compiling.cancel()
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._store.close()

    def label_set(self, request: LabelRequest, *, stored: bool = False) -> LabelSet:
        """The labels that came with a request. Raises LabelError, and Problem for too many."""
        limits = self._encoding.limits
        model = self._encoding.model
        if request.labels is None and model.labels:
            background_labels = (*model.background, *request.background)
            names = [name for name in model.labels if name not in background_labels]
            request = replace(request, labels=names, background=background_labels)
        if request.labels is None:
            raise LabelError("no labels; give labels, or the name of a labelset.")
        max_labels = limits.stored_labels if stored else limits.labels
        at_most(len(request.labels), max_labels, "labels in a call")
        at_most(len(request.background), max_labels, "background labels in a call")
        max_prompts = limits.stored_prompts if stored else limits.prompts
        self._check_own(request, max_prompts)
        # Merged here, and not by LabelSet, whose warning would go to the log of the server.
        labels = request.labels
        if isinstance(labels, list):
            labels = list(dict.fromkeys(" ".join(label.split()) for label in labels))
        background = dict.fromkeys(" ".join(label.split()) for label in request.background)
        label_set = LabelSet.from_data(labels)
        label_set = label_set.extended(request.template, background, request.concept)
        # Counted before there is a prompt: a thousand labels and templates would be a million.
        number = label_set.count_prompts()
        at_most(number, max_prompts, PROMPTS)
        self._encoding.check_texts(label_set.names, 2**31)
        self._encoding.check_prompts(
            (pattern, label.name)
            for label in label_set.labels
            for pattern in label_set.patterns(label, model.template)
        )
        return label_set

    def _check_own(self, request: LabelRequest, max_prompts: int) -> None:
        """Templates and labels that would be too long or too many, before anything is made of them:
        a concept goes into each place of a template, a name into each description of its label."""
        given = request.template or ()
        self._encoding.check_prompts(
            (t, "x") for t in ([given] if isinstance(given, str) else given)
        )
        if not isinstance(request.labels, Mapping):
            return
        self._encoding.check_texts([*request.labels], 2**31)
        number = characters = 0
        for name, value in request.labels.items():
            details = value if isinstance(value, Mapping) else {"prompts": value}
            for own in (details.get("prompts"), details.get("descriptions")):
                texts = [own] if isinstance(own, str) else own or ()
                number += len(texts)
                characters += len(texts) * len(name) + sum(map(len, texts))
        at_most(number, max_prompts, PROMPTS)
        at_most(characters, CHARACTERS, "characters in prompts")

    def check_together(self, requests: Sequence[LabelRequest]) -> None:
        """Several label sets of a call may have as many labels as one. Raises as `label_set`."""
        limits = self._encoding.limits
        sets = [self.label_set(request) for request in requests if request.labelset is None]
        at_most(sum(len(s.labels) for s in sets), limits.labels, "labels in a call")
        prompts = sum(label_set.count_prompts() for label_set in sets)
        at_most(prompts, limits.prompts, PROMPTS)

    def known(self, request: LabelRequest) -> CompiledSet | None:
        """The labels of a request, where they came as before, and are no stored set."""
        key = _key_of(request) if request.labelset is None else None
        compiled_set = None if key is None else self._compiled.get(key)
        if compiled_set is not None:
            self._encoding.metrics.hit("labels", True)
        return compiled_set

    async def compiled_set(self, request: LabelRequest) -> CompiledSet:
        """The labels of a request, compiled."""
        if request.labelset is None:
            return await self._compiled_labels(request)
        given = (request.labels, request.template, request.background or None, request.concept)
        if any(one is not None for one in given):
            raise LabelError(
                f"the label set {request.labelset[:100]!r} has its own labels, templates, "
                "background and concept: leave those out, or leave labelset out."
            )
        return await self.compiled(await self.stored(request.labelset))

    async def _compiled_labels(self, request: LabelRequest) -> CompiledSet:
        """Labels that came as before are not read again: that takes longer than to answer."""
        compiled_set, key = self.known(request), _key_of(request)
        if compiled_set is not None:
            return compiled_set
        label_set = self.label_set(request)
        return await self._once(key or label_set, lambda: self._compile(label_set))

    async def _once(
        self,
        key: Hashable,
        compile_set: Callable[[], Coroutine[Any, Any, CompiledSet]],
        *,
        stays: bool = False,
    ) -> CompiledSet:
        """The cached set of a key; compiled once, for all requests that come meanwhile. `stays`:
        compiling goes on when none of them waits any more."""
        compiled_set = self._compiled.get(key)
        self._encoding.metrics.hit("labels", compiled_set is not None)
        if compiled_set is not None:
            return compiled_set
        return await self._compiling.get(key, lambda: self._cached(key, compile_set), stays=stays)

    async def _cached(
        self, key: Hashable, compile_set: Callable[[], Coroutine[Any, Any, CompiledSet]]
    ) -> CompiledSet:
        """With the server's adapter; the store keeps the set without it."""
        compiled_set = await compile_set()
        compiled = self._encoding.adapted(compiled_set.compiled)
        stored = compiled_set.stored
        # A calibration is of the labels as they answer: with an adapter, of the adapted ones.
        calibration = None if stored is None else _calibration(stored, compiled)
        compiled_set = replace(compiled_set, compiled=compiled, calibration=calibration)
        self._compiled.put(key, compiled_set)
        return compiled_set

    async def _compile(self, label_set: LabelSet, *, patient: bool = False) -> CompiledSet:
        prompts = texts_of(self._encoding.model, label_set)
        texts = await self._encoding.encode_texts(prompts, patient=patient)
        return CompiledSet(assemble(self._encoding.model, label_set, texts.rows), texts.warnings)

    # stored label sets

    async def stored(self, name: str, version: int | None = None) -> StoredSet:
        """A set by its NAME or NAME@VERSION. Of a name alone, the newest that is compiled.

        Problem 404 where there is none.
        """
        match = WITH_VERSION.fullmatch(name)
        if match is not None:
            name, version = match[1], int(match[2])
        stored = None
        if version is None:
            stored = await in_pool(self._thread, self._store.ready, name)
        if stored is None:
            stored = await in_pool(self._thread, self._store.get, name, version)
        if stored is None:
            raise _no_such_set(name if version is None else f"{name}@{version}")
        return stored

    async def newest(self, name: str, version: int | None = None) -> StoredSet:
        """A set as it was put; where it is not compiled yet, that is begun. Problem 404."""
        stored = await in_pool(self._thread, self._store.get, name, version)
        if stored is None:
            raise _no_such_set(name)
        if stored.status == "compiling":
            _in_the_background(self.compiled(stored))
        return stored

    async def compiled(self, stored: StoredSet) -> CompiledSet:
        """A stored set, compiled: from memory, from the file, or now."""
        key = (stored.name, stored.version)
        return await self._once(key, lambda: self._compile_stored(stored), stays=True)

    async def _compile_stored(self, stored: StoredSet) -> CompiledSet:
        version = (stored.name, stored.version)
        file = await in_pool(self._thread, self._store.compiled, *version)
        if file is not None:
            compiled = CompiledLabels.from_bytes(file, stored.name)
            compiled = compiled.for_model(self._encoding.model)
            return CompiledSet(compiled, stored=stored)
        try:
            compiled_set = await self._compile(_label_set_of(stored), patient=True)
        except UnseenError as error:
            await in_pool(self._thread, self._store.keep, *version, None, str(error))
            raise
        await in_pool(self._thread, self._store.keep, *version, compiled_set.compiled.to_bytes())
        return replace(compiled_set, stored=replace(stored, status="ready"))

    async def put(self, name: str, request: LabelRequest) -> tuple[StoredSet, bool]:
        """Stores and compiles a set → it, and whether its name is new.

        Where compiling takes long it goes on afterwards: the status says so.
        """
        label_set = await asyncio.to_thread(self.label_set, request, stored=True)
        return await self.put_set(name, label_set)

    async def put_set(
        self, name: str, label_set: LabelSet, calibration: Calibration | None = None
    ) -> tuple[StoredSet, bool]:
        """As `put`, of labels that are read already, and their calibration."""
        if NAME.fullmatch(name) is None:
            raise Problem(422, "a label set's name has 1 to 64 letters, digits, _, ., - or spaces.")
        if await in_pool(self._thread, self._store.get, name, None) is None:
            number = await in_pool(self._thread, self._store.count)
            at_most(number + 1, self._encoding.limits.label_sets, "label sets")
        stored, new = await in_pool(
            self._thread,
            self._store.put,
            name,
            _definition(label_set, calibration),
            len(label_set.labels),
        )
        await asyncio.wait([_in_the_background(self.compiled(stored))], timeout=COMPILE_SECONDS)
        compiled = await in_pool(self._thread, self._store.get, name, stored.version)
        return compiled or stored, new

    async def calibration_of(self, name: str, label_set: LabelSet) -> Calibration | None:
        """That of the stored set of a name, where its newest version has just these labels."""
        stored = await in_pool(self._thread, self._store.get, name, None)
        if stored is None or "calibration" not in stored.definition:
            return None
        same = json.loads(json.dumps(_definition(label_set, None)))
        # A set without a concept has no such key, so both sides are looked at.
        keys = {*same, *stored.definition} - {"calibration"}
        if any(stored.definition.get(key) != same.get(key) for key in keys):
            return None
        return Calibration.from_data(stored.definition["calibration"], name)

    async def list(self) -> list[StoredSet]:
        """The newest version of each."""
        return await in_pool(self._thread, self._store.list)

    async def delete(self, name: str) -> None:
        """Problem 404 where there is none."""
        if not await in_pool(self._thread, self._store.delete, name):
            raise _no_such_set(name)
        self._compiled.discard_if(lambda key: isinstance(key, tuple) and key[0] == name)


def _key_of(request: LabelRequest) -> Hashable | None:
    """What stands for the labels of a request, as they came; None for those with own prompts."""
    labels, template = request.labels, request.template
    if isinstance(labels, Mapping):
        return None
    labels = None if labels is None else tuple(labels)
    template = template if template is None or isinstance(template, str) else tuple(template)
    return replace(request, labels=labels, template=template)


def _no_such_set(name: str) -> Problem:
    return Problem(404, f"there is no label set {name[:100]!r}.", code="no_such_labelset")


def _bytes_of(compiled_set: CompiledSet) -> int:
    """The memory of compiled labels, about: their vectors, and Python's objects for each label."""
    compiled = compiled_set.compiled
    return compiled.matrix.nbytes + compiled.neutral.nbytes + 4096 + 1024 * len(compiled.labels)


def _definition(label_set: LabelSet, calibration: Calibration | None) -> dict[str, Any]:
    """What is stored of a set: enough to compile it again."""
    for label in label_set.labels:
        if label.examples:
            raise LabelError(
                f"the label {label.name!r} has examples, which a server does not read; make an "
                "adapter of them (unseen adapt)."
            )
    labels = [asdict(label) for label in label_set.labels]
    for label_facts in labels:  # so that what was stored before is the same version still
        del label_facts["examples"]
    return {
        "labels": labels,
        "templates": label_set.templates,
        **({} if label_set.concept is None else {"concept": label_set.concept}),
        **({} if calibration is None else {"calibration": calibration.to_data()}),
    }


def _calibration(stored: StoredSet, compiled: CompiledLabels) -> Calibration | None:
    """That of a stored set. One for another model or other labels is logged, and not used."""
    data = stored.definition.get("calibration")
    if data is None:
        return None
    try:
        calibration = Calibration.from_data(data, f"{stored.name}@{stored.version}")
        calibration.check(compiled, multi_label=calibration.multi_label)
    except LabelError as error:
        fields = {"labelset": f"{stored.name}@{stored.version}", "error": str(error)}
        logger.error("calibration not used", extra={"fields": fields})
        return None
    return calibration


def _label_set_of(stored: StoredSet) -> LabelSet:
    labels, patterns = stored.definition["labels"], stored.definition["templates"]
    return LabelSet(
        tuple(Label(**{**label, "prompts": tuple(label["prompts"])}) for label in labels),
        tuple(patterns) if patterns else None,
        stored.name,
        stored.definition.get("concept"),
    )


def _in_the_background(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Goes on by itself; its errors are recorded in the store."""
    task = asyncio.ensure_future(work)
    _BACKGROUND.add(task)  # the event loop itself keeps only weak references
    task.add_done_callback(_BACKGROUND.discard)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


_BACKGROUND: set[asyncio.Task[Any]] = set()
