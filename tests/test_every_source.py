"""Which command reads which source: each cell of the table in docs/sources.md, tried."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import unseen
from many_sources import CLASSES, FILES, LABELS, PICTURES, as_tar, bucket, class_of, server
from unseen.jobs.plan import plan
from unseen.jobs.running.runner import work
from unseen.jobs.running.session import Session
from unseen.jobs.verify import verify

HEAD = "| source | `classify`"


class DataSet:
    """What `datasets.load_dataset` gives, as far as it is asked: rows, and their features."""

    class ClassLabel:
        names = [*CLASSES]  # noqa: RUF012

    features = {"label": ClassLabel()}  # noqa: RUF012

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for name, content in PICTURES.items():
            yield {"image": Image.open(BytesIO(content)), "label": CLASSES.index(class_of(name))}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    """In the order of the table."""
    folders = {kind: tmp_path_factory.mktemp(kind.replace(" ", "-")) for kind in FILES}
    files = {kind: make(folders[kind]) for kind, make in FILES.items()}
    listed = {f"a/{name}": content for name, content in PICTURES.items()}
    with bucket() as store, server(listed) as raw:
        for name, content in PICTURES.items():
            store.pipe_file(f"/bucket/set/{name}", content)
        shard = as_tar(tmp_path_factory.mktemp("shard"))
        store.pipe_file("/bucket/shard.tar", shard.read_bytes())
        addresses = tmp_path_factory.mktemp("addresses") / "list.csv"
        with addresses.open("w", newline="") as file:
            rows = ([f"{raw.url}/a/{name}", class_of(name)] for name in PICTURES)
            csv.writer(file).writerows([["url", "label"], *rows])
        yield [
            *(files[kind] for kind in ("folder", "zip", "tar", "packed tar", "CSV", "JSON lines")),
            addresses,
            *(files[kind] for kind in ("Parquet", "Arrow", "TIFF", "PDF")),
            "s3://bucket/set",
            "s3://bucket/shard.tar",
            f"{raw.url}/a/",
            DataSet(),
        ]


def table() -> list[list[str]]:
    lines = Path("docs/sources.md").read_text("utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(HEAD))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return [rows[0], *rows[2:]]


HEADER, *ROWS = table()


@pytest.fixture(scope="module")
def classifier(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip, device="cpu", threads=1)


def by_classify(classifier: unseen.Classifier, source: Any, folder: Path) -> int:
    rows = list(classifier.classify_many(source, LABELS))
    assert all(row.ok for row in rows) and {row.label for row in rows} == {*LABELS}
    return len(rows)


def by_embed(classifier: unseen.Classifier, source: Any, folder: Path) -> int:
    return len(classifier.encoder.encode_images(source))


def by_index(classifier: unseen.Classifier, source: Any, folder: Path) -> int:
    with unseen.Index(folder) as index:
        report = index.update(classifier.encoder, [source])
        assert report.failed == 0
        hit = index.view(classifier).search("a photo of a red circle", top=1)[0]
        assert unseen.open_image(index.address(hit.paths[0])).width == hit.width
        return report.encoded


def by_label(classifier: unseen.Classifier, source: Any, folder: Path) -> int:
    with unseen.label(classifier, source, LABELS, sure=0.0) as labelling:
        return sum(labelling.status().piles.values())


def by_eval(classifier: unseen.Classifier, source: Any, folder: Path) -> int:
    return unseen.evaluate(classifier, source, use_index=False).pictures


def by_organize(classifier: unseen.Classifier, source: Any, folder: Path) -> int:
    done = unseen.organize(classifier, source, LABELS, folder / "into")
    again = unseen.organize(classifier, source, LABELS, folder / "into")
    assert len(again.steps) == 0 and again.present == len(done.steps)
    return len([*(folder / "into").glob("a */*.*")])


def by_job(classifier: unseen.Classifier, source: Any, folder: Path) -> int:
    job = plan(classifier, source, folder / "job", LABELS)
    work(job, Session.load(job, {"device": "cpu", "threads": 1}))
    assert verify(job).ok
    return job.pictures


COMMANDS: dict[str, Callable[[unseen.Classifier, Any, Path], int]] = {
    "classify": by_classify,
    "embed": by_embed,
    "index": by_index,
    "label": by_label,
    "eval": by_eval,
    "organize": by_organize,
    "job plan": by_job,
}
REFUSALS = {
    "by index": "unseen index FOLDER",
    "no labels": "no picture has a label",
    "no": "to_parquet",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("row", range(len(ROWS)), ids=[re.sub(r"\W+", "-", r[0]) for r in ROWS])
def test_a_cell_of_the_table(
    row: int,
    command: str,
    sources: list[Any],
    classifier: unseen.Classifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UNSEEN_INDEX_HOME", str(tmp_path / "indexes"))
    cell = ROWS[row][HEADER.index(f"`{command}`")]
    if cell in REFUSALS:
        with pytest.raises(unseen.SourceError, match=REFUSALS[cell]):
            COMMANDS[command](classifier, sources[row], tmp_path)
        return
    assert cell in ("yes", "copies")
    assert COMMANDS[command](classifier, sources[row], tmp_path) == len(PICTURES)


def test_what_cannot_be_moved_is_said(classifier: unseen.Classifier, tmp_path: Path) -> None:
    with pytest.raises(unseen.SourceError, match="copied, but not moved"):
        unseen.organize(classifier, as_tar(tmp_path), LABELS, tmp_path / "into", how="move")
    assert not (tmp_path / "into").exists()


def test_every_row_has_its_source() -> None:
    assert len(ROWS) == 15 and HEADER[1:] == [f"`{command}`" for command in COMMANDS]
