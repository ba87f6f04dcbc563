"""Actors of Ray: the rows of a local run, where ray is installed; else a sentence."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

import unseen
from planning import LABELS
from unseen.jobs.merged import merged
from unseen.jobs.plan import plan
from unseen.jobs.running.on_ray import RayWorker, run_on_ray
from unseen.jobs.running.runner import work
from unseen.jobs.running.session import Session
from unseen.jobs.verify import verify


def test_an_actor_does_what_is_left(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    job = plan(classifier, pictures, tmp_path / "job", LABELS, shard_pictures=4)
    actor = RayWorker(str(tmp_path / "job"), {"device": "cpu", "threads": 1}, None)
    assert actor.work() == 14 and actor.work() == 0
    assert verify(job).ok


@pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed")
def test_ray_is_an_extra(classifier: unseen.Classifier, pictures: Path, tmp_path: Path) -> None:
    job = plan(classifier, pictures, tmp_path / "job", LABELS)
    with pytest.raises(unseen.MissingExtraError, match=r"unseen\[ray\]"):
        run_on_ray(job)


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.filterwarnings("ignore")
def test_rows_are_those_of_a_local_run(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    jobs = [
        plan(classifier, pictures, tmp_path / name, LABELS, embed=True, shard_pictures=4)
        for name in ("a", "b")
    ]
    work(jobs[0], Session.load(jobs[0], {"device": "cpu", "threads": 1}))
    assert run_on_ray(jobs[1], workers=2, overrides={"device": "cpu"}).complete
    assert verify(jobs[1]).ok
    assert [t for _, t in merged(jobs[0])] == [t for _, t in merged(jobs[1])]
