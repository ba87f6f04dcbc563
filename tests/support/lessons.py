"""Labellings from which something can be learnt: clusters of vectors, and texts that mislead."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from unseen.annotation.labelling import Labelling
from unseen.annotation.pictures import Proposal, pile_of
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import Label
from unseen.models.model import Score
from unseen.prediction.decision import Decision
from unseen.prediction.predict import label_probabilities

NAMES = ("heron", "crane", "stork")
DIMENSION = 64


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def vectors(truth: Sequence[str], spread: float = 0.5, seed: int = 0) -> np.ndarray:
    """A picture of each label near the middle of that label; of `alone`, like nothing else."""
    rng = np.random.default_rng(seed)
    middles = {name: unit(rng.normal(size=DIMENSION)) for name in sorted({*truth, *NAMES})}
    noise = spread * unit(rng.normal(size=(len(truth), DIMENSION)))
    rows = [
        noise[i] if name == "alone" else middles[name] + noise[i] for i, name in enumerate(truth)
    ]
    return unit(np.array(rows))


def label_set(texts: np.ndarray, names: Sequence[str] = NAMES) -> CompiledLabels:
    """As a model would have encoded it."""
    labels = tuple(Label(name) for name in names)
    neutral = unit(texts.mean(0, keepdims=True) + 0.1)
    prompts = tuple((name,) for name in names)
    score = Score("softmax", scale=20.0)
    return CompiledLabels(
        labels, prompts, texts, neutral, "birds", None, "f" * 32, stored_score=score
    )


def content(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()[:16]


def drawn(folder: Path, number: int) -> bytes:
    """A picture of one colour, like no other → its content."""
    file = folder / f"{number}.png"
    Image.new("RGB", (48, 32), (number * 47 % 256, number * 91 % 256, number)).save(file)
    return hashlib.sha256(file.read_bytes()).digest()[:16]


def misled(truth: Sequence[str]) -> np.ndarray:
    """Texts of the labels that stand near the pictures of the next one."""
    middles = [vectors(truth)[[n == name for n in truth]].mean(0) for name in NAMES]
    return unit(np.array([middles[1], middles[2], middles[0]]))


def labelling(
    folder: Path,
    pictures: np.ndarray,
    labels: CompiledLabels,
    *,
    sure: float = 0.9,
    seen: frozenset[int] = frozenset(),
    options: dict[str, object] | None = None,
    files: bool = False,
) -> Labelling:
    """What the labels propose for pictures `0.png` and so on; `files`: which are there."""
    names, probabilities, _ = label_probabilities(pictures, labels, Decision())
    proposals = [
        Proposal(
            drawn(folder, i) if files else content(i),
            (f"{i}.png",),
            48,
            32,
            pictures[i],
            row,
            pile_of(names[int(row.argmax())], float(row.max()), None, sure),
            seen=i in seen,
        )
        for i, row in enumerate(probabilities)
    ]
    made = Labelling(folder, create=True)
    manifest = {
        "asked": names,
        "model": "birds",
        "fingerprint": "f" * 32,
        "options": {"sure": sure, **(options or {})},
    }
    made.propose(manifest, names, proposals, labels)
    return made
