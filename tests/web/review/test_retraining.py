"""The review page while proposals are made anew with what was decided."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import browsers
import lessons
from reviewing import Birds, Serve, Served
from unseen.web.review.session import ReviewSession

TRUTH = [lessons.NAMES[i % 3] for i in range(60)]
PATIENCE = 120  # seconds, on a busy machine


@pytest.fixture
def birds(tmp_path: Path) -> Birds:
    folder = tmp_path / "birds"
    folder.mkdir()
    labels = lessons.label_set(lessons.misled(TRUTH))
    lessons.labelling(folder, lessons.vectors(TRUTH), labels, files=True).close()
    return Birds(folder)


def truth(picture: dict[str, Any]) -> str:
    return TRUTH[int(picture["name"].removesuffix(".png"))]


def answer(client: httpx.Client, count: int) -> dict[str, Any]:
    """Decides the next pictures rightly → the status."""
    pictures = client.get("/api/next", params={"count": count}).json()["pictures"]
    decisions = [
        {"id": p["id"], "verdict": "label", "label": truth(p), "before": None} for p in pictures
    ]
    status: dict[str, Any] = client.post("/api/decide", json={"decisions": decisions}).json()
    return dict(status["status"])


def learnt(client: httpx.Client, answers: int) -> dict[str, Any]:
    """The status, once so many answers were learnt from."""
    for _ in range(PATIENCE * 10):
        status = client.get("/api/status").json()
        if status["retrained"] and status["retrained"]["answers"] >= answers:
            return dict(status)
        time.sleep(0.1)
    raise AssertionError(status)


def test_proposals_follow_the_answers(served: Served, client: httpx.Client) -> None:
    before = client.get("/api/labels?pile=sure").json()["labels"]
    assert answer(client, 19)["retrained"] is None
    answer(client, 1)
    status = learnt(client, 20)
    assert status["retrained"]["text"].startswith("proposals made anew with 20 answers: 60 → ")
    pictures = client.get("/api/next", params={"count": 40}).json()["pictures"]
    assert sum(p["ranking"][0]["label"] == truth(p) for p in pictures) >= 36
    after = client.get("/api/labels?pile=sure").json()["labels"]
    assert sum(row["open"] for row in after) != sum(row["open"] for row in before)
    # The next time is after as many more.
    assert answer(client, 10)["retrained"]["answers"] == 20
    answer(client, 10)
    assert learnt(client, 40)["retrained"]["answers"] == 40
    assert any("made anew with 40 answers" in line for line in served.session.summary(0))


def test_it_learns_at_once_from_what_was_decided_before(birds: Birds, serve: Serve) -> None:
    with birds.open() as labelling:
        for picture in labelling.queue(25):
            labelling.decide(picture.id, "label", TRUTH[int(picture.paths[0].split(".")[0])])
    with serve(birds).client() as client:
        assert learnt(client, 25)["retrained"]["helps"]


def test_it_can_be_left_out(birds: Birds) -> None:
    session = ReviewSession(birds.folder, retrain=False)
    pictures = session.next(30, [])["pictures"]
    session.decide([(p["id"], "label", truth(p), None) for p in pictures])
    assert session.retrainer is None and session.status()["retrained"] is None
    session.close()
    learning = ReviewSession(birds.folder)
    learning.close()  # ends what was begun
    assert learning.retrainer is not None


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browsers.chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def test_the_page_says_it_and_asks_anew(driver: Any, served: Served, client: httpx.Client) -> None:
    page = browsers.Browser(driver)
    page.open(served.address)
    page.until(lambda: page.shown("#shown"))
    answer(client, 20)
    learnt(client, 20)
    page.keys("s")
    page.until(lambda: "Proposals made anew with 20 answers" in page.one("#trust").text)
    page.until(lambda: page.shown("#shown"))
    page.keys("s")
    page.until(lambda: page.shown("#bars .word"))
    name = str(page.one("#file").text)
    assert page.shown("#bars .word")[0] == TRUTH[int(name.removesuffix(".png"))]
