"""Vectors in files: what other programs read back, and that a file is whole or not there."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from unseen.errors import MissingExtraError, SourceError
from unseen.results import vectors
from unseen.results.vectors import check_suffix, writing_vectors

FACTS = {"model": "m", "fingerprint": "f", "revision": "r"}
SUFFIXES = [".npy", ".safetensors", ".parquet"]


def write(path: Path, names: list[str], rows: np.ndarray) -> None:
    with writing_vectors(path, rows.shape[1], FACTS) as file:
        for name, row in zip(names, rows, strict=True):
            file.add(name, row)


def read(path: Path) -> tuple[list[str], np.ndarray, dict[str, str]]:
    if path.suffix == ".npy":
        beside = json.loads(path.with_suffix(".json").read_text("utf-8"))
        return beside.pop("names"), np.load(path, allow_pickle=False), beside
    if path.suffix == ".safetensors":
        with safe_open(path, framework="numpy") as file:
            facts = file.metadata()
            return json.loads(facts.pop("names")), file.get_tensor("embeddings"), facts
    from pyarrow import parquet

    table = parquet.read_table(path)
    facts = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
    width = table.schema.field("embedding").type.list_size
    rows = np.array(table["embedding"].to_pylist(), dtype=np.float32).reshape(-1, width)
    return table["name"].to_pylist(), rows, facts


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("count", [0, 1, 3, 12345])
def test_what_is_read_is_what_was_written(suffix: str, count: int, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(count, 7)).astype(np.float32)
    names = [f"{i}, «猫»\n" for i in range(count)]
    path = tmp_path / f"v{suffix}"
    write(path, names, rows)
    got, matrix, facts = read(path)
    assert got == names and matrix.dtype == np.float32 and matrix.shape == (count, 7)
    np.testing.assert_array_equal(matrix, rows)
    assert facts == {**FACTS, "dimension": "7"}
    expected = {path.name, "v.json"} if suffix == ".npy" else {path.name}
    assert {p.name for p in tmp_path.iterdir()} == expected


def test_parquet_holds_few_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "ROW_GROUP", 2)
    with writing_vectors(tmp_path / "v.parquet", 3, FACTS) as file:
        for i in range(7):
            file.add(str(i), np.full(3, i, dtype=np.float32))
            assert len(file._rows) < 2  # type: ignore[attr-defined]
    _, matrix, _ = read(tmp_path / "v.parquet")
    assert matrix[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_run_leaves_what_was_there(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{suffix}"
    path.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), writing_vectors(path, 3, FACTS) as file:
        file.add("a", np.zeros(3, dtype=np.float32))
        1 / 0  # noqa: B018
    assert [p.name for p in tmp_path.iterdir()] == [path.name] and path.read_bytes() == b"before"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_name_that_is_no_utf_8(suffix: str, tmp_path: Path) -> None:
    write(tmp_path / f"v{suffix}", ["a\udcff.png"], np.zeros((1, 3), dtype=np.float32))
    (name,), _, _ = read(tmp_path / f"v{suffix}")
    assert name == ("a\\udcff.png" if suffix == ".parquet" else "a\udcff.png")


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match=r"\.npy, \.safetensors, \.parquet"):
        check_suffix(Path("v.txt"))
    with (
        pytest.raises(SourceError, match="cannot be written"),
        writing_vectors(tmp_path / "no" / "v.npy", 3, FACTS),
    ):
        pass
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"unseen\[parquet\]"):
        check_suffix(Path("v.parquet"))
