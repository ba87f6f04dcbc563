"""Verify finds whatever was done to the parts of a job; exports hold its rows."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import unseen
from planning import LABELS
from unseen.jobs.export import export
from unseen.jobs.indexed import export_to_index
from unseen.jobs.job import Job
from unseen.jobs.plan import plan
from unseen.jobs.running.runner import work
from unseen.jobs.running.session import Session
from unseen.jobs.running.status import StatusReader
from unseen.jobs.running.status_page import write_status_page
from unseen.jobs.verify import verify


@pytest.fixture(scope="module")
def finished(
    classifier: unseen.Classifier, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "job"
    job = plan(classifier, pictures, folder, LABELS, embed=True, shard_pictures=5, calibration=None)
    work(job, Session.load(job, {"device": "cpu", "threads": 1}))
    return folder


def remove(parts: list[Path]) -> None:
    parts[1].unlink()


def cut(parts: list[Path]) -> None:
    parts[1].write_bytes(parts[1].read_bytes()[:-100])


def empty(parts: list[Path]) -> None:
    parts[1].write_bytes(b"")


def double(parts: list[Path]) -> None:
    shutil.copy(parts[1], parts[1].with_name("again.parquet"))


def replace(parts: list[Path]) -> None:
    shutil.copy(parts[0], parts[1])


def alter_a_byte(parts: list[Path]) -> None:
    content = bytearray(parts[1].read_bytes())
    content[len(content) // 2] ^= 1
    parts[1].write_bytes(content)


def alter_a_label(parts: list[Path]) -> None:
    table = parquet.read_table(parts[1])
    labels = pa.array(["a red circle"] * len(table), pa.string())
    at = table.schema.get_field_index("label")
    parquet.write_table(table.set_column(at, table.schema.field(at), labels), parts[1])


def drop_a_row(parts: list[Path]) -> None:
    """With its receipt, as if whoever made it had made it so."""
    parquet.write_table(parquet.read_table(parts[1]).slice(1), parts[1])
    (parts[1].parents[1] / "receipts" / f"{parts[1].stem}.json").unlink()


def repeat_a_row(parts: list[Path]) -> None:
    table = parquet.read_table(parts[1])
    parquet.write_table(pa.concat_tables([table.slice(0, 1), table]), parts[1])
    (parts[1].parents[1] / "receipts" / f"{parts[1].stem}.json").unlink()


DAMAGES: dict[Callable[[list[Path]], None], str] = {
    remove: "was removed",
    cut: "is cut or damaged",
    empty: "is cut or damaged",
    double: "belongs to no shard",
    replace: "is the part of another shard",
    alter_a_byte: "was altered|is cut or damaged",
    alter_a_label: "was altered",
    drop_a_row: "does not have the planned keys",
    repeat_a_row: "does not have the planned keys",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_part_is_noticed(
    damage: Callable[[list[Path]], None], finished: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "job"
    shutil.copytree(finished, folder)
    job = Job.open(folder)
    assert verify(job).ok and verify(job).pictures == 14
    damage(sorted((folder / "parts").iterdir()))
    result = verify(job)
    assert not result.ok
    import re

    assert len(result.problems) == 1 and re.search(DAMAGES[damage], result.problems[0])
    assert str(result).count("\n") == 1


def test_a_parquet_file_of_all_rows(finished: Path, tmp_path: Path) -> None:
    job = Job.open(finished)
    result = export(job, tmp_path / "out.parquet")
    assert (result.rows, result.missing, result.errors) == (14, 0, 2)
    table = parquet.read_table(tmp_path / "out.parquet")
    assert [*table.schema.names] == [
        "key", "label", "score", "unknown", "labels", "embedding", "sha256", "width", "height",
        "error", "error_class", "metadata",
    ]  # fmt: skip
    assert table.column("key").to_pylist() == sorted(table.column("key").to_pylist())
    with pytest.raises(unseen.SourceError, match="already exists"):
        export(job, tmp_path / "out.parquet")


def test_json_lines_and_csv_have_the_same_rows(finished: Path, tmp_path: Path) -> None:
    job = Job.open(finished)
    for kind in ("parquet", "jsonl", "csv"):
        export(job, tmp_path / f"out.{kind}")
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    with (tmp_path / "out.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert len(rows) == len(lines) == len(cells) == 14
    for row, line, cell in zip(rows, lines, cells, strict=True):
        assert row["key"] == line["key"] == cell["key"]
        assert row["label"] == line["label"] == (cell["label"] or None)
        assert "embedding" not in cell
        if row["error"] is None:
            np.testing.assert_allclose(line["embedding"], row["embedding"], rtol=1e-3, atol=1e-7)
            assert json.loads(cell["labels"]) == line["labels"] == row["labels"]
            assert float(cell["score"]) == pytest.approx(row["score"], abs=1e-6)


def test_an_index_has_what_it_would_have_encoded(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / "by job", tmp_path / "by itself"]
    for folder in folders:
        shutil.copytree(pictures, folder)
    job = plan(classifier, folders[0], tmp_path / "job", embed=True, shard_pictures=5)
    work(job, Session.load(job, {"device": "cpu", "threads": 1}))
    (folders[0] / "13.png").write_bytes((folders[0] / "12.png").read_bytes())
    result = export_to_index(job, folders[0])
    assert (result.files, result.left_out) == (13, 1)
    reports, rows = [], []
    for folder in folders:
        with unseen.Index(folder) as index:
            reports.append(index.update(classifier.encoder))
            encoded = list(index.view(classifier.encoder).encoded())
            rows.append({one.name: one.embedding for one in encoded if one.error is None})
    assert reports[0].unchanged == 13 and reports[0].known == 1 and reports[0].encoded == 0
    assert reports[1].encoded == 12 and rows[0].keys() == rows[1].keys()
    for name in rows[0].keys() - {"13.png"}:
        np.testing.assert_allclose(rows[0][name], rows[1][name], atol=1e-3)
    with pytest.raises(unseen.SourceError, match="the job has no embeddings"):
        export_to_index(plan(classifier, pictures, tmp_path / "other", LABELS), folders[0])


def test_what_is_not_done_is_said(
    classifier: unseen.Classifier, pictures: Path, tmp_path: Path
) -> None:
    job = plan(classifier, pictures, tmp_path / "job", LABELS, shard_pictures=5)
    work(job, Session.load(job, {"device": "cpu", "threads": 1}), part=(0, 2))
    with pytest.raises(unseen.SourceError, match="5 pictures have no row yet"):
        export(job, tmp_path / "out.jsonl")
    result = export(job, tmp_path / "out.jsonl", partial=True)
    assert (result.rows, result.missing) == (9, 5)
    assert not verify(job).ok and verify(job).missing == 1 and verify(job).problems == []
    with pytest.raises(unseen.SourceError, match=r"exported as \.parquet"):
        export(job, tmp_path / "out.txt")


def test_a_page_says_how_far_it_is(finished: Path, tmp_path: Path) -> None:
    job = Job.open(finished)
    status = StatusReader(job).read()
    write_status_page(tmp_path / "a.html", job, status)
    text = (tmp_path / "a.html").read_text("utf-8")
    assert '"share":"100.0 %"' in text and '["ImageError","2"]' in text
    assert "http" not in text.replace("http-equiv", "")


@pytest.mark.skipif(find_spec("lance") is not None, reason="pylance is installed")
def test_lance_is_an_extra(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(unseen.MissingExtraError, match=r"unseen\[lance\]"):
        export(Job.open(finished), tmp_path / "out.lance")


@pytest.mark.skipif(find_spec("lance") is None, reason="pylance is not installed")
def test_a_data_set_of_lance(finished: Path, tmp_path: Path) -> None:
    import lance

    job = Job.open(finished)
    path = tmp_path / "out.lance"
    assert export(job, path).rows == 14
    export(job, tmp_path / "out.parquet")
    dataset = lance.dataset(str(path))
    assert (
        dataset.to_table().to_pylist() == parquet.read_table(tmp_path / "out.parquet").to_pylist()
    )
    assert pa.types.is_fixed_size_list(dataset.schema.field("embedding").type)
    query = np.array(dataset.to_table().column("embedding")[0].as_py(), dtype=np.float32)
    nearest = dataset.to_table(nearest={"column": "embedding", "q": query, "k": 1})
    assert nearest.column("key").to_pylist() == dataset.to_table().column("key").to_pylist()[:1]
    with pytest.raises(unseen.SourceError, match="already exists"):
        export(job, path)
    assert export(job, path, overwrite=True).rows == 14
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.lance", "out.parquet"]
    (tmp_path / "theirs.lance").mkdir()
    with pytest.raises(unseen.SourceError, match="a folder of something else"):
        export(job, tmp_path / "theirs.lance", overwrite=True)
