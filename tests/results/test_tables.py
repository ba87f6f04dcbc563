"""Predictions as a pandas table."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO

import pandas
import pytest

from unseen import Prediction, Scored, to_pandas

RANKING = (Scored("cat", 0.75, 0.25), Scored("dog", 0.25, 0.125))
COLUMNS = ["source", "label", "score", "unknown", "ranking", "left_out", "error"]


def test_a_row_for_each_in_order() -> None:
    error = "b.jpg: there is no such file."
    rows = [Prediction("a.jpg", RANKING), Prediction("b.jpg", error=error), Prediction("c.jpg")]
    table = to_pandas(iter(rows))
    assert list(table.columns) == COLUMNS
    assert table["source"].tolist() == ["a.jpg", "b.jpg", "c.jpg"]
    assert table["label"].dropna().tolist() == ["cat"]
    assert table["score"].dropna().tolist() == [0.75]
    assert table["unknown"].tolist() == [False, False, True]
    assert table["error"].dropna().to_dict() == {1: error}
    assert pandas.DataFrame(table["ranking"][0])["label"].tolist() == ["cat", "dog"]
    assert [len(ranking) for ranking in table["ranking"]] == [2, 0, 0]


def test_it_is_what_pandas_reads_from_json_lines() -> None:
    """The file of `unseen classify --jsonl` has `to_dict` on each line."""
    rows = [
        Prediction("a.jpg", RANKING, left_out=1, likely=("cat",), evidence=3.5),
        Prediction("b.jpg", RANKING[1:], left_out=2, likely=("cat", "dog"), evidence=1.5),
    ]
    lines = "\n".join(json.dumps(row.to_dict()) for row in rows)
    theirs = pandas.read_json(StringIO(lines), lines=True)
    ours = to_pandas(rows)
    assert ours["error"].isna().all()
    pandas.testing.assert_frame_equal(ours[theirs.columns], theirs, check_dtype=False)


@pytest.mark.parametrize("rows", [[], [Prediction("b.jpg", error="broken")], [Prediction("a")]])
def test_types_do_not_depend_on_the_rows(rows: list[Prediction]) -> None:
    table = to_pandas(rows)
    assert list(table.columns) == COLUMNS and len(table) == len(rows)
    types = {name: str(table[name].dtype) for name in ("score", "unknown", "left_out")}
    assert types == {"score": "float64", "unknown": "bool", "left_out": "int64"}


def test_metadata_has_a_column_for_each_key() -> None:
    frame = Prediction("a.mp4", RANKING, meta={"frame": 7, "label": "truth"})
    table = to_pandas([Prediction("a.jpg", RANKING), frame])
    assert list(table.columns) == [*COLUMNS, "meta.frame", "meta.label"]
    assert table["meta.frame"].dropna().tolist() == [7]
    assert table["label"].tolist() == ["cat", "cat"]


def test_without_pandas_it_says_what_to_install() -> None:
    code = """
import sys, unseen
sys.modules["pandas"] = None
try:
    unseen.to_pandas([])
except unseen.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'needs pandas, which is not installed: pip install "unseen[pandas]"' in done.stdout
