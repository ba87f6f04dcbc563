"""A labelling made by hand: pictures of noise, and what a model would have said of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unseen.annotation.labelling import Labelling
from unseen.annotation.pictures import Proposal


@dataclass
class HandLabel:
    """`path` below the folder; `like`: the number of a picture whose vector is nearly the same."""

    path: str
    label: str
    pile: str = "sure"
    like: int | None = None
    copies: Sequence[str] = ()


@lru_cache
def _vectors() -> Any:
    """Vectors at right angles."""
    rows = np.random.default_rng(1).standard_normal((128, 128))
    return np.linalg.qr(rows)[0].astype(np.float32)


def label_by_hand(folder: Path, pictures: Sequence[HandLabel], names: Sequence[str]) -> Labelling:
    rng = np.random.default_rng(0)
    vectors = _vectors()
    proposals = []
    for number, picture in enumerate(pictures):
        path = folder / picture.path
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 255, (6 + number % 3, 9, 3), dtype=np.uint8)
        with path.open("wb") as file:
            Image.fromarray(noise).save(file, "PNG")
        for copy in picture.copies:
            (folder / copy).write_bytes(path.read_bytes())
        vector = vectors[number]
        if picture.like is not None:
            vector = vectors[picture.like] + 0.1 * vector
            vector /= np.linalg.norm(vector)
        scores = np.full(len(names), 0.1 / len(names), dtype=np.float32)
        scores[list(names).index(picture.label)] = 0.9
        is_broken = picture.pile == "error"
        proposals.append(
            Proposal(
                hashlib.sha256(path.read_bytes()).digest()[:16],
                tuple(sorted([picture.path, *picture.copies])),
                None if is_broken else 9,
                None if is_broken else 6 + number % 3,
                None if is_broken else vector,
                None if is_broken else scores,
                picture.pile,
                "it is not a picture" if is_broken else None,
            )
        )
    labelling = Labelling(folder, create=True)
    labelling.propose({"asked": list(names), "model": "by hand", "options": {}}, names, proposals)
    return labelling


def odd(name: bytes) -> str:
    """A file name that is not UTF-8, as Python holds it."""
    return os.fsdecode(name)
