"""Repositories of several formats: what is fetched of each, and that it loads without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

import checkpoints
import hf_checkpoints
import openclip_checkpoints
from fake_hub import Hub

CODE = """
import json, sys
import numpy as np
import unseen
from unseen.models import hub
here = hub.is_here("org/tiny")
classifier = unseen.load("org/tiny")
folder = hub.locate("org/tiny").folder
row = classifier.classify(np.full((40, 50, 3), 90, np.uint8), ["a cat", "a dog"])
print(json.dumps({"files": sorted(p.name for p in folder.iterdir()), "before": here,
    "after": hub.is_here("org/tiny"), "family": classifier.model.family, "scores": [
    r["score"] for r in row], "fingerprint": classifier.model.fingerprint}))
"""


def both(folder: Path) -> None:
    """As LAION's: transformers' format, and OpenCLIP's beside it."""
    openclip_checkpoints.openclip(folder)
    checkpoints.clip(folder)


def timm(folder: Path) -> None:
    """As timm's: a config.json and weights that are neither's, and OpenCLIP's beside them."""
    openclip_checkpoints.openclip(folder, "timm clip")
    (folder / "config.json").write_text(json.dumps({"architecture": "vit_base_patch32_clip_224"}))
    (folder / "model.safetensors").write_bytes(b"timm's own")


REPOSITORIES: dict[str, tuple[Callable[[Path], object], str, set[str], set[str]]] = {
    "openclip": (
        lambda folder: openclip_checkpoints.openclip(folder),
        "openclip",
        {"open_clip_config.json", "open_clip_model.safetensors", "vocab.json", "merges.txt"},
        set(),
    ),
    "openclip, a torch archive": (
        lambda folder: openclip_checkpoints.openclip(folder, "xlm-roberta", weights="bin"),
        "openclip",
        {"open_clip_config.json", "open_clip_pytorch_model.bin", "sentencepiece.bpe.model"},
        set(),
    ),
    "both": (both, "clip", {"model.safetensors", "config.json"}, {"open_clip_model.safetensors"}),
    "timm": (timm, "openclip", {"open_clip_model.safetensors"}, {"model.safetensors"}),
    "siglip": (
        lambda folder: hf_checkpoints.siglip(folder),
        "siglip",
        {"model.safetensors", "spiece.model", "tokenizer_config.json"},
        set(),
    ),
    "chinese_clip": (
        lambda folder: hf_checkpoints.chinese_clip(folder),
        "chinese_clip",
        {"model.safetensors", "vocab.txt"},
        set(),
    ),
}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """A hub of our own with one repository."""
    servers = []

    def start(folder: Path) -> str:
        kind = type("OneHub", (Hub,), {"folder": folder, "requests": []})
        httpd = ThreadingHTTPServer(("127.0.0.1", 0), kind)
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        servers.append(httpd)
        return f"http://127.0.0.1:{httpd.server_port}"

    yield start
    for httpd in servers:
        httpd.shutdown()
        httpd.server_close()


@pytest.mark.parametrize("kind", REPOSITORIES)
def test_what_is_fetched_loads_without_a_network(
    kind: str, tmp_path: Path, serve: Callable[[Path], str]
) -> None:
    make, family, needed, superfluous = REPOSITORIES[kind]
    make(tmp_path / "repository")
    (tmp_path / "repository" / "README.md").write_text("not needed")
    settings = {
        **os.environ,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    outputs = []
    for endpoint in (serve(tmp_path / "repository"), "http://127.0.0.1:9"):
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            env={**settings, "HF_ENDPOINT": endpoint},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        outputs.append(json.loads(done.stdout))
    first, offline = outputs
    assert first["family"] == family and not first["before"] and first["after"]
    assert needed <= set(first["files"])
    assert not (superfluous | {"README.md"}) & set(first["files"])
    # A first answer may come from a net whose weights are not arranged yet: 1e-7 apart.
    assert offline.pop("scores") == pytest.approx(first.pop("scores"), abs=1e-6)
    assert offline["before"] and {**offline, "before": False} == first
    shutil.rmtree(tmp_path / "repository")
