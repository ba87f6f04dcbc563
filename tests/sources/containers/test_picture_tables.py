"""Tables with a picture a row: what each row becomes, and what a broken one does."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

import hostile
import unseen
from running import unseen as run
from unseen.images.open import open_image
from unseen.sources.expand import expand, fields_of
from unseen.sources.item import Source

PNG = hostile.encoded("PNG")


def error_of(source: Source) -> str | None:
    try:
        open_image(source.content)
    except unseen.UnseenError as error:
        return str(error)
    return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "b b.png", "ü.png"):
        (tmp_path / "pictures" / name).write_bytes(PNG)
    return tmp_path


NAMES = ["pictures/a.png", "pictures/b b.png", "pictures/ü.png"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "ndjson"])
def test_paths_begin_at_the_table_and_columns_are_metadata(folder: Path, suffix: str) -> None:
    table = folder / f"list.{suffix}"
    rows = [{"Path": name, "city": "Köln", "year": 2000 + i} for i, name in enumerate(NAMES)]
    with table.open("w", encoding="utf-8", newline="") as file:
        if suffix in ("csv", "tsv"):
            writer = csv.DictWriter(file, [*rows[0]], delimiter="\t" if suffix == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n\n" for row in rows)
    sources = list(expand(table))
    assert [source.name for source in sources] == [str(folder / name) for name in NAMES]
    assert [error_of(source) for source in sources] == [None] * 3
    year: Any = "2001" if suffix in ("csv", "tsv") else 2001
    assert dict(sources[1].meta) == {"row": 2, "city": "Köln", "year": year}
    if suffix in ("csv", "tsv"):
        assert fields_of(table) == ("row", "city", "year")


def test_a_byte_order_mark_and_a_quoted_line_end_are_no_matter(folder: Path) -> None:
    table = folder / "list.csv"
    table.write_text('\ufeffimage,note\npictures/a.png,"two\nlines"\n', encoding="utf-8")
    (only,) = expand(table)
    assert error_of(only) is None and only.meta["note"] == "two\nlines"


def test_broken_rows_are_items_and_the_others_are_read(folder: Path) -> None:
    table = folder / "list.jsonl"
    table.write_text(
        '{"url": "pictures/a.png"}\nnonsense\n[1]\n{"other": 1}\n{"url": "missing.png"}\n'
        '{"url": null}\n{"url": "pictures/ü.png"}\n' + '{"url": ' + "[" * 100_000 + "\n",
        encoding="utf-8",
    )
    sources = list(expand(table))
    assert [error_of(source) is None for source in sources] == [1, 0, 0, 0, 0, 0, 1, 0]
    assert sources[1].name == f"{table}#row=2"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "none of its columns holds pictures: a, b"),
        ("image,image\na,b\n", "must name the columns, each once"),
        ("", "must name the columns"),
        ('image\n"a', "cannot be read beyond line"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_item(
    tmp_path: Path, content: str, message: str
) -> None:
    table = tmp_path / "list.csv"
    table.write_text(content)
    *_, last = expand(table)
    assert message in str(error_of(last))
    assert str(error_of(last)).count(str(table)) == 1


def test_bytes_that_are_no_text_end_a_table_with_an_item(folder: Path) -> None:
    for suffix in ("csv", "jsonl"):
        table = folder / f"list.{suffix}"
        table.write_bytes(b"\xff\xfe\x00image\n")
        *_, last = expand(table)
        assert error_of(last) is not None


def image_column(kind: str) -> pa.Array:
    pictures = [PNG, hostile.encoded("JPEG"), None]
    if kind == "bytes":
        return pa.array(pictures, pa.binary())
    if kind == "struct":
        return pa.array([{"bytes": one, "path": None} for one in pictures])
    return pa.array(["pictures/a.png", "pictures/ü.png", None])


@pytest.mark.parametrize("kind", ["bytes", "struct", "path"])
@pytest.mark.parametrize("suffix", ["parquet", "arrow", "stream"])
def test_parquet_and_arrow_as_hugging_face_writes_them(
    folder: Path, kind: str, suffix: str
) -> None:
    columns = {
        "id": pa.array([7, 8, 9], pa.int32()),
        "image": image_column(kind),
        "score": pa.array([0.5, math.nan, None], pa.float32()),
        "caption": pa.array(["x", "y", "z"]),
        "vector": pa.array([[1.0], [2.0], [3.0]]),
    }
    table = pa.table(columns)
    path = folder / f"data.{'parquet' if suffix == 'parquet' else 'arrow'}"
    if suffix == "parquet":
        parquet.write_table(table, path, row_group_size=2)
        assert fields_of(path) == ("row", "id", "score", "caption")
    else:
        new = pa.ipc.new_file if suffix == "arrow" else pa.ipc.new_stream
        with new(str(path), table.schema) as sink:
            sink.write_table(table, max_chunksize=2)
    sources = list(expand(path))
    assert [error_of(source) is None for source in sources] == [True, True, False]
    assert "row 3 has no picture in its column 'image'" in str(error_of(sources[2]))
    names = [str(folder / "pictures/a.png"), str(folder / "pictures/ü.png")]
    rows = [f"{path}#row={number}" for number in (1, 2)]
    assert [source.name for source in sources[:2]] == (names if kind == "path" else rows)
    metas = [dict(source.meta) for source in sources]
    assert metas[0] == {"row": 1, "id": 7, "score": 0.5, "caption": "x"}
    assert metas[1]["score"] is None


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_damaged_file_is_an_item(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    sink = io.BytesIO()
    parquet.write_table(pa.table({"image": [PNG] * 50}), sink)
    for content in (b"", b"PAR1", sink.getvalue()[:-40], b"ARROW1\0\0" + bytes(90)):
        path.write_bytes(content)
        (only,) = expand(path)
        assert only.name == str(path) and error_of(only) is not None


def test_the_rows_of_a_data_set_in_memory(folder: Path) -> None:
    """A `datasets.Dataset` is an iterable of dicts with a Pillow image in one of them."""
    rows = [
        {"image": Image.new("RGB", (9, 9), "red"), "label": np.int64(3), "text": "red"},
        {"label": 4, "image": {"bytes": PNG, "path": "x.png"}},
        {"image": base64.b64encode(PNG).decode(), "label": 5},
    ]
    sources = list(expand(rows))
    assert [error_of(source) for source in sources] == [None] * 3
    assert [source.meta["label"] for source in sources] == [3, 4, 5]
    with pytest.raises(unseen.SourceError, match="none of its columns"):
        list(expand([{"label": 3}]))


def test_columns_reach_the_rows_of_a_result(folder: Path) -> None:
    """A column that is called as one of ours is not lost: its name says where it is from."""
    table = folder / "list.csv"
    table.write_text("image,label,site\npictures/a.png,cat,north\npictures/no.png,dog,south\n")
    output = folder / "out.csv"
    run("classify", str(table), "-l", "cat,dog", "-o", str(output), code=1)
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["site"] for row in rows] == ["north", "south"]
    assert [row["meta.label"] for row in rows] == ["cat", "dog"]
    assert rows[0]["label"] in ("cat", "dog") and rows[1]["error"]
    run("classify", str(table), "-l", "cat,dog", "-o", str(output), "--resume")
    done = run("classify", str(table), "-l", "cat,dog", "--json", code=1)
    first = json.loads(done.stdout)[0]
    assert first["meta"] == {"row": 1, "label": "cat", "site": "north"}


def test_small_tables_that_would_take_gigabytes(tmp_path: Path) -> None:
    """Values that rows share are stored once, and would be there as often as rows; and brackets."""
    blank = pa.table({"image": pa.array([bytes(40_000_000)] * 4)})
    parquet.write_table(blank, tmp_path / "bomb.parquet", compression="zstd")
    assert (tmp_path / "bomb.parquet").stat().st_size < 100_000
    (source,) = expand(tmp_path / "bomb.parquet")
    assert "more than 200 times its size" in str(error_of(source))
    for new, compression in ((pa.ipc.new_file, "zstd"), (pa.ipc.new_stream, "lz4")):
        options = pa.ipc.IpcWriteOptions(compression=compression)
        same = blank.slice(0, 2)
        for name, zeros in (("bomb.arrow", same), ("indexed.arrow", same.select([]))):
            if not zeros.num_columns:  # the values lie in a dictionary
                zeros = pa.table({"image": same["image"].combine_chunks().dictionary_encode()})
            with new(tmp_path / name, zeros.schema, options=options) as writer:
                writer.write_table(zeros)
            (source,) = expand(tmp_path / name)
            assert "more than 200 times its size" in str(error_of(source)), name
    line = f'{{"path": "a.png", "x": [{"[]," * 600_000}1]}}\n'
    (tmp_path / "deep.jsonl").write_text(line + '{"path": "a.png"}\n')
    first, second = expand(tmp_path / "deep.jsonl")
    assert "not a JSON object" in str(error_of(first)) and second.name.endswith("a.png")
