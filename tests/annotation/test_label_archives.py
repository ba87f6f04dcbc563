"""A labelling of the pictures in an archive, a table or a document: shown, decided, exported."""

from __future__ import annotations

from pathlib import Path

import pytest

import unseen
from many_sources import FILES, LABELS, PICTURES
from unseen.annotation.export import export
from unseen.annotation.labelling import Labelling
from unseen.datasets.readers import read_annotations
from unseen.images.open import open_image
from unseen.web.review.images import ReviewImages


@pytest.mark.parametrize("kind", ["zip", "packed tar", "Parquet", "PDF"])
def test_an_archive_is_labelled_like_a_folder(tmp_path: Path, shapes_clip: Path, kind: str) -> None:
    (tmp_path / "set").mkdir()
    source = FILES[kind](tmp_path / "set")
    (tmp_path / "set" / "beside.png").write_bytes(b"no picture of the archive")
    clf = unseen.load(shapes_clip, device="cpu", threads=1)
    with unseen.label(clf, source, LABELS, sure=0.0) as labelling:
        pictures = list(labelling.pictures())
        assert len(pictures) == len(PICTURES)
        assert all(picture.paths[0].startswith(source.name) for picture in pictures)
        assert {picture.proposed for picture in pictures} == {*LABELS}
        images = ReviewImages(labelling.root)
        for picture in pictures:
            assert images.jpeg(picture, "small").startswith(b"\xff\xd8")
        for picture in pictures:
            labelling.decide(picture.id, "label", LABELS[0])
    with Labelling.open(source) as labelling:
        report = export(labelling, tmp_path / "data", "folders", {"train": 1.0})
        assert report.pictures == len(PICTURES) and not report.failed
        copies = [*(tmp_path / "data").glob("*/*/*.*")]
        assert len(copies) == len(PICTURES)
        assert all(open_image(copy).size for copy in copies)
        listed = export(labelling, tmp_path / "list", "csv", {"train": 1.0})
        assert listed.pictures == len(PICTURES)
        again = read_annotations(labelling.path)
    assert len(again) == len(PICTURES) and {one.labels for one in again} == {(LABELS[0],)}
    assert all(open_image(one.source.content).size for one in again)


def test_a_picture_that_has_changed_in_its_archive_is_not_exported(
    tmp_path: Path, shapes_clip: Path
) -> None:
    (tmp_path / "set").mkdir()
    source = FILES["zip"](tmp_path / "set")
    clf = unseen.load(shapes_clip, device="cpu", threads=1)
    with unseen.label(clf, source, LABELS, sure=0.0) as labelling:
        source.write_bytes(b"no zip file any more")
        with pytest.raises(unseen.SourceError, match="none of 4 pictures could be exported"):
            export(labelling, tmp_path / "data", "folders", {"train": 1.0})
