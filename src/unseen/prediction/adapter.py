"""An adapter: what a few labelled pictures taught, as a small file that `load(adapter=…)` takes.

It holds a row for each of its labels, which takes the place of the row that the label's text would
have, and a scale and bias that make the products probabilities. One kind also holds its examples
(`Cache`). Another, which the pictures gave no reason to leave zero-shot, holds no row at all.
`unseen.adapt` makes them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import LabelError
from unseen.labels.compiled import Adapted, Cache, CompiledLabels
from unseen.models.model import Model, Score
from unseen.system.safetensors_file import Kind

KIND = Kind("unseen-adapter-1", "adapter", "; unseen adapt makes one")
ZERO_SHOT = "zero-shot"

Rows = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Adapter:
    """Tied to the model whose fingerprint it carries: any other refuses it.

    `rows` (k, d): one a label, of any length; (0, d) for zero-shot. `level` (d,): the mean of what
    these labels' texts have. The rows of other labels' texts lie around it, `contrast` times as far
    away as they did: the scale of `score` is made for `rows`, which may be much longer. `facts`:
    what `unseen.adapt` measured, plain data for JSON. The numbers are those that half precision can
    hold, in memory too, so that a file says the same as what was saved.
    """

    labels: tuple[str, ...]
    rows: Rows
    score: Score
    method: str
    model: str
    revision: str | None
    fingerprint: str
    level: Rows
    contrast: float = 1.0
    cache: Cache | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", _halved(self.rows))
        object.__setattr__(self, "level", _halved(self.level))
        if self.cache is not None:
            cache = replace(self.cache, support=_halved(self.cache.support))
            object.__setattr__(self, "cache", cache)

    @cached_property
    def id(self) -> str:
        """Of its content: the date and the figures do not count."""
        digest = hashlib.sha256(
            json.dumps([self.labels, asdict(self.score), self.contrast]).encode()
        )
        for array in self._arrays().values():
            digest.update(array.tobytes())
        if self.cache is not None:
            digest.update(json.dumps([self.cache.alpha, self.cache.beta]).encode())
        return digest.hexdigest()[:16]

    def check(self, model: Model) -> None:
        """LabelError unless it was made for exactly this model."""
        if self.fingerprint != model.fingerprint:
            raise LabelError(
                f"the adapter was made for {self.model} ({self.fingerprint[:12]}), and the model "
                f"in use is {model.name} ({model.fingerprint[:12]}); make one for it: "
                f"unseen adapt … -m {model.name}"
            )

    def apply(self, compiled: CompiledLabels) -> CompiledLabels:
        """The set with the adapter's rows for the labels that it knows by name.

        Their prompts no longer count. Other labels compete by their texts. A set without any label
        that it knows is given back as it is, and so is every set by an adapter that is zero-shot.
        LabelError for a set that another adapter changed.
        """
        if compiled.fingerprint != self.fingerprint:
            raise LabelError(
                f"the label set {compiled.name!r} was compiled for {compiled.model}, and the "
                f"adapter was made for {self.model}."
            )
        if compiled.adapted is not None and compiled.adapted.adapter != self.id:
            raise LabelError(
                f"the label set {compiled.name!r} was compiled with another adapter; compile its "
                "labels anew."
            )
        place = {name: i for i, name in enumerate(self.labels)} if len(self.rows) else {}
        known = [place.get(label.name, -1) for label in compiled.labels]
        if compiled.adapted is not None or max(known) < 0:
            return compiled
        here = np.flatnonzero(np.array(known) >= 0)
        there = np.array(known)[here]
        matrix = self._text(compiled.matrix)
        matrix[here] = self.rows[there]
        made_of = (f"pictures, in the adapter {self.id}",)
        prompts = tuple(
            own if i < 0 else made_of for i, own in zip(known, compiled.prompts, strict=True)
        )
        adapted = Adapted(self.id, self.score, self._cache_of(compiled, here, there))
        neutral = self._text(compiled.neutral)
        return replace(compiled, matrix=matrix, neutral=neutral, prompts=prompts, adapted=adapted)

    def _text(self, rows: Rows) -> Rows:
        """The rows of texts, as they compete with the adapter's own."""
        moved = self.level + np.float32(self.contrast) * (rows - self.level)
        return np.asarray(moved, dtype=np.float32)

    def _cache_of(
        self, compiled: CompiledLabels, here: NDArray[Any], there: NDArray[Any]
    ) -> Cache | None:
        """The examples, by the places of their labels in a set, or behind its end."""
        if self.cache is None:
            return None
        moved = len(compiled.labels) + np.arange(len(self.labels))
        moved[there] = here
        places = moved[self.cache.owners]
        order = np.argsort(places, kind="stable")
        owners = np.asarray(places[order], dtype=np.int32)
        return replace(self.cache, support=self.cache.support[order], owners=owners)

    # files

    def save(self, path: str | Path) -> None:
        """One safetensors file, written whole or not at all."""
        KIND.write(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """What `save` writes."""
        facts = {
            "labels": self.labels,
            "score": asdict(self.score),
            "method": self.method,
            "model": self.model,
            "revision": self.revision,
            "fingerprint": self.fingerprint,
            "contrast": self.contrast,
            "facts": self.facts,
        }
        if self.cache is not None:
            facts["cache"] = {"alpha": self.cache.alpha, "beta": self.cache.beta}
        return KIND.to_bytes(self._arrays(), facts)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {
            "rows": self.rows.astype(np.float16),
            "level": self.level.astype(np.float16),
        }
        if self.cache is not None:
            arrays["support"] = self.cache.support.astype(np.float16)
            arrays["owners"] = self.cache.owners
        return arrays

    @classmethod
    def load(cls, path: str | Path) -> Adapter:
        """LabelError when the file is missing, damaged, or something else."""
        return cls.from_bytes(KIND.read(path), str(path))

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> Adapter:
        """What `to_bytes` gave; `where` it was, for the LabelError of what is damaged."""
        return KIND.from_bytes(content, where, cls._made)

    @classmethod
    def _made(cls, facts: dict[str, Any], arrays: dict[str, Any]) -> Adapter:
        made = cls(
            tuple(facts["labels"]),
            arrays["rows"],
            Score(**facts["score"]),
            facts["method"],
            facts["model"],
            facts["revision"],
            facts["fingerprint"],
            arrays["level"],
            facts["contrast"],
            Cache(arrays["support"], arrays["owners"], **facts["cache"])
            if "cache" in facts
            else None,
            facts["facts"],
        )
        made._check_shapes()
        return made

    def _check_shapes(self) -> None:
        """ValueError where parts do not fit together."""
        k = len(self.labels)
        if self.rows.ndim != 2 or len(self.rows) not in (0, k) or len(set(self.labels)) != k:
            raise ValueError(f"{k} labels and rows of shape {self.rows.shape}")
        if self.level.shape != self.rows.shape[1:]:
            raise ValueError(f"rows of shape {self.rows.shape} and a level of {self.level.shape}")
        scalars = np.array([self.score.scale, self.score.bias, self.contrast])
        numbers = [self.rows.ravel(), self.level, scalars]
        if self.cache is not None:
            support, owners = self.cache.support, self.cache.owners
            if support.shape != (len(owners), self.rows.shape[1]) or not len(owners):
                raise ValueError(f"{len(owners)} examples of shape {support.shape}")
            if (np.diff(owners) < 0).any() or owners[0] < 0 or owners[-1] >= k:
                raise ValueError("its examples are of no label")
            numbers += [support.ravel(), np.array([self.cache.alpha, self.cache.beta])]
        if not all(np.isfinite(part).all() for part in numbers) or self.score.scale <= 0:
            raise ValueError("a number in it is none")


def _halved(rows: NDArray[Any]) -> Rows:
    return np.asarray(rows).astype(np.float16).astype(np.float32)
