"""How long the review page's server takes for its answers, with many pictures.

python benchmarks/review.py [--pictures 100000] [--labels 100]
python benchmarks/review.py --learn [--pictures 20000]   # while proposals are made anew

No picture file and no network is there: the labelling is made of random scores and embeddings; to
learn from, of clusters whose labels the model takes for one another. What the answers teach is in
benchmarks/label.py --learn.
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
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import Label
from unseen.models.model import Score
from unseen.prediction.decision import Decision
from unseen.prediction.predict import label_probabilities
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


def learning(count: int, labels: int) -> None:
    """The longest of the page's answers while the others' proposals are made anew."""
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(labels, DIMENSION)).astype(np.float32)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    names = [f"label {i}" for i in range(labels)]
    truth = rng.integers(labels, size=count)
    rows = middles[truth] + rng.normal(size=(count, DIMENSION)).astype(np.float32) / DIMENSION**0.5
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    compiled = CompiledLabels(
        tuple(Label(name) for name in names),
        tuple((name,) for name in names),
        np.roll(middles, 1, axis=0),
        middles[:0],
        "made up",
        None,
        "0" * 32,
        stored_score=Score("softmax", 30.0),
    )
    _, scores, _ = label_probabilities(rows, compiled, Decision())
    proposals = (
        Proposal(
            hashlib.sha256(str(i).encode()).digest()[:16],
            (f"{i}",),
            640,
            480,
            rows[i],
            scores[i],
            "sure" if scores[i].max() >= 0.9 else "unsure",
        )
        for i in range(count)
    )
    with tempfile.TemporaryDirectory() as folder:
        with Labelling(folder, create=True) as labelling:
            manifest = {"asked": names, "options": {"sure": 0.9}}
            labelling.propose(manifest, names, proposals, compiled)
            for picture in labelling.queue(4 * labels):
                labelling.decide(picture.id, "label", names[truth[int(picture.paths[0])]])
        began = time.perf_counter()
        session = ReviewSession(Path(folder))
        assert session.retrainer is not None
        waits: dict[str, list[float]] = {"the next 16": [], "a decision": []}
        while session.labelling.retrained is None:
            start = time.perf_counter()
            picture = session.next(16, [])["pictures"][0]
            waits["the next 16"].append(time.perf_counter() - start)
            start = time.perf_counter()
            session.decide([(picture["id"], "skip", None, None)])
            waits["a decision"].append(time.perf_counter() - start)
            time.sleep(0.1)
        print(f"{session.status()['retrained']['text']}, in {time.perf_counter() - began:.0f} s")
        for what, seconds in waits.items():
            ms = 1000 * np.array(seconds)
            print(
                f"{what:24}{np.median(ms):8.0f} ms, of {len(ms)}: "
                f"95 % within {np.quantile(ms, 0.95):.0f}, the longest {ms.max():.0f}"
            )
        session.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--learn", action="store_true")
    given = parser.parse_args()
    if given.learn:
        learning(given.pictures, given.labels)
        return
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
