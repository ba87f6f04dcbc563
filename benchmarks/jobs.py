"""The bars of `unseen job`, each measured: kills, races, overhead, memory, the time of a plan.

python benchmarks/jobs.py kills
python benchmarks/jobs.py race
python benchmarks/jobs.py overhead --pictures 10000 --model tests/fixtures/shapes-clip --rounds 2
python benchmarks/jobs.py overhead --pictures 1500 --rounds 2
python benchmarks/jobs.py each --pictures 300
python benchmarks/jobs.py plan --pictures 1000000
python benchmarks/jobs.py tar --gigabytes 1
python benchmarks/jobs.py ray --pictures 200
python benchmarks/jobs.py postgres --pictures 100000
python benchmarks/jobs.py disk --pictures 400 --shard 50 --model tests/fixtures/shapes-clip
"""

from __future__ import annotations

import argparse
import io
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

import unseen
from unseen.jobs.job import Job
from unseen.jobs.plan import plan
from unseen.jobs.running.lease import Lease
from unseen.jobs.running.runner import work
from unseen.jobs.running.session import Session
from unseen.jobs.running.status import Status, StatusReader
from unseen.jobs.verify import verify

LABELS = "cat,dog,car,tree,house"
COMMAND = [sys.executable, "-m", "unseen"]


def draw(folder: Path, count: int, side: int = 64, seed: int = 0) -> None:
    """Small JPEGs of noise, a thousand a folder."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        below = folder / f"{i // 1000:04}"
        below.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((side, side)).save(below / f"{i:07}.jpg", quality=80)


def unseen_command(*arguments: object, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True)
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done


def kills(options: argparse.Namespace, folder: Path) -> None:
    """kill -9 at random: every key once, and a shard at most is done again a kill."""
    rng = random.Random(options.seed)
    draw(folder / "pictures", options.pictures)
    job = folder / "job"
    unseen_command(
        "job", "plan", folder / "pictures", "-o", job, "-l", LABELS, "--shard", options.shard
    )
    planned = Job.open(job)
    published: dict[str, tuple[int, int]] = {}
    lost: list[int] = []  # shards that were begun and not published, a kill each
    known: set[str] = set()  # runners whose leases were left
    redone = 0
    began = time.perf_counter()
    while len(lost) < options.kills:
        process = subprocess.Popen(
            [*COMMAND, "job", "run", str(job), "-q", "--workers", str(options.workers)],
            start_new_session=True,
        )
        _until_published(planned, len(published) + rng.randrange(4))
        time.sleep(rng.uniform(0.0, 1.0))
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.2)
        dead = {lease.runner.token for lease in _leases(job) if not lease.runner.is_alive()}
        lost.append(len(dead - known))
        known |= dead
        print(f"  kill {len(lost)}: {lost[-1]} shards begun", flush=True)
        for name in planned.parts():
            stat = (job / "parts" / f"{name}.parquet").stat()
            facts = (stat.st_ino, stat.st_mtime_ns)
            redone += published.setdefault(name, facts) != facts
    seconds = time.perf_counter() - began
    unseen_command("job", "run", job, "-q", "--workers", options.workers)
    result = verify(planned)
    keys = [entry.key for shard in planned.shards for entry in planned.entries(shard)]
    print(
        f"{options.pictures:,} pictures, shards of {options.shard}, {options.workers} workers: "
        f"{len(lost)} kill -9 in {seconds:.0f} s, {len(published)} of {len(planned.shards)} "
        "shards done by then"
    )
    print(f"  keys planned {len(keys):,}, different {len({*keys}):,}; {result}; ok: {result.ok}")
    print(
        f"  shards begun and lost: {sum(lost)}, at most {max(lost)} a kill; published parts that "
        f"were written again: {redone}"
    )


def _until_published(job: Job, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(job.parts()) < count and time.monotonic() < deadline:
        time.sleep(0.05)


def _leases(job: Path) -> list[Lease]:
    contents = [Lease.from_bytes(path.read_bytes()) for path in (job / "leases").iterdir()]
    return [lease for lease in contents if lease is not None]


def race(options: argparse.Namespace, folder: Path) -> None:
    """Two commands at the same job at the same time."""
    draw(folder / "pictures", options.pictures)
    job = folder / "job"
    unseen_command(
        "job", "plan", folder / "pictures", "-o", job, "-l", LABELS, "--shard", options.shard
    )
    began = time.perf_counter()
    both = [subprocess.Popen([*COMMAND, "job", "run", str(job), "-q"]) for _ in range(2)]
    codes = [process.wait() for process in both]
    result = verify(Job.open(job))
    print(f"two runners, {options.pictures:,} pictures: {time.perf_counter() - began:.1f} s")
    print(f"  exit {codes}; {result}; ok: {result.ok}")


def overhead(options: argparse.Namespace, folder: Path) -> None:
    """The same pictures by `embed` and by a job of one worker, in turn; and on a straight line.

    Of a tenth of the pictures, too: what a picture takes and what is taken once are told apart, and
    so a slow model need not be given all 10,000.
    """
    os.environ["UNSEEN_CACHE_BYTES"] = "0"  # `embed` would find what it did before
    counts = (options.pictures // 10, options.pictures)
    best: dict[tuple[str, int], tuple[float, float]] = {}
    for count in counts:
        draw(folder / f"{count}", count)
    for i in range(options.rounds):
        for count in counts:
            for name, seconds, busy in _embed_and_job(options.model, folder / f"{count}", i):
                least = best.get((name, count), (seconds, busy))
                best[name, count] = (min(least[0], seconds), min(least[1], busy))
                print(f"  {count:,} by {name}: {seconds:.1f} s ({busy:.1f} of a core)", flush=True)
    small, large = counts
    for what, place in (("seconds", 0), ("seconds of a core", 1)):
        at = {}
        for name in ("embed", "job"):
            few, many = best[name, small][place], best[name, large][place]
            each = (many - few) / (large - small)
            once = few - each * small
            at[name] = once + each * options.at
            print(f"{what}, {name}: {once:.2f} once, {1000 * each:.3f} ms a picture")
        more = 100 * (best["job", large][place] / best["embed", large][place] - 1)
        line = 100 * (at["job"] / at["embed"] - 1)
        print(
            f"{what}: a job with its plan takes {more:+.1f} % at {large:,} pictures, measured, the "
            f"least of {options.rounds}; {line:+.1f} % at {options.at:,}, on the line"
        )


def _embed_and_job(model: str, pictures: Path, i: int) -> list[tuple[str, float, float]]:
    """What each takes, in seconds and in those of a core."""
    job, vectors = pictures.parent / f"job{i}-{pictures.name}", pictures.parent / f"{i}.parquet"
    commands = {
        "embed": [("embed", pictures, "-o", vectors, "-q", "-m", model)],
        "job": [
            ("job", "plan", pictures, "-o", job, "--embed", "-q", "-m", model),
            ("job", "run", job, "-q"),
        ],
    }
    spent = []
    for name, calls in commands.items():
        began, before = time.perf_counter(), _busy()
        for call in calls:
            unseen_command(*call)
        spent.append((name, time.perf_counter() - began, _busy() - before))
    shutil.rmtree(job)
    vectors.unlink()
    return spent


def _busy() -> float:
    """Seconds of a core that ended processes took."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def each(options: argparse.Namespace, folder: Path) -> None:
    """Time of a core for a picture, in one process: what `embed`, a plan and a runner take."""
    draw(folder / "pictures", options.pictures)
    os.environ["UNSEEN_CACHE_BYTES"] = "0"
    classifier = unseen.load(options.model)
    list(classifier.encoder.stream_images(folder / "pictures" / "0000" / "0000000.jpg"))
    for i in range(options.rounds):
        times = [time.process_time()]
        unseen.embed(classifier, folder / "pictures", folder / f"{i}.parquet")
        times.append(time.process_time())
        job = plan(classifier, folder / "pictures", folder / f"job{i}", embed=True)
        times.append(time.process_time())
        work(job, Session(classifier, None, None, embed=True))
        times.append(time.process_time())
        embed, planned, worked = (
            1000 * (after - before) / options.pictures for before, after in pairwise(times)
        )
        print(
            f"  {options.model}, {options.pictures:,} pictures, ms of a core for each: embed "
            f"{embed:.3f}, plan {planned:.3f}, work {worked:.3f}",
            flush=True,
        )


def plan_many(options: argparse.Namespace, folder: Path) -> None:
    """The time and the memory of a plan, of empty files: they are listed, not read."""
    for i in range(options.pictures):
        if i % 1000 == 0:
            below = folder / "pictures" / f"{i // 1000:06}"
            below.mkdir(parents=True)
        (below / f"{i:08}.jpg").touch()
    began, before = time.perf_counter(), _busy()
    command = ["job", "plan", str(folder / "pictures"), "-o", str(folder / "job")]
    most = _peak([*COMMAND, *command, "-l", LABELS, "-q"])
    seconds, busy = time.perf_counter() - began, _busy() - before
    size = sum(path.stat().st_size for path in (folder / "job" / "plan").iterdir())
    job = Job.open(folder / "job")
    print(
        f"a plan of {job.pictures:,} files: {seconds:.1f} s ({busy:.1f} s of a core), "
        f"{most:.0f} MB of memory at most, "
        f"{size / 1e6:.1f} MB on disk, {len(job.shards):,} shards"
    )
    began = time.perf_counter()
    StatusReader(job).read()
    print(f"  its status: {time.perf_counter() - began:.2f} s")


def tar(options: argparse.Namespace, folder: Path) -> None:
    """Memory of a worker at an archive of 1 GB and at one of a tenth."""
    rng = np.random.default_rng(0)
    for gigabytes in (options.gigabytes / 10, options.gigabytes):
        path, size = folder / "a.tar", 0
        with tarfile.open(path, "w") as archive:
            while size < gigabytes * 1e9:
                file = io.BytesIO()
                pixels = rng.integers(0, 256, (700, 700, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(file, "BMP")
                info = tarfile.TarInfo(f"{size:012}.bmp")
                info.size = len(file.getvalue())
                archive.addfile(info, io.BytesIO(file.getvalue()))
                size += info.size
        job = folder / f"job{gigabytes}"
        unseen_command("job", "plan", path, "-o", job, "-l", LABELS, "--shard", 100, "-q")
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        began = time.perf_counter()
        most = _peak([*COMMAND, "job", "run", str(job), "-q"])
        print(
            f"a tar of {gigabytes:.1f} GB, {Job.open(job).pictures:,} pictures: "
            f"{time.perf_counter() - began:.0f} s, a worker had {most:.0f} MB at most "
            f"(the plan {before / 1024:.0f} MB); ok: {verify(Job.open(job)).ok}"
        )


def on_ray(options: argparse.Namespace, folder: Path) -> None:
    """Two actors, one of them killed in the middle, against the same job in this process."""
    from unseen.jobs.merged import merged
    from unseen.jobs.running.on_ray import run_on_ray

    draw(folder / "pictures", options.pictures)
    classifier = unseen.load(options.model)
    jobs = [
        plan(
            classifier, folder / "pictures", folder / name, LABELS.split(","), embed=True,
            shard_pictures=options.shard,
        )
        for name in ("here", "ray")
    ]  # fmt: skip
    work(jobs[0], Session.load(jobs[0], {"threads": 1}))
    killed: list[int] = []

    def kill(status: Status) -> None:
        for lease in _leases(folder / "ray") if status.shards_done and not killed else ():
            os.kill(lease.runner.pid, signal.SIGKILL)
            killed.append(lease.runner.pid)
            break

    began = time.perf_counter()
    status = run_on_ray(jobs[1], workers=2, progress=kill)
    seconds = time.perf_counter() - began
    tables = [[table for _, table in merged(job)] for job in jobs]
    parts = [
        [(folder / name / "parts" / f"{shard.id}.parquet").read_bytes() for shard in job.shards]
        for name, job in zip(("here", "ray"), jobs, strict=True)
    ]
    print(
        f"Ray, 2 actors, {options.pictures:,} pictures: {seconds:.1f} s, actors killed "
        f"{len(killed)}; {status}"
    )
    print(
        f"  ok: {verify(jobs[1]).ok}; rows equal: {tables[0] == tables[1]}; parts byte for byte: "
        f"{parts[0] == parts[1]}"
    )


def postgres(options: argparse.Namespace, folder: Path) -> None:
    """Rows into PostgreSQL, and searches of them: by every row, by HNSW, with a filter."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
    import postgres_server
    from unseen.postgres.filters import parse_filter
    from unseen.postgres.gallery import Gallery
    from unseen.postgres.loading import load_rows
    from unseen.postgres.table import ModelFacts, Table

    dimension, rng = 512, np.random.default_rng(0)
    centres = rng.standard_normal((200, dimension))

    def vectors(count: int) -> np.ndarray:
        rows = centres[rng.integers(0, 200, count)] + rng.standard_normal((count, dimension))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    rows = (
        {"key": f"{i:09}.jpg", "embedding": row, "metadata": {"n": i, "camera": i % 100}}
        for start in range(0, options.pictures, 1000)
        for i, row in enumerate(vectors(1000), start)
    )
    facts = ModelFacts("random", None, "0" * 64, "none", "fp32", False, dimension)
    programs = postgres_server.programs()
    if programs is None:
        sys.exit("there is no PostgreSQL with pgvector here")
    with postgres_server.running(programs) as url:
        times = [time.perf_counter()]
        load_rows(url, Table(), facts, rows)
        times.append(time.perf_counter())
        load_rows(url, Table(), facts, [], hnsw=True)
        times.append(time.perf_counter())
        copied, built = (after - before for before, after in pairwise(times))
        print(
            f"{options.pictures:,} rows of {dimension} numbers: copied and put in {copied:.1f} s "
            f"({options.pictures / copied:,.0f} a second), HNSW {built:.1f} s"
        )
        with Gallery(url, Table()) as gallery:
            queries = vectors(50)
            conditions = {"all rows": (), "1 % of the rows": (parse_filter("camera=7"),)}
            for name, filters in conditions.items():
                results = {}
                for exhaustive in (True, False):
                    began = time.perf_counter()
                    results[exhaustive] = [
                        {m.id for m in gallery.search(q, top=10, filters=filters,
                                                      exhaustive=exhaustive)}
                        for q in queries
                    ]  # fmt: skip
                    spent = 1000 * (time.perf_counter() - began) / len(queries)
                    print(f"  {name}, {'every row' if exhaustive else 'HNSW'}: {spent:.1f} ms")
                common = sum(len(a & b) for a, b in zip(results[True], results[False], strict=True))
                print(f"  {name}: {common / sum(map(len, results[True])):.3f} of the ten nearest")


def disk(options: argparse.Namespace, folder: Path) -> None:
    """A job on a disk that is full in the middle, and then is not; needs root, for a tmpfs."""
    draw(folder / "pictures", options.pictures)
    place = folder / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    try:
        classifier = unseen.load(options.model)
        job = plan(
            classifier, folder / "pictures", place / "job", LABELS.split(","), embed=True,
            shard_pictures=options.shard,
        )  # fmt: skip
        session = Session.load(job)
        state = os.statvfs(place)
        (place / "filler").write_bytes(bytes(state.f_bavail * state.f_frsize - 60_000))
        try:
            work(job, session)
            print("the disk was never full: more --pictures")
        except unseen.StoreError as error:
            print(error)
        print(f"  {verify(job)}; left behind: {len([*(place / 'job' / 'drafts').iterdir()])}")
        (place / "filler").unlink()
        work(job, session)
        print(f"  with room again: {verify(job)}; ok: {verify(job).ok}")
    finally:
        subprocess.run(["umount", place], check=True)


def _peak(command: list[str]) -> float:
    """The most memory, in MB, of any process below a command."""
    code = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    run = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    return float(run.stdout.split()[-1])


BARS: dict[str, Callable[[argparse.Namespace, Path], None]] = {
    "kills": kills, "race": race, "overhead": overhead, "each": each, "plan": plan_many, "tar": tar,
    "ray": on_ray, "postgres": postgres, "disk": disk,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bar", choices=BARS)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--shard", type=int, default=25)
    parser.add_argument("--model", default="builtin", help="of overhead")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at", type=int, default=10_000, help="of overhead, on a straight line")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unseen-jobs-") as folder:
        BARS[options.bar](options, Path(folder))


if __name__ == "__main__":
    main()
