"""What `unseen cache info` counts."""

from __future__ import annotations

from pathlib import Path

import checkpoints
import unseen
from unseen.diagnostics.cache_contents import NETWORKS, cache_contents


def test_a_compiled_network_is_counted_once(fresh_home: Path, tmp_path: Path) -> None:
    def networks() -> int:
        (part,) = (part for part in cache_contents().parts if part.name == NETWORKS)
        return part.count

    assert networks() == 0
    classifier = unseen.load(checkpoints.clip(tmp_path / "clip"))
    classifier.encode_texts(["a cat"])
    assert networks() == 1
    classifier.encode_images(["examples/cat.jpg"])
    assert networks() == 2  # not the folders that say how near each is to the reference
