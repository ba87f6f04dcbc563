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
from unseen.labels.compiled import Adapted, CompiledLabels
from unseen.labels.example_cache import Cache
from unseen.models.model import Model, Score
from unseen.system.safetensors_file import Kind

KIND = Kind("unseen-adapter-1", "adapter", "; unseen adapt makes one")
ZERO_SHOT = "zero-shot"

Rows = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Adapter:
    """Tied to the model whose fingerprint it carries: any other refuses it.

    `rows` (k, d): one a label, of any length; (0, d) for zero-shot. `text_mean` (d,): the mean of
    the vectors of these labels' texts. The rows of other labels' texts lie around it, `text_scale`
    times as far away as they did: the scale of `score` is made for `rows`, which may be much
    longer. In a file these two are called `level` and `contrast`. `facts`: what `unseen.adapt`
    measured, plain data for JSON. The numbers are those that half precision can
    hold, in memory too, so that a file says the same as what was saved.
    """

    labels: tuple[str, ...]
    rows: Rows
    score: Score
    method: str
    model: str
    revision: str | None
    fingerprint: str
    text_mean: Rows
    text_scale: float = 1.0
    cache: Cache | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", _halved(self.rows))
        object.__setattr__(self, "text_mean", _halved(self.text_mean))
        if self.cache is not None:
            cache = replace(self.cache, support=_halved(self.cache.support))
            object.__setattr__(self, "cache", cache)

    def __repr__(self) -> str:
        return f"Adapter({self.method!r}, {len(self.labels)} labels, {self.model!r})"

    @cached_property
    def id(self) -> str:
        """Of its content: the date and the figures do not count."""
        digest = hashlib.sha256(
            json.dumps([self.labels, asdict(self.score), self.text_scale]).encode()
        )
        for array in self._arrays().values():
            digest.update(array.tobytes())
        if self.cache is not None:
            digest.update(json.dumps([*self.cache.facts().values()]).encode())
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
        index = {name: i for i, name in enumerate(self.labels)} if len(self.rows) else {}
        row_of = np.array([index.get(label.name, -1) for label in compiled.labels])
        if compiled.adapted is not None or row_of.max() < 0:
            return compiled
        label_ids = np.flatnonzero(row_of >= 0)
        rows = row_of[label_ids]
        matrix = self._text(compiled.matrix)
        matrix[label_ids] = self.rows[rows]
        origin = (f"pictures, in the adapter {self.id}",)
        prompts = tuple(
            texts if row < 0 else origin
            for row, texts in zip(row_of, compiled.prompts, strict=True)
        )
        return replace(
            compiled,
            matrix=matrix,
            neutral=self._text(compiled.neutral),
            prompts=prompts,
            adapted=Adapted(self.id, self._cache_of(compiled, label_ids, rows)),
            stored_score=self.score,
        )

    def _text(self, rows: Rows) -> Rows:
        """The rows of texts, as they compete with the adapter's own."""
        moved = self.text_mean + np.float32(self.text_scale) * (rows - self.text_mean)
        return np.asarray(moved, dtype=np.float32)

    def _cache_of(
        self, compiled: CompiledLabels, label_ids: NDArray[Any], rows: NDArray[Any]
    ) -> Cache | None:
        """The examples, with the ids that their labels have in a set, or behind its end."""
        if self.cache is None:
            return None
        id_of = len(compiled.labels) + np.arange(len(self.labels))
        id_of[rows] = label_ids
        ids = id_of[self.cache.label_ids]
        order = np.argsort(ids, kind="stable")
        ascending = np.asarray(ids[order], dtype=np.int32)
        return replace(self.cache, support=self.cache.support[order], label_ids=ascending)

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
            "contrast": self.text_scale,
            "facts": self.facts,
        }
        if self.cache is not None:
            facts["cache"] = self.cache.facts()
        return KIND.to_bytes(self._arrays(), facts)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {
            "rows": self.rows.astype(np.float16),
            "level": self.text_mean.astype(np.float16),
        }
        if self.cache is not None:
            arrays |= self.cache.arrays()
            arrays["support"] = self.cache.support.astype(np.float16)
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
            Cache.from_file(facts["cache"], arrays) if "cache" in facts else None,
            facts["facts"],
        )
        made._check_shapes()
        return made

    def _check_shapes(self) -> None:
        """ValueError where parts do not fit together."""
        k = len(self.labels)
        if self.rows.ndim != 2 or len(self.rows) not in (0, k) or len(set(self.labels)) != k:
            raise ValueError(f"{k} labels and rows of shape {self.rows.shape}")
        if self.text_mean.shape != self.rows.shape[1:]:
            raise ValueError(
                f"rows of shape {self.rows.shape} and a level of {self.text_mean.shape}"
            )
        scalars = np.array([self.score.scale, self.score.bias, self.text_scale])
        numbers = [self.rows.ravel(), self.text_mean, scalars]
        if self.cache is not None:
            support, label_ids = self.cache.support, self.cache.label_ids
            if support.shape != (len(label_ids), self.rows.shape[1]) or not len(label_ids):
                raise ValueError(f"{len(label_ids)} examples of shape {support.shape}")
            if (np.diff(label_ids) < 0).any() or label_ids[0] < 0 or label_ids[-1] >= k:
                raise ValueError("its examples are of no label")
            numbers += [support.ravel(), np.array([self.cache.alpha, self.cache.beta])]
        if not all(np.isfinite(part).all() for part in numbers) or self.score.scale <= 0:
            raise ValueError("a number in it is none")


def _halved(rows: NDArray[Any]) -> Rows:
    return np.asarray(rows).astype(np.float16).astype(np.float32)
