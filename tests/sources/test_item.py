"""An item: its name, and metadata that any result can be written with."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unseen
from unseen.sources.item import Source, Unreadable, name_of


def test_metadata_is_empty_or_as_given() -> None:
    assert Source("a", b"").meta == {}
    meta: dict[str, Any] = {"frame": 3, "time": 0.1, "url": "https://x", "last": True, "of": None}
    source = Source("film.mp4", b"", meta)
    assert source.meta == meta and pickle.loads(pickle.dumps(source)) == source
    assert source != Source("film.mp4", b"", {"frame": 4})
    assert hash(source) == hash(Source("film.mp4", b""))


@pytest.mark.parametrize("meta", [{"a": [1]}, {"a": np.float32(1)}, {1: "a"}, {"a": Path("b")}])
def test_metadata_that_json_cannot_hold(meta: Any) -> None:
    with pytest.raises(unseen.SourceError, match=r"a\.png: the metadata .* is not allowed"):
        Source("a.png", b"", meta)


def test_what_is_refused_raises_when_it_is_opened() -> None:
    with pytest.raises(unseen.SourceError, match="page 3 is missing"):
        unseen.open_image(Unreadable(unseen.SourceError("page 3 is missing.")))


def test_names() -> None:
    assert name_of(Path("a/b.png"), 3) == str(Path("a/b.png"))
    assert name_of(b"", 3) == "image 3"
    assert len(name_of("a" * 1000, 0)) < 100
