"""An index of pictures in archives, tables, documents, stores and lists of addresses."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import hostile
import shapes
import unseen
from many_sources import CLASSES, FILES, PICTURES, as_csv, as_tar, as_zip, bucket, server
from unseen.index.pages import write_search

SHAPES = "tests/fixtures/shapes-clip"
PARTS = [name for name in FILES if name != "folder"]
A_CIRCLE = "a photo of a red circle"


@pytest.fixture(scope="module")
def encoder() -> unseen.Encoder:
    return unseen.load(SHAPES).encoder


def counts(report: Any) -> tuple[int, int, int, int, int]:
    return report.encoded, report.known, report.unchanged, report.failed, report.missing


@pytest.mark.parametrize("kind", PARTS)
def test_pictures_are_found_by_a_name_that_opens_them(
    tmp_path: Path, encoder: unseen.Encoder, kind: str
) -> None:
    source = FILES[kind](tmp_path)
    with unseen.Index(tmp_path) as index:
        assert counts(index.update(encoder, [source])) == (4, 0, 0, 0, 0)
        hits = index.view(encoder).search(A_CIRCLE, top=2)
        assert len(hits) == 2
        expected = encoder.encode_images([index.address(hit.paths[0]) for hit in hits])
        own = np.stack([index.view(encoder).vector(hit.id) for hit in hits])  # type: ignore[arg-type]
        assert np.abs(own - expected).max() < 2e-3
        assert all(hit.width == hit.height for hit in hits)
        write_search(index.view(encoder), hits, tmp_path / "page.html", [A_CIRCLE], top=2)
        assert (tmp_path / "page.html").read_text("utf-8").count("data:image/jpeg") >= 1
        assert hits._repr_html_().count("<img") == 2
        # Nothing is done again, and the folder brings its sources with it.
        assert counts(index.update(encoder, [source])) == (0, 0, 4, 0, 0)
        own_files = 4 if source.suffix in (".csv", ".jsonl") else 0  # files of the folder, too
        first_page = source.suffix == ".tif"  # what a TIFF is in a folder
        assert counts(index.update(encoder)) == (first_page, 0, 4 + own_files, 0, 0)
        assert index.is_current(encoder)
        assert {*index.update(encoder).left_out} <= {"web page"}  # not what was looked at


def test_a_container_that_has_changed_is_noticed(tmp_path: Path, encoder: unseen.Encoder) -> None:
    path = as_zip(tmp_path)
    with unseen.Index(tmp_path) as index:
        index.update(encoder, [path])
        new = hostile.encoded("PNG", shapes.draw(shapes.scene("green triangle"), 5))
        kept = dict([*PICTURES.items()][:3])
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**kept, "new.png": new, "broken.png": b"text"}.items():
                archive.writestr(f"pictures/{name}", content)
        assert not index.is_current(encoder)
        assert counts(index.update(encoder)) == (1, 0, 3, 1, 1)
        assert counts(index.update(encoder)) == (0, 0, 5, 0, 0)
        hit = index.view(encoder).search("a photo of a green triangle", top=1)[0]
        assert hit.paths == ("pictures.zip!/pictures/new.png",)
        path.unlink()
        assert counts(index.update(encoder)) == (0, 0, 0, 0, 5)
        assert index.view(encoder).search(A_CIRCLE) == []


def test_the_same_picture_in_a_folder_and_an_archive_is_one(
    tmp_path: Path, encoder: unseen.Encoder
) -> None:
    source = as_tar(tmp_path)
    FILES["folder"](tmp_path)
    with unseen.Index(tmp_path) as index:
        index.update(encoder)
        assert counts(index.update(encoder, [source])) == (0, 4, 0, 0, 0)
        hit = index.view(encoder).search(A_CIRCLE, top=1)[0]
        assert len(hit.paths) == 2 and any("shard.tar!" in path for path in hit.paths)


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, encoder: unseen.Encoder) -> None:
    source = as_tar(tmp_path)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with unseen.Index(tmp_path) as index:
        with pytest.raises(KeyboardInterrupt):
            index.update(encoder, [source], batch_size=2, progress=stop)
        report = index.update(encoder, [source])
        assert report.encoded + report.unchanged == 4 and report.missing == 0


def test_columns_of_a_list_come_back(tmp_path: Path, encoder: unseen.Encoder) -> None:
    with unseen.Index(tmp_path) as index:
        index.update(encoder, [as_csv(tmp_path)])
        assert index.metadata("folder/red_circle/0.png")["city"] == "Köln"
        assert index.metadata("folder/none.png") == {}
        (tmp_path / "list.csv").unlink()  # its pictures are files of the folder, and stay
        assert index.update(encoder).missing == 0
    rows = unseen.load(SHAPES).classify_many(tmp_path, CLASSES)
    assert {row.source: row.meta for row in rows}  # classified from the folder, as ever


def write_list(path: Path, addresses: list[str]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["url"], *([one] for one in addresses)])
    return path


def test_addresses_are_asked_for_what_is_new_alone(tmp_path: Path, encoder: unseen.Encoder) -> None:
    files = dict(PICTURES)
    with server(files) as raw, unseen.Index(tmp_path) as index:
        names = [*files, "late.png"]
        source = write_list(tmp_path / "list.csv", [f"{raw.url}/{name}" for name in names])
        assert counts(index.update(encoder, [source])) == (4, 0, 0, 1, 0)
        assert counts(index.update(encoder, [source])) == (0, 0, 4, 1, 0)
        assert sum(b"If-None-Match" in request for request in raw.requests) == 4
        # What failed is tried again, what has changed is seen, and what is off the list is gone.
        files["late.png"] = hostile.encoded("PNG")
        first = next(iter(PICTURES))
        files[first] = hostile.encoded("JPEG")
        write_list(source, [f"{raw.url}/{name}" for name in names[:-2] + names[-1:]])
        assert counts(index.update(encoder, [source])) == (2, 0, 2, 0, 1)
        hits = index.view(encoder).search(A_CIRCLE)
        assert len(hits) == 4 and all(hit.paths[0].startswith(raw.url) for hit in hits)
        assert index.address(hits[0].paths[0]) == hits[0].paths[0]


def test_a_server_that_is_away_takes_nothing_with_it(
    tmp_path: Path, encoder: unseen.Encoder
) -> None:
    with unseen.Index(tmp_path) as index:
        with server({f"a/{name}": one for name, one in PICTURES.items()}) as raw:
            root = f"{raw.url}/a/"
            assert counts(index.update(encoder, [root])) == (4, 0, 0, 0, 0)
        report = index.update(encoder, [root])
        assert report.failed == 1 and report.missing == 0
        assert len(index.view(encoder).search(A_CIRCLE)) == 4


def test_objects_of_a_store_are_fetched_once(tmp_path: Path, encoder: unseen.Encoder) -> None:
    with bucket() as store, unseen.Index(tmp_path) as index:
        for name, content in PICTURES.items():
            store.pipe_file(f"/bucket/{name}", content)
        assert counts(index.update(encoder, ["s3://bucket"])) == (4, 0, 0, 0, 0)
        store.rm("/bucket/red_circle/0.png")
        report = index.update(encoder)
        assert report.encoded == 0 and report.unchanged + report.missing == 4
        assert report.missing == 1
        hit = index.view(encoder).search(A_CIRCLE, top=1)[0]
        assert hit.paths == ("s3://bucket/red_circle/1.png",)


def test_pictures_in_memory_are_refused_with_what_to_do(
    tmp_path: Path, encoder: unseen.Encoder
) -> None:
    row = {"image": Image.open(io.BytesIO(hostile.encoded("PNG")))}
    with (
        unseen.Index(tmp_path) as index,
        pytest.raises(unseen.SourceError, match="to_parquet"),
    ):
        index.update(encoder, [row])  # type: ignore[list-item]


def test_a_name_that_leads_out_is_a_row_with_an_error(
    tmp_path: Path, encoder: unseen.Encoder
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../a.png", hostile.encoded("PNG"))
        archive.writestr("b.png", hostile.encoded("PNG"))
    with unseen.Index(tmp_path) as index:
        assert counts(index.update(encoder, [tmp_path / "a.zip"])) == (1, 0, 0, 1, 0)
    assert not (tmp_path.parent / "a.png").exists()
