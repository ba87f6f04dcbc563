"""A label set encoded for one model: a matrix and its facts, in memory and in one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from unseen.cache import write_atomically
from unseen.encode import Encoder, Progress
from unseen.errors import LabelError
from unseen.labels import Label, LabelSet, fill
from unseen.models.model import Model

FORMAT = "unseen-labels-1"

# What a picture shows when none of the labels is meant; the mean of them is the neutral ground
# that multi-label mode of a softmax family sets each label against.
NEUTRAL = ("something", "a thing", "an object", "a scene", "a picture")

SUFFIX = ".safetensors"


@dataclass(frozen=True, eq=False)
class CompiledLabels:
    """`matrix` float32 (k, d): a row of length 1 a label; `neutral` (m, d): the neutral prompts.

    Tied to the model whose fingerprint it carries: any other refuses it.
    """

    labels: tuple[Label, ...]
    prompts: tuple[tuple[str, ...], ...]
    matrix: NDArray[np.float32]
    neutral: NDArray[np.float32]
    model: str
    revision: str | None
    fingerprint: str
    name: str = "labels"

    def check(self, model: Model) -> None:
        """LabelError unless it was compiled for exactly this model."""
        if self.fingerprint != model.fingerprint:
            raise LabelError(
                f"the label set {self.name!r} was compiled for {self.model} "
                f"({self.fingerprint[:12]}), and the model in use is {model.name} "
                f"({model.fingerprint[:12]}); compile it again: unseen labels compile … "
                f"-m {model.name}"
            )

    def save(self, path: str | Path) -> None:
        """One safetensors file, written whole or not at all."""
        path = Path(path)
        if path.suffix != SUFFIX:
            raise LabelError(f"{path}: a compiled label set is a {SUFFIX} file.")
        write_atomically(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """What `save` writes."""
        facts = {
            "labels": [
                {"name": la.name, "threshold": la.threshold, "background": la.background}
                for la in self.labels
            ],
            "prompts": self.prompts,
            "model": self.model,
            "revision": self.revision,
            "fingerprint": self.fingerprint,
            "name": self.name,
        }
        metadata = {"format": FORMAT, "facts": json.dumps(facts, ensure_ascii=False)}
        return save({"matrix": self.matrix, "neutral": self.neutral}, metadata)

    @classmethod
    def load(cls, path: str | Path) -> CompiledLabels:
        """LabelError when the file is missing, damaged, or something else."""
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            raise LabelError(f"{path}: there is no such compiled label set.") from None
        except OSError as error:
            raise LabelError(f"{path}: this compiled label set is damaged: {error}.") from None
        return cls.from_bytes(content, str(path))

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> CompiledLabels:
        """What `to_bytes` gave; `where` it was, for the LabelError of what is damaged."""
        try:
            arrays = load(content)
            # https://huggingface.co/docs/safetensors#format: the header's length, then the header.
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            metadata = header.get("__metadata__", {})
            if metadata.get("format") != FORMAT:
                raise LabelError(f"{where}: this is no compiled label set.")
            facts = json.loads(metadata["facts"])
            return cls._from_facts(facts, arrays["matrix"], arrays["neutral"])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise LabelError(f"{where}: this compiled label set is damaged: {error}.") from None

    @classmethod
    def _from_facts(
        cls, facts: dict[str, Any], matrix: NDArray[np.float32], neutral: NDArray[np.float32]
    ) -> CompiledLabels:
        prompts = tuple(tuple(p) for p in facts["prompts"])
        labels = tuple(
            Label(la["name"], own, la["threshold"], la["background"])
            for la, own in zip(facts["labels"], prompts, strict=True)
        )
        if matrix.shape[0] != len(labels) or matrix.ndim != 2:
            raise ValueError(f"{len(labels)} labels and a matrix of shape {matrix.shape}")
        return cls(
            labels,
            prompts,
            matrix,
            neutral,
            facts["model"],
            facts["revision"],
            facts["fingerprint"],
            facts["name"],
        )


def compile_labels(
    encoder: Encoder, label_set: LabelSet, *, progress: Progress | None = None
) -> CompiledLabels:
    """Encode every prompt once (or find it in the cache) and average them a label."""
    texts = texts_of(encoder.model, label_set)
    return assemble(encoder.model, label_set, encoder.encode_texts(texts, progress=progress))


def texts_of(model: Model, label_set: LabelSet) -> list[str]:
    """What has to be encoded for a label set: its prompts in order, then the neutral ones."""
    prompts = label_set.prompts(model.template)
    return [*(p for own in prompts for p in own), *(fill(model.template, w) for w in NEUTRAL)]


def assemble(model: Model, label_set: LabelSet, rows: NDArray[np.float32]) -> CompiledLabels:
    """The embeddings (n, d) of `texts_of` → the compiled set."""
    prompts = label_set.prompts(model.template)
    sizes = [len(own) for own in prompts]
    return CompiledLabels(
        label_set.labels,
        tuple(prompts),
        _averaged(rows[: sum(sizes)], sizes),
        rows[sum(sizes) :],
        model.name,
        model.revision,
        model.fingerprint,
        label_set.name,
    )


def _averaged(rows: NDArray[np.float32], sizes: Sequence[int]) -> NDArray[np.float32]:
    """Runs of `sizes` rows → their mean, normalised: (k, d)."""
    starts = np.cumsum([0, *sizes[:-1]])
    sums = np.add.reduceat(rows, starts, axis=0)
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), dtype=np.float32)
