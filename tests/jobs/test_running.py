"""Runners: rows as classify and embed give them, once each, whoever is killed or comes late."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import unseen
from planning import BROKEN, LABELS
from unseen.jobs.job import Job, part_name
from unseen.jobs.merged import merged
from unseen.jobs.plan import plan
from unseen.jobs.retry import retry
from unseen.jobs.running.lease import Lease, Leases, Runner, started
from unseen.jobs.running.runner import Work, part_of, run_shard, work
from unseen.jobs.running.session import Session
from unseen.jobs.running.status import StatusReader, duration
from unseen.jobs.running.worker import main
from unseen.jobs.running.workers import CODE, run_workers
from unseen.jobs.verify import verify


def table(job: Job) -> pa.Table:
    return pa.concat_tables([rows for _, rows in merged(job)])


def done(job: Job, classifier: unseen.Classifier) -> pa.Table:
    work(job, Session.load(job, {"device": "cpu", "threads": 1}))
    assert verify(job).ok, str(verify(job))
    return table(job)


def test_rows_are_those_of_classify_and_embed(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    job = plan(classifier, pictures, tmp_path / "job", LABELS, embed=True, shard_pictures=4)
    rows = done(job, classifier)
    predictions = list(classifier.classify_many(pictures, LABELS, top_k=5, calibration=None))
    assert rows.column("key").to_pylist() == [p.source for p in predictions]
    assert rows.column("label").to_pylist() == [p.label for p in predictions]
    for row, prediction in zip(rows.to_pylist(), predictions, strict=True):
        if prediction.ok:
            expected = [(s.label, s.score, s.cosine) for s in prediction.ranking]
            actual = [(s["label"], s["score"], s["cosine"]) for s in row["labels"]]
            assert [a[0] for a in actual] == [e[0] for e in expected]
            np.testing.assert_allclose(
                [a[1:] for a in actual], [e[1:] for e in expected], atol=1e-5
            )
            assert (row["width"], row["height"]) == (64, 64) and len(row["sha256"]) == 64
        else:
            assert row["error_class"] == "ImageError" and Path(row["key"]).name in BROKEN
            assert row["key"] in row["error"] and row["label"] is None and row["labels"] is None
            assert row["embedding"] is None
    encoded = list(classifier.encoder.stream_images(pictures))
    for row, one in zip(rows.to_pylist(), encoded, strict=True):
        if one.embedding is not None:
            numbers = np.array(row["embedding"], dtype=np.float32)
            assert float(numbers @ one.embedding) > 0.9999


def test_members_carry_what_their_containers_say(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    names = ["00.png", "01.png", "02.png"]
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in names:
            (tmp_path / "a.cls").write_text("7")
            tar.add(pictures / name, name)
            tar.add(tmp_path / "a.cls", f"{name[:2]}.cls")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.write(pictures / name, f"in/{name}")
    content = [(pictures / name).read_bytes() for name in names]
    parquet.write_table(pa.table({"jpg": content, "n": [1, 2, 3]}), tmp_path / "a.parquet")
    sources = [tmp_path / "a.tar", tmp_path / "a.zip", tmp_path / "a.parquet"]
    job = plan(classifier, sources, tmp_path / "job", LABELS, shard_pictures=2)
    rows = done(job, classifier).to_pylist()
    assert [row["key"].rpartition("!/")[2].rpartition("/")[2] for row in rows[:6]] == names * 2
    assert json.loads(rows[0]["metadata"]) == {"cls": 7, "member": "00.png"}
    assert json.loads(rows[5]["metadata"]) == {"member": "in/02.png"}
    assert json.loads(rows[8]["metadata"]) == {"row": 3, "n": 3}
    assert [row["sha256"] for row in rows[:3]] == [row["sha256"] for row in rows[6:]]
    labels = [row["label"] for row in rows]
    assert labels[:3] == labels[3:6] == labels[6:] and None not in labels


def test_a_container_that_has_changed_gives_no_wrong_row(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(pictures / "00.png", "x.png")
        archive.write(pictures / "01.png", "y.png")
    job = plan(classifier, path, tmp_path / "job", LABELS)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"x.png", b"z.png"))  # of the same size
    rows = done(job, classifier).to_pylist()
    assert rows[0]["error_class"] == "SourceError" and "has changed" in rows[0]["error"]
    assert rows[1]["error"] is None
    path.unlink()
    again = retry(job)
    assert again.pictures == 1 and again.errors == {"SourceError": 1}
    job = Job.open(tmp_path / "job")
    assert "no such file" in done(job, classifier).to_pylist()[0]["error"]


def test_what_is_repaired_is_healed_and_nothing_else(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in pictures.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    job = plan(classifier, folder, tmp_path / "job", LABELS, shard_pictures=4)
    (folder / "07.png").write_bytes(b"changed")
    before = done(job, classifier).to_pylist()
    failed = [Path(row["key"]).name for row in before if row["error"]]
    assert failed == ["04.png", "07.png", "09.png"]
    assert before[7]["error_class"] == "ChangedError"
    for name, other in (("04.png", "00.png"), ("07.png", "01.png")):  # made whole
        (folder / name).write_bytes((folder / other).read_bytes())
    plans = retry(job, shard_pictures=2)
    assert (plans.pictures, plans.shards) == (3, 2)
    assert plans.errors == {"ImageError": 2, "ChangedError": 1}
    job = Job.open(tmp_path / "job")
    with pytest.raises(unseen.SourceError, match="an earlier retry is not done"):
        retry(job)
    after = done(job, classifier).to_pylist()
    assert [row["key"] for row in after] == [row["key"] for row in before]
    assert [i for i, row in enumerate(after) if row["error"]] == [9]
    assert after[4]["label"] == before[0]["label"] and after[7]["label"] == before[1]["label"]
    untouched = [i for i in range(14) if i not in (4, 7, 9)]
    assert [after[i] for i in untouched] == [before[i] for i in untouched]
    status = StatusReader(job).read()
    assert status.errors == {"ImageError": 1} and status.done == 14 and status.complete
    assert retry(job, classes=["SourceError"]).pictures == 0
    (folder / "09.png").write_bytes((folder / "00.png").read_bytes())
    assert retry(job, classes=["ImageError"]).pictures == 1
    last = done(Job.open(tmp_path / "job"), classifier).to_pylist()
    assert [row["error"] for row in last] == [None] * 14


def test_runners_race_and_nothing_is_lost_or_twice(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    """Leases are broken on purpose: every runner takes every shard."""
    job = plan(classifier, pictures, tmp_path / "job", LABELS, shard_pictures=2)
    session = Session.load(job, {"device": "cpu", "threads": 1})
    results = []

    def run() -> None:
        runner = replace(Runner.here(), host="elsewhere")
        results.append(work(Job.open(tmp_path / "job"), session, runner=runner, lease_seconds=0))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result.pictures for result in results) == 14
    assert sum(result.shards for result in results) == 7
    assert verify(job).ok
    assert len([*(tmp_path / "job" / "parts").iterdir()]) == 7
    assert [*(tmp_path / "job" / "drafts").iterdir()] == []
    assert [*(tmp_path / "job" / "leases").iterdir()] == []


def test_parts_of_n_are_all_and_none_twice(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    job = plan(classifier, pictures, tmp_path / "job", LABELS, shard_pictures=2)
    session = Session.load(job, {"device": "cpu", "threads": 1})
    assert work(job, session, part=(2, 3)).shards == 2
    status = StatusReader(job).read()
    assert (status.shards_done, status.shards, status.complete) == (2, 7, False)
    assert [work(job, session, part=(i, 3)).shards for i in range(3)] == [3, 2, 0]
    assert verify(job).ok
    for wrong in ((3, 3), (-1, 3), (0, 0)):
        with pytest.raises(unseen.SourceError, match="parts are"):
            part_of(job.shards, wrong)


def test_a_lease_is_taken_from_the_dead_only(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    job = plan(classifier, pictures, tmp_path / "job", LABELS)
    (shard,) = job.shards
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    here = Runner.here()
    other = replace(here, pid=process.pid, started=started(process.pid), token="1")
    assert other.is_alive() and here.is_alive()
    assert replace(here, started="1").is_alive() is False  # the number was given again
    assert Leases(job.store, other).take(shard)
    mine = Leases(job.store, here, seconds=3600)
    assert not mine.take(shard)
    process.kill()
    process.wait()
    assert other.is_alive() is False
    assert mine.take(shard)
    assert not Leases(job.store, replace(here, token="2"), seconds=3600).take(shard)
    mine.release(shard)
    assert Leases(job.store, replace(here, token="2")).take(shard)


def test_a_lease_of_another_machine_is_taken_when_it_stands_still(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    """By the clock of whoever waits: what the other's clock says is nowhere."""
    job = plan(classifier, pictures, tmp_path / "job", LABELS)
    (shard,) = job.shards
    far = replace(Runner.here(), host="elsewhere", token="1")
    assert far.is_alive() is None
    theirs, mine = Leases(job.store, far), Leases(job.store, Runner.here(), seconds=0.0)
    assert theirs.take(shard)
    lease = Lease(far)
    for _ in range(4):  # it lives: between two looks it was renewed
        assert not mine.take(shard)
        lease = theirs.renew(shard, lease)
    patient = Leases(job.store, replace(Runner.here(), token="2"), seconds=3600)
    assert not patient.take(shard) and not patient.take(shard), "it stands still, but not for long"
    assert not mine.take(shard)
    assert mine.take(shard), "it stood still since the last look"
    theirs.renew(shard, lease)  # it was only slow, and takes nothing back
    held = Lease.from_bytes((tmp_path / "job" / "leases" / f"{shard.id}.json").read_bytes())
    assert held is not None and held.runner == mine.runner
    theirs.release(shard)
    assert (tmp_path / "job" / "leases" / f"{shard.id}.json").exists()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_killed_worker_loses_its_shard_alone(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    job = plan(classifier, pictures, tmp_path / "job", LABELS, shard_pictures=1)
    call = {
        "job": str(tmp_path / "job"),
        "part": None,
        "overrides": {"device": "cpu", "threads": 1},
        "batch_size": 1,
        "lease_seconds": None,
    }
    command = [sys.executable, "-c", CODE, json.dumps(call)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 300
        while len(job.parts()) < 3 and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    parts = tmp_path / "job" / "parts"
    before = {name: (parts / f"{name}.parquet").stat() for name in job.parts()}
    assert len(before) >= 3
    status = run_workers(job, workers=2, overrides={"device": "cpu"})
    assert status.complete and status.done == 14 and status.errors == {"ImageError": 2}
    assert verify(job).ok
    for name, stat in before.items():  # not touched again
        path = parts / f"{name}.parquet"
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    assert callable(main)


def test_errors_of_workers_are_ours(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    job = plan(classifier, pictures, tmp_path / "job", LABELS)
    with pytest.raises(unseen.ModelError, match="is another model here"):
        run_workers(job, overrides={"model": "builtin", "device": "cpu"})
    (tmp_path / "job" / "labels.safetensors").write_bytes(b"")
    with pytest.raises(unseen.StoreError, match=r"labels\.safetensors is damaged"):
        run_workers(job, overrides={"device": "cpu"})
    assert job.parts() == set() and not [*(tmp_path / "job" / "drafts").iterdir()]


FULL = """
import resource, signal, sys
import unseen
from unseen.jobs.job import Job
from unseen.jobs.running.runner import work
from unseen.jobs.running.session import Session
job = Job.open(sys.argv[1])
session = Session.load(job, {"device": "cpu", "threads": 1})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    work(job, session)
except unseen.StoreError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="no limit of a file's size")
def test_a_full_disk_publishes_nothing(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    job = plan(classifier, pictures, tmp_path / "job", LABELS, embed=True)
    command = [sys.executable, "-c", FULL, str(tmp_path / "job")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "it cannot be written: " in done.stdout, done.stderr
    assert "File too large" in done.stdout
    assert job.parts() == set() and verify(job).missing == 1
    left = [*(tmp_path / "job" / "drafts").iterdir(), *(tmp_path / "job" / "leases").iterdir()]
    assert left == []


READ_ONLY = """
import os, sys
import filelock, pyarrow.parquet  # the other user may not read where Python lies
import unseen
from unseen.jobs.export import export
from unseen.jobs.job import Job
from unseen.jobs.retry import retry
from unseen.jobs.running.runner import work
from unseen.jobs.running.session import Session
from unseen.jobs.running.status import StatusReader
from unseen.jobs.verify import verify
job = Job.open(sys.argv[1])
session = Session.load(job, {"device": "cpu", "threads": 1})
if os.geteuid() == 0:
    os.seteuid(65534)
for attempt in (lambda: work(job, session), lambda: retry(job)):
    try:
        attempt()
    except unseen.StoreError as error:
        print(error)
print(StatusReader(job).read().done, verify(job).ok, export(job, sys.argv[2]).rows)
"""


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_a_job_that_may_only_be_read(classifier: unseen.Classifier, pictures: Path) -> None:
    """By another user, and by root as one: it can be looked at, and nothing is written."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder, output = Path(place) / "job", Path(place) / "out"
        job = plan(classifier, pictures, folder, LABELS)
        work(job, Session.load(job, {"device": "cpu", "threads": 1}))
        output.mkdir()
        output.chmod(0o777)
        folders = [folder, *(path for path in folder.iterdir() if path.is_dir())]
        for path in folders:
            path.chmod(0o555)
        try:
            before = sorted(folder.rglob("*"))
            command = [sys.executable, "-c", READ_ONLY, str(folder), str(output / "rows.jsonl")]
            done = subprocess.run(command, capture_output=True, text=True)
            refused = f"{folder}: it cannot be written: Permission denied.\n"
            assert done.stdout == f"{refused}{refused}14 True 14\n", done.stderr
            assert sorted(folder.rglob("*")) == before
        finally:
            for path in folders:
                path.chmod(0o755)


def test_a_clock_that_is_an_hour_off_changes_nothing(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A living runner keeps its lease and its draft, whatever the hour is for the other."""
    job = plan(classifier, pictures, tmp_path / "job", LABELS, shard_pictures=5)
    session = Session.load(job, {"device": "cpu", "threads": 1})
    far = replace(Runner.here(), host="elsewhere", token="1")
    theirs = Leases(job.store, far)
    shard = job.shards[0]
    clock = time.time
    for off in (3600, -3600):
        assert theirs.take(shard)
        with job.store.draft() as draft:
            draft.write_bytes(b"of a shard that is half done")
            for path in (draft, tmp_path / "job" / "leases" / f"{shard.id}.json"):
                os.utime(path, (clock() + off, clock() + off))
            monkeypatch.setattr(time, "time", lambda off=off: clock() - off)
            assert not Leases(job.store, Runner.here()).take(shard)
            job.store.check_writable()
            assert draft.exists()
        theirs.release(shard)
    work(job, session)
    monkeypatch.setattr(time, "time", clock)
    assert verify(job).ok
    rows = table(job).column("key").to_pylist()
    assert len(rows) == len(set(rows)) == 14


def test_an_owner_who_outlives_its_lease_publishes_nothing_twice(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    """Its lease expired while it was at work, and another did the shard meanwhile."""
    job = plan(classifier, pictures, tmp_path / "job", LABELS)
    session = Session.load(job, {"device": "cpu", "threads": 1})
    (shard,) = job.shards
    slow = Leases(job.store, replace(Runner.here(), host="elsewhere", token="1"))
    assert slow.take(shard)
    quick, late = Work(), Work()
    runner = replace(Runner.here(), token="2")
    taken = Leases(job.store, runner, seconds=0.0)
    assert not taken.take(shard) and taken.take(shard)  # seen once, and unchanged since
    run_shard(job, session, shard, taken, quick, time.monotonic())
    part = tmp_path / "job" / part_name(shard)
    before = (part.stat().st_ino, part.read_bytes())
    run_shard(job, session, shard, slow, late, time.monotonic())
    assert (quick.shards, late.shards, late.raced) == (1, 0, 1)
    assert (part.stat().st_ino, part.read_bytes()) == before
    assert verify(job).ok and not [*(tmp_path / "job" / "drafts").iterdir()]


def test_a_receipt_that_was_never_written_is_made(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    job = plan(classifier, pictures, tmp_path / "job", LABELS)
    work(job, Session.load(job, {"device": "cpu", "threads": 1}))
    (receipt,) = (tmp_path / "job" / "receipts").iterdir()
    before = json.loads(receipt.read_text())
    receipt.unlink()
    assert StatusReader(job).read().errors == {"ImageError": 2}
    after = json.loads(receipt.read_text())
    same = ("rows", "errors", "sha256", "bytes")
    assert [before[name] for name in same] == [after[name] for name in same]
    assert (tmp_path / "job" / part_name(job.shards[0])).stat().st_size == after["bytes"]


def test_durations_are_for_people() -> None:
    shown = [duration(seconds) for seconds in (0, 59.6, 61, 3600, 90000, 1e7)]
    assert shown == ["0 s", "1 min", "1 min 1 s", "1 h", "1 d 1 h", "115 d 17 h"]
