"""Archives and tables in a store, and listings of a server: read as those of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import unseen
from many_sources import FILES, PICTURES, Bucket, bucket, server
from unseen.images.open import open_image
from unseen.sources.expand import count, expand, left_out
from unseen.sources.registry import reader_of

PARTS = ["zip", "tar", "packed tar", "Parquet", "Arrow", "PDF"]


@pytest.fixture
def store() -> Iterator[Bucket]:
    with bucket() as store:
        yield store


@pytest.mark.parametrize("kind", PARTS)
def test_a_container_in_a_store(store: Bucket, tmp_path: Path, kind: str) -> None:
    path = FILES[kind](tmp_path)
    store.pipe_file(f"/bucket/{path.name}", path.read_bytes())
    address = f"s3://bucket/{path.name}"
    here, there = list(expand(path)), list(expand(address))
    keys = [(item.key or item.name).removeprefix(str(path)) for item in here]
    assert [item.key or item.name for item in there] == [address + key for key in keys]
    assert [item.meta for item in there] == [item.meta for item in here]
    for one, other in zip(here, there, strict=True):
        picture = np.asarray(open_image(one.content))
        assert np.array_equal(picture, np.asarray(open_image(other.content)))
        assert np.array_equal(picture, np.asarray(open_image(other.key or other.name)))
    assert left_out(address).get("picture", 0) == 0


def test_a_list_in_a_store_names_what_lies_beside_it(store: Bucket) -> None:
    for name, content in PICTURES.items():
        store.pipe_file(f"/bucket/set/{name}", content)
    rows = "\n".join(f"{name},{i}" for i, name in enumerate(PICTURES))
    store.pipe_file("/bucket/set/list.csv", f"path,number\n{rows}\n".encode())
    items = list(expand("s3://bucket/set/list.csv"))
    assert [item.name for item in items] == [f"s3://bucket/set/{name}" for name in PICTURES]
    assert items[3].meta == {"row": 4, "number": "3"}
    assert all(open_image(item.content).size for item in items)


def test_a_pattern_of_a_store(store: Bucket) -> None:
    for name, content in PICTURES.items():
        store.pipe_file(f"/bucket/{name}", content)
    names = [item.name for item in expand("s3://bucket/*/0.png")]
    assert names == ["s3://bucket/blue_star/0.png", "s3://bucket/red_circle/0.png"]
    (nothing,) = expand("s3://bucket/*/none.png")
    with pytest.raises(unseen.SourceError, match="nothing at this address"):
        open_image(nothing.content)


def test_what_is_not_there_in_a_store_is_an_item(store: Bucket) -> None:
    for name in ("a.zip", "a.tar", "a.parquet", "a.csv", "a.pdf"):
        (item,) = expand(f"s3://bucket/{name}")
        with pytest.raises(unseen.SourceError, match=rf"a\.{name[2:]}"):
            open_image(item.content)


def test_a_listing_of_a_server_is_followed_down_and_never_up() -> None:
    files = {f"pictures/{name}": content for name, content in PICTURES.items()}
    files |= {"secret/up.png": b"", "pictures/note.txt": b"", "pictures/.hidden.png": b""}
    with server(files) as raw:
        root = f"{raw.url}/pictures/"
        items = list(expand(root))
        assert sorted(item.name for item in items) == sorted(f"{root}{name}" for name in PICTURES)
        assert all(open_image(item.content).size for item in items)
        assert count(root) is None
        asked = {request.split()[1].decode() for request in raw.requests}
        assert not any("secret" in path for path in asked)


def test_a_listing_that_cannot_be_had_is_an_item() -> None:
    with server({}) as raw:
        port = raw.port
    (item,) = expand(f"http://127.0.0.1:{port}/none/")
    with pytest.raises(unseen.SourceError, match="cannot be reached"):
        open_image(item.content)


def test_what_is_read_as_what() -> None:
    def kind(source: object) -> str:
        reader = reader_of(source)
        return "" if reader is None else reader.function.rpartition(".")[2]

    assert kind("s3://b/a.tar") == "read_tar" and kind("s3://b/*.tar") == "read_store"
    assert kind("gs://b/a.tif") == "read_store" and kind("az://b/a/") == "read_store"
    assert kind("https://h/a.parquet") == "read_parquet" and kind("https://h/a.png") == ""
    assert kind("https://h/a/") == "read_web_folder" and kind("https://h") == ""
    assert kind("https://h/a.tif") == "" and kind("ftp://h/a.zip") == ""
