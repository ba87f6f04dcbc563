"""Plans: every picture once, the same shards for the same pictures, nothing that needs memory."""

from __future__ import annotations

import csv
import gzip
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import unseen
from planning import LABELS
from unseen.jobs.job import Job
from unseen.jobs.key_set import KeySet
from unseen.jobs.plan import plan
from unseen.jobs.running.session import Session
from unseen.jobs.shard import Shard, unpacked
from unseen.sources.expand import expand


def keys(job: Job) -> list[str]:
    return [entry.key for shard in job.shards for entry in job.entries(shard)]


def test_the_same_pictures_give_the_same_shards(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    jobs = [
        plan(classifier, pictures, tmp_path / name, LABELS, shard_pictures=4) for name in ("a", "b")
    ]
    assert [shard.count for shard in jobs[0].shards] == [4, 4, 4, 2]
    assert jobs[0].shards == jobs[1].shards
    assert keys(jobs[0]) == [source.name for source in expand(pictures)]
    again = Job.open(tmp_path / "a")
    assert again.shards == jobs[0].shards and again.pictures == 14
    assert again.entries(again.shards[3])[1].size == (pictures / "13.png").stat().st_size
    assert len({shard.id for shard in again.shards}) == 4


@pytest.mark.parametrize("change", ["labels", "options", "pictures"])
def test_whatever_changes_an_answer_changes_the_shards(
    change: str, classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in pictures.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    before = plan(classifier, folder, tmp_path / "a", LABELS)
    if change == "pictures":
        (folder / "03.png").write_bytes((folder / "03.png").read_bytes() + b"\0")
    after = plan(
        classifier,
        folder,
        tmp_path / "b",
        LABELS[:2] if change == "labels" else LABELS,
        top_k=1 if change == "options" else 5,
    )
    assert {shard.id for shard in before.shards}.isdisjoint({shard.id for shard in after.shards})


def test_every_kind_of_source(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    good = [pictures / "00.png", pictures / "01.png", pictures / "02.png"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in good:
            archive.write(path, path.name)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for path in good:
            tar.add(path, path.name)
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "camera"], *([path, "north"] for path in good)])
    table = pa.table({"image": [path.read_bytes() for path in good], "n": [1, 2, 3]})
    parquet.write_table(table, tmp_path / "a.parquet")
    sources = [tmp_path / f"a.{kind}" for kind in ("zip", "tar", "csv", "parquet")]
    job = plan(classifier, sources, tmp_path / "job", LABELS, shard_pictures=2)
    assert job.pictures == 12 and len(set(keys(job))) == 12
    containers = [shard.container for shard in job.shards]
    assert containers == [
        str(path) if path.suffix != ".csv" else None for path in sources for _ in range(2)
    ]
    assert job.entries(job.shards[4])[0].meta == {"row": 1, "camera": "north"}
    assert [shard.place for shard in job.shards[:2]] == [0, 2]


def test_a_picture_that_is_given_twice_has_two_keys(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    path = str(pictures / "00.png")
    job = plan(classifier, [pictures, path, path], tmp_path / "job", LABELS, shard_pictures=5)
    assert keys(job)[-2:] == [f"{path}#entry=14", f"{path}#entry=15"]
    assert {entry.address for entry in job.entries(job.shards[-1])[-2:]} == {path}


def test_keys_that_came_before_are_known() -> None:
    """As a set of Python knows them."""
    rng = np.random.default_rng(0)
    seen, keys = set(), KeySet()
    for _ in range(60):
        batch = [f"k{n}" for n in rng.integers(0, 900, rng.integers(1, 40))]
        expected = []
        for i, key in enumerate(batch):
            if key in seen:
                expected.append(i)
            seen.add(key)
        assert keys.add(batch) == expected


def test_what_cannot_be_planned(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    job = tmp_path / "job"
    with pytest.raises(unseen.SourceError, match="no pictures"):
        plan(classifier, tmp_path / "empty", job, LABELS)
    with pytest.raises(unseen.SourceError, match="which other processes can open"):
        plan(classifier, [b"..."], job, LABELS)  # type: ignore[list-item]
    with pytest.raises(unseen.LabelError, match="no labels were given"):
        plan(classifier, pictures, job)
    plan(classifier, pictures, job, embed=True)  # what was left by those does not matter
    with pytest.raises(unseen.StoreError, match="there is a job already"):
        plan(classifier, pictures, job, LABELS)


def test_a_plan_that_was_changed_is_an_error(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    job = plan(classifier, pictures, tmp_path / "job", LABELS)
    with pytest.raises(unseen.StoreError, match="there is no job here"):
        Job.open(tmp_path)
    shards = tmp_path / "job" / job.generations[0].shards
    shards.write_text(shards.read_text().replace('"count":14', '"count":13'))
    with pytest.raises(unseen.StoreError, match="is damaged"):
        _ = Job.open(tmp_path / "job").shards
    facts = tmp_path / "job" / "job.json"
    facts.write_text(facts.read_text().replace('"top": 5', '"top": 4'))
    with pytest.raises(unseen.StoreError, match="was changed"):
        Job.open(tmp_path / "job")


def test_the_plan_of_a_stranger(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    """Its files lie where plans lie, and its lines do not grow beyond all measure."""
    job = plan(classifier, pictures, tmp_path / "job", LABELS, shard_pictures=5)
    shard, facts = job.shards[0], tmp_path / "job" / "job.json"
    whole = json.loads(facts.read_text())
    with pytest.raises(unseen.StoreError, match="damaged"):
        unpacked(shard, gzip.compress(bytes(200_000_000)))
    for name in ("/dev/zero", "plan/../../secret", "../job.json"):
        facts.write_text(json.dumps({**whole, "plan": {**whole["plan"], "entries": name}}))
        with pytest.raises(unseen.StoreError, match="plan is missing or damaged"):
            Job.open(tmp_path / "job")
    for broken in ("[" * 100_000, '{"format": "unseen-job-1"}', json.dumps({**whole, "plan": 3})):
        facts.write_text(broken)
        with pytest.raises(unseen.StoreError, match="damaged"):
            Job.open(tmp_path / "job")
    for line in (shard.to_line().replace(shard.id, "../../../../tmp"), '{"id": 3}', "[]"):
        with pytest.raises((ValueError, TypeError)):
            Shard.from_line(line)


def test_labels_that_are_probably_not_meant_are_warned_of_once(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    """By whoever plans, and not by each of a thousand workers."""
    with pytest.warns(unseen.UnseenWarning, match="is the only label"):
        job = plan(classifier, pictures, tmp_path / "job", LABELS[:1])
    Session.load(job, {"device": "cpu", "threads": 1})
