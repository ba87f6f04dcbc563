"""Rows of other engines: the answers of the library, whatever kind of batch comes."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import unseen
from planning import BROKEN, LABELS
from unseen.jobs.batches import BatchClassifier
from unseen.load_options import LoadOptions

DOCS = Path(__file__).parents[2] / "docs" / "jobs.md"


@pytest.fixture(scope="module")
def options(shapes_clip: Path) -> LoadOptions:
    return LoadOptions(str(shapes_clip), device="cpu", threads=1)


@pytest.fixture(scope="module")
def classify(options: LoadOptions) -> BatchClassifier:
    return BatchClassifier(LABELS, embed=True, options=options)


def batch(pictures: Path) -> dict[str, Any]:
    paths = sorted(pictures.iterdir())
    return {"png": [path.read_bytes() for path in paths], "name": [path.name for path in paths]}


def test_answers_are_those_of_classify(
    classify: BatchClassifier, classifier: unseen.Classifier, pictures: Path
) -> None:
    rows = classify(batch(pictures))
    predictions = list(classifier.classify_many(pictures, LABELS, top_k=5, calibration=None))
    assert rows["label"].tolist() == [one.label for one in predictions]
    vectors = [one.embedding for one in classifier.encoder.stream_images(pictures)]
    for i, (vector, prediction) in enumerate(zip(vectors, predictions, strict=True)):
        if vector is None:
            assert rows["name"][i] in BROKEN and np.isnan(rows["embedding"][i]).all()
            assert rows["error"][i] and rows["score"][i] is None and rows["labels"][i] is None
        else:
            np.testing.assert_allclose(rows["embedding"][i], vector, atol=1e-5)
            assert rows["score"][i] == pytest.approx(prediction.score, abs=1e-5)
            assert [one["label"] for one in rows["labels"][i]] == [
                one.label for one in prediction.ranking
            ]


def test_each_kind_of_batch_gives_the_same_rows(classify: BatchClassifier, pictures: Path) -> None:
    content = batch(pictures)
    rows = classify(content)
    table = classify(pa.table(content))
    frame = classify(pd.DataFrame(content))
    assert isinstance(table, pa.Table) and isinstance(frame, pd.DataFrame)
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 64)
    assert table.column("embedding").null_count == len(BROKEN)
    for name in ("name", "label", "error"):
        assert table.column(name).to_pylist() == list(rows[name])
        assert [None if pd.isna(value) else value for value in frame[name]] == list(rows[name])
    scores = np.array(list(rows["score"]), dtype=np.float32)  # None is NaN
    np.testing.assert_array_equal(np.array(table["score"].to_pylist(), dtype=np.float32), scores)
    np.testing.assert_array_equal(np.array(frame["score"], dtype=np.float32), scores)
    nothing = classify(pa.table({"png": pa.array([], pa.binary())}))
    assert (
        nothing.num_rows == 0
        and nothing.schema.names == table.schema.names[:1] + (table.schema.names[2:])
    )


def test_each_kind_of_picture(options: LoadOptions, pictures: Path) -> None:
    """Bytes, Hugging Face's struct, a path, an array."""
    from PIL import Image

    path = pictures / "00.png"
    cells = [
        path.read_bytes(),
        {"bytes": path.read_bytes(), "path": None},
        str(path),
        np.asarray(Image.open(path).convert("RGB")),
        None,
    ]
    classify = BatchClassifier(embed=True, options=options, column="cell", prefix="clip_")
    rows = classify({"cell": cells})
    assert [*rows] == ["cell", "clip_embedding", "clip_error"]
    assert [error is None for error in rows["clip_error"]] == [True] * 4 + [False]
    for vector in rows["clip_embedding"][1:4]:
        np.testing.assert_allclose(vector, rows["clip_embedding"][0], atol=1e-5)


def test_what_a_batch_must_have(classify: BatchClassifier) -> None:
    for content, reason in (
        ({"x": [b""]}, "none of its columns holds pictures"),
        ({"png": [b""], "label": ["cat"]}, "has a column 'label' already; give a prefix"),
    ):
        with pytest.raises(unseen.SourceError, match=reason):
            classify(content)
    with pytest.raises(unseen.SourceError, match="no column 'y', only: x"):
        BatchClassifier(embed=True, options=classify.classifier.options, column="y")({"x": [b""]})


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.filterwarnings("ignore")
def test_ray_data_calls_it(options: LoadOptions, pictures: Path) -> None:
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        rows = (
            ray.data.from_arrow(pa.table(batch(pictures)))
            .map_batches(
                BatchClassifier,
                fn_constructor_kwargs={"labels": LABELS, "embed": True, "options": options},
                compute=ray.data.ActorPoolStrategy(size=1),
                batch_size=5,
                batch_format="pyarrow",
            )
            .take_all()
        )
    finally:
        ray.shutdown()
    expected = BatchClassifier(LABELS, options=options)(batch(pictures))
    labels = dict(zip(expected["name"], expected["label"], strict=True))
    assert {row["name"]: row["label"] for row in rows} == labels


def recipe(language: str) -> str:
    """The block of the docs that speaks of an engine."""
    blocks = re.findall(r"```text\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if f"import {language}" in block]
    return block


@pytest.mark.skipif(find_spec("daft") is None, reason="daft is not installed")
@pytest.mark.filterwarnings("ignore")
def test_the_recipe_for_daft(
    options: LoadOptions, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in pictures.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    code = recipe("daft").replace("/data/photos/*.jpg", f"{tmp_path}/*.png")
    code = code.replace(
        "LoadOptions()", f'LoadOptions({str(options.model)!r}, device="cpu", threads=1)'
    ).replace('["cat", "dog"]', repr(LABELS))
    exec(compile(code, "docs/jobs.md", "exec"), {})
    import daft

    rows = daft.read_parquet(f"{tmp_path}/answers").to_pydict()
    expected = BatchClassifier(LABELS, options=options)({"path": sorted(map(str, rows["path"]))})
    labels = dict(zip(expected["path"], expected["label"], strict=True))
    assert dict(zip(rows["path"], rows["label"], strict=True)) == labels
