"""Estimates: what is measured, and the arithmetic on it."""

from __future__ import annotations

from pathlib import Path

import pytest

import unseen
from planning import LABELS
from unseen.jobs.plan import plan
from unseen.jobs.running.estimate import HEADER, Machines, Sample, estimate, measure
from unseen.jobs.running.session import Session

SAMPLE = Sample(pictures=100, seconds=10.0, bytes_read=1e6, bytes_written=1000.0, failed=0.0)


def test_a_sample_is_measured_and_nothing_is_published(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    job = plan(classifier, pictures, tmp_path / "job", LABELS, embed=True, shard_pictures=4)
    session = Session.load(job, {"device": "cpu", "threads": 1})
    sample = measure(job, session, pictures=8)
    assert sample.pictures == 8 and sample.seconds > 0 and sample.bytes_written > 0
    sizes = [(pictures / f"{i:02}.png").stat().st_size for i in (0, 1, 4, 5, 8, 9, 12, 13)]
    assert sample.bytes_read == pytest.approx(sum(sizes) / 8)
    assert sample.failed == pytest.approx(2 / 8)  # 04 and 09 are broken
    assert job.parts() == set()


def test_the_arithmetic() -> None:
    """10 pictures a second and worker; 1 MB a picture; 1 kB a row."""
    one = estimate(SAMPLE, Machines(), 36_000)
    assert (one.seconds, one.limit, one.cost) == (3600.0, "workers", None)
    assert one.gigabytes_read == 36.0 and one.gigabytes_written == pytest.approx(0.036)
    many = estimate(SAMPLE, Machines(machines=5, workers=4, price=2.0), 36_000)
    assert many.seconds == 180.0 and many.cost == pytest.approx(0.5)
    slow = estimate(SAMPLE, Machines(workers=4, megabytes_per_second=20.0), 36_000)
    assert (slow.seconds, slow.limit) == (1800.0, "reading")
    disk = Machines(workers=4, megabytes_per_second=20.0, disk_megabytes_per_second=10.01)
    full = estimate(SAMPLE, disk, 36_000)
    assert (full.seconds, full.limit) == (pytest.approx(3600.0), "disk")
    assert len(str(many)) > len(HEADER) and "workers" in str(many)
