"""Object stores, through fsspec's own store in memory: no network, the same interface."""

from __future__ import annotations

from collections.abc import Iterator

import fsspec
import pytest

import hostile
import unseen
from many_sources import Bucket
from unseen.images.open import open_image
from unseen.sources.expand import count, expand, left_out

PNG = hostile.encoded("PNG")


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    fsspec.register_implementation("s3", Bucket, clobber=True)
    store = Bucket()
    for name in ("photos/b.png", "photos/a/c.png", "photos/.hidden.png", "photos/film.mp4"):
        store.pipe_file(f"/bucket/{name}", PNG)
    yield store
    Bucket.store.clear()
    fsspec.register_implementation("s3", "s3fs.S3FileSystem", clobber=True)


def test_the_images_below_an_address(bucket: Bucket) -> None:
    sources = list(expand("s3://bucket/photos"))
    assert [s.name for s in sources] == [
        "s3://bucket/photos/a/c.png", "s3://bucket/photos/b.png",
    ]  # fmt: skip
    assert {open_image(source.content).size for source in sources} == {open_image(PNG).size}
    assert left_out("s3://bucket/photos") == {"video": 1, "other": 1}
    assert count("s3://bucket/photos") is None


def test_an_object_by_its_address(bucket: Bucket) -> None:
    (only,) = expand("s3://bucket/photos/b.png")
    assert open_image(only.content).size == open_image(PNG).size


def test_what_is_not_there_is_an_item(bucket: Bucket) -> None:
    (only,) = expand("s3://bucket/nothing/")
    with pytest.raises(unseen.SourceError, match="there is nothing at this address"):
        open_image(only.content)


def test_an_object_that_goes_away_fails_alone(bucket: Bucket) -> None:
    sources = list(expand("s3://bucket/photos"))
    bucket.rm("/bucket/photos/b.png")
    open_image(sources[0].content)
    with pytest.raises(unseen.SourceError, match=r"b\.png"):
        open_image(sources[1].content)
