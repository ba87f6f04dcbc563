"""How long the review page's server takes for its answers, with many pictures.

python benchmarks/review.py [--pictures 100000] [--labels 100]

No picture file and no network is there: the labelling is made of random scores and embeddings.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unseen.annotation.labelling import Labelling
from unseen.annotation.pictures import Proposal
from unseen.web.review.session import ReviewSession

DIMENSION = 512
DECIDED = 1000
TIMES = 7


def proposals(count: int, labels: int) -> Iterator[Proposal]:
    random = np.random.default_rng(0)
    for i in range(count):
        vector = random.normal(size=DIMENSION).astype(np.float32)
        scores = random.random(labels, dtype=np.float32) ** 8
        yield Proposal(
            hashlib.sha256(str(i).encode()).digest()[:16],
            (f"{i:07d}.jpg",),
            640,
            480,
            vector / np.linalg.norm(vector),
            scores / scores.sum(),
            "sure" if i % 3 else "unsure",
        )


def timed(what: str, work: Callable[[], Any], times: int = TIMES) -> None:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    print(f"{what:24}{1000 * statistics.median(seconds):8.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=100)
    given = parser.parse_args()
    names = [f"label {i}" for i in range(given.labels)]
    with tempfile.TemporaryDirectory() as folder:
        with Labelling(folder, create=True) as labelling:
            labelling.propose({"asked": names}, names, proposals(given.pictures, given.labels))
            for picture in labelling.queue(DECIDED):
                labelling.decide(picture.id, "none")
        session = ReviewSession(Path(folder))
        timed("the grid, at first", lambda: session.labels("sure"), 1)
        waiting = [picture["id"] for picture in session.next(100, [])["pictures"]]
        timed("the next 16", lambda: session.next(16, []))
        timed("a pile of 60", lambda: session.pile(names[0], "sure", 60))
        timed("status", session.status)
        timed("a decision", lambda: session.decide([(waiting.pop(), "none", None, None)]))
        sixty = iter(session.next(100, [])["pictures"][:60])
        timed(
            "60 at once", lambda: session.decide([(p["id"], "skip", None, None) for p in sixty]), 1
        )
        session.close()


if __name__ == "__main__":
    main()
