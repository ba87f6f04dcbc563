"""A job in an object store: fsspec's own store in memory, which refuses a name that is taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import unseen
from planning import LABELS
from unseen.jobs.job import Job
from unseen.jobs.merged import merged
from unseen.jobs.plan import plan
from unseen.jobs.running.runner import work
from unseen.jobs.running.session import Session
from unseen.jobs.stores.store import open_store
from unseen.jobs.verify import verify

ADDRESS = "s3://bucket/job"


class Memory(MemoryFileSystem):
    """A store in memory under the scheme of another."""

    protocol = ("s3",)
    store: dict[str, Any] = {}  # noqa: RUF012 - as the class above has it
    pseudo_dirs = [""]  # noqa: RUF012
    conditional = True

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("s3://").strip("/")

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **more: Any) -> None:
        if mode == "create" and self.conditional and self.exists(path):
            raise FileExistsError(path)
        super().pipe_file(path, value)

    def put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **more: Any) -> None:
        self.pipe_file(rpath, Path(lpath).read_bytes(), mode)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Memory]]:
    fsspec.register_implementation("s3", Memory, clobber=True)
    yield Memory
    Memory.store.clear()
    Memory.conditional = True
    Memory.clear_instance_cache()
    fsspec.register_implementation("s3", "s3fs.S3FileSystem", clobber=True)


def test_a_job_in_a_store_has_the_rows_of_one_in_a_folder(
    memory: type[Memory], classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    tables = []
    for place in (ADDRESS, tmp_path / "job"):
        planned = plan(classifier, pictures, place, LABELS, embed=True, shard_pictures=5)
        job = Job.open(place)
        assert job.shards == planned.shards
        work(job, Session.load(job, {"device": "cpu", "threads": 1}))
        assert verify(job).ok
        tables.append([table for _, table in merged(job)])
    assert tables[0] == tables[1]
    names = {path.rpartition("/")[2] for path in memory.store if "/parts/" in path}
    assert names == {f"{shard.id}.parquet" for shard in job.shards}
    assert not [path for path in memory.store if "/leases/" in path or "probe" in path]


def test_the_first_of_a_name_stays(memory: type[Memory], tmp_path: Path) -> None:
    store = open_store(ADDRESS)
    assert store.create("a/b", b"first") and not store.create("a/b", b"second")
    for content in (b"third", b"fourth"):
        with store.draft() as draft:
            draft.write_bytes(content)
            assert store.publish(draft, "a/c") == (content == b"third")
    assert [store.read("a/b"), store.read("a/c"), store.read("a/c", 1, 2)] == [
        b"first", b"third", b"hi",
    ]  # fmt: skip
    assert sorted(store.names("a")) == ["b", "c"] and [*store.names("z")] == []
    store.write("a/b", b"other")
    assert store.read("a/b") == b"other" and store.exists("a/b")
    store.delete("a/b")
    store.delete("a/b")
    assert not store.exists("a/b")
    with pytest.raises(FileNotFoundError):
        store.read("a/b")


def test_a_store_that_overwrites_is_refused(
    memory: type[Memory], classifier: unseen.Classifier, pictures: Path
) -> None:
    memory.conditional = False
    with pytest.raises(unseen.StoreError, match="does not refuse a second object of one name"):
        plan(classifier, pictures, ADDRESS, LABELS)
    assert not memory.store


def test_an_address_that_is_read_by_none() -> None:
    with pytest.raises(unseen.StoreError, match="a job lies in a folder, or at one of: s3://"):
        open_store("ftp://host/job")
