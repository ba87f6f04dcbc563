"""Labellings made without a model, and their review page served in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from PIL import Image

from unseen.annotation.labelling import Labelling
from unseen.annotation.pictures import Proposal
from unseen.web.review.process import ReviewServer
from unseen.web.review.session import ReviewSession

LABELS = ("heron", "crane", "stork")
OWN = {"X-Unseen-Review": "1"}


@dataclass
class Birds:
    """A folder with a labelling: what each picture is, by its file's name."""

    folder: Path
    ids: dict[str, str] = field(default_factory=dict)

    def open(self) -> Labelling:
        return Labelling.open(self.folder)

    def said(self) -> dict[str, tuple[str, str | None]]:
        """What was decided, by name, as another process reads it."""
        with self.open() as labelling:
            return {p.paths[0]: (p.verdict, p.chosen) for p in labelling.pictures() if p.verdict}

    def decisions(self) -> int:
        """Rows that were ever written and not taken back."""
        with self.open() as labelling:
            count = 0
            while labelling.undo() is not None:
                count += 1
        return count


def scores_of(label: str, score: float, labels: Sequence[str]) -> np.ndarray:
    rest = (1 - score) / (len(labels) - 1)
    return np.array([score if name == label else rest for name in labels], dtype=np.float32)


def flock(
    folder: Path,
    pictures: Sequence[tuple[str, str, str, float]],
    labels: Sequence[str] = LABELS,
    size: tuple[int, int] = (64, 48),
) -> Birds:
    """Pictures (name, pile, label, score) of plain colours, each unlike the others."""
    folder.mkdir(exist_ok=True)
    birds = Birds(folder)
    proposals = []
    for number, (name, pile, label, score) in enumerate(pictures):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        colour = (number * 47 % 256, number * 91 % 256, number * 151 % 256)
        Image.new("RGB", size, colour).save(file, "PNG")
        content = hashlib.sha256(file.read_bytes()).digest()[:16]
        birds.ids[name] = content.hex()
        vector = np.random.default_rng(number).normal(size=8).astype(np.float32)
        vector /= np.linalg.norm(vector)
        scores = scores_of(label, score, labels)
        proposals.append(Proposal(content, (name,), *size, vector, scores, pile))
    with Labelling(folder, create=True) as labelling:
        labelling.propose({"asked": list(labels), "model": "none"}, labels, proposals)
    return birds


def doubtful(count: int) -> list[tuple[str, str, str, float]]:
    return [(f"bird{i:02d}.png", "unsure", LABELS[i % 3], 0.5) for i in range(count)]


class Served:
    """A page in a thread of this process."""

    def __init__(self, session: ReviewSession, port: int = 0) -> None:
        self.session = session
        page = ReviewServer(session, port)
        self.address = page.address
        self.url, self.token = page.address.split("/?token=")
        self.port = int(self.url.rpartition(":")[2])
        self._server = uvicorn.Server(page.config)
        self._runner = threading.Thread(
            target=lambda: asyncio.run(self._server.serve(sockets=[page.listener]))
        )
        self._runner.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._runner.join(30)
        assert not self._runner.is_alive()
        self.session.close()

    @contextlib.contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """Somebody who has opened the address."""
        with httpx.Client(base_url=self.url, timeout=30, headers=OWN) as client:
            assert client.get(f"/?token={self.token}").status_code == 200
            yield client


Serve = Callable[..., Served]
