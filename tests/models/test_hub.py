"""Ids, folders, revisions, offline: against a hub of our own on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

import checkpoints
from fake_hub import COMMIT, Hub
from unseen.errors import ModelError
from unseen.models import catalog, hub
from unseen.models.checkpoint import fingerprint


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    Hub.folder = checkpoints.clip(tmp_path_factory.mktemp("hub") / "tiny")
    (Hub.folder / "README.md").write_text("not needed")
    Hub.requests = []
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}", Hub.requests
    httpd.shutdown()
    httpd.server_close()


def locate(
    model: str, endpoint: str, home: Path, before: str = "", **environment: str
) -> tuple[int, str]:
    """In a process of its own, as that library reads its settings once."""
    code = """
import sys
from unseen.errors import ModelError
from unseen.models import hub
from unseen.models.checkpoint import fingerprint
exec(sys.argv[2])
try:
    found = hub.locate(sys.argv[1])
    print(sorted(p.name for p in found.folder.iterdir()), fingerprint(found))
except ModelError as error:
    print(error)
    sys.exit(9)
"""
    settings = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        **environment,
    }
    run = subprocess.run(
        [sys.executable, "-c", code, model, before], env=settings, capture_output=True, text=True
    )
    assert run.returncode in (0, 9), run.stderr
    return run.returncode, run.stdout.strip()


def test_download_then_offline_and_no_second_question(
    server: tuple[str, list[str]], tmp_path: Path
) -> None:
    endpoint, requests = server
    status, first = locate("org/tiny", endpoint, tmp_path)
    assert status == 0, first
    assert "model.safetensors" in first and "config.json" in first and "vocab.json" in first
    assert "README" not in first and "msgpack" not in first
    before = len(requests)
    assert locate("org/tiny", endpoint, tmp_path) == (0, first)
    assert requests[before:] == []  # what is here is used without asking
    assert locate("org/tiny", endpoint, tmp_path, HF_HUB_OFFLINE="1") == (0, first)
    assert locate("org/tiny", "http://127.0.0.1:9", tmp_path) == (0, first)


def test_a_revision_is_asked_for(server: tuple[str, list[str]], tmp_path: Path) -> None:
    endpoint, requests = server
    status, output = locate(f"org/tiny@{COMMIT}", endpoint, tmp_path)
    assert status == 0, output
    assert any(COMMIT in path for path in requests)
    status, output = locate("org/tiny@v9", endpoint, tmp_path)
    assert status == 9 and "no revision 'v9'" in output


@pytest.mark.parametrize(
    "model, words",
    [
        ("org/missing", "no such model"),
        ("org/private", "hf auth login"),
        ("org/gated", "accept a licence"),
    ],
)
def test_what_the_hub_refuses_is_one_line(
    model: str, words: str, server: tuple[str, list[str]], tmp_path: Path
) -> None:
    status, output = locate(model, server[0], tmp_path)
    assert status == 9 and words in output and "\n" not in output


def test_no_network_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    for settings in ({}, {"HF_HUB_OFFLINE": "1"}):
        status, output = locate("org/tiny", "http://127.0.0.1:9", tmp_path, **settings)
        assert status == 9 and "\n" not in output
        assert "HF_HOME" in output and "folder" in output


def test_an_interrupted_download_is_finished(server: tuple[str, list[str]], tmp_path: Path) -> None:
    endpoint, _ = server
    status, first = locate("org/tiny", endpoint, tmp_path)
    assert status == 0, first
    (snapshot,) = tmp_path.glob("hub/models--*/snapshots/*")
    for name in ("vocab.json", "preprocessor_config.json", "model.safetensors"):
        (snapshot / name).unlink()
        assert locate("org/tiny", endpoint, tmp_path) == (0, first)
        assert (snapshot / name).exists()
    (snapshot / "vocab.json").unlink()
    status, output = locate("org/tiny", endpoint, tmp_path, HF_HUB_OFFLINE="1")
    assert status == 9 and "HF_HUB_OFFLINE is set" in output and "\n" not in output


def test_a_hub_that_says_nothing(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        code = "hub.NETWORK_SECONDS = 0.5"
        status, output = locate("org/tiny", endpoint, tmp_path, before=code)
    assert status == 9 and "Timeout" in output and "\n" not in output


def test_a_cache_that_cannot_be_written(server: tuple[str, list[str]], tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("in the way")
    status, output = locate("org/tiny", server[0], tmp_path)
    assert status == 9 and "cannot be kept" in output and "\n" not in output


def test_the_commit_is_known(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--tiny" / "snapshots" / COMMIT
    assert hub.Checkpoint("org/tiny", snapshot, "main").commit == COMMIT
    assert hub.Checkpoint("x", tmp_path).commit is None


ODD_IDS = ["a/..", "a/b--c", "org/x.", "-a/b", "org/x y", "x" * 97 + "/y", "org/tiny/"]


@pytest.mark.parametrize(
    "model", ["nonsense", "./nowhere", "/nowhere/at/all", "a/b/c", "", "org/", *ODD_IDS]
)
def test_neither_a_folder_nor_an_id(model: str) -> None:
    with pytest.raises(ModelError, match="neither a folder nor a hub id"):
        hub.locate(model)


@pytest.mark.parametrize("revision", ["../x", "a/../../b", "/etc", "a b", "\n", ".hidden"])
def test_a_revision_is_no_path(revision: str) -> None:
    for ask in ({"model": f"org/tiny@{revision}"}, {"model": "org/tiny", "revision": revision}):
        with pytest.raises(ModelError, match="invalid revision"):
            hub.locate(**ask)


def test_a_file_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="give the folder that holds it"):
        hub.locate(str(path))


def test_did_you_mean() -> None:
    with pytest.raises(ModelError, match="Did you mean openai/clip-vit-base-patch"):
        hub.locate("openai-clip-vit-base-patch32")
    for name, meant in (  # before the network is blamed
        ("openai/clip-vit-base-patch31", "openai/clip-vit-base-patch32"),
        ("ViT-B-32/laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
    ):
        with pytest.raises(ModelError, match=f"did you mean {meant}.*HF_HUB"):
            hub.locate(name)
    with pytest.raises(ModelError, match=r"^openai/clip-vit-base-patch32 is not a folder here"):
        hub.locate("openai/clip-vit-base-patch32")


def test_a_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    a = hub.locate(str(checkpoints.clip(tmp_path / "a")))
    b = hub.locate(shutil.copytree(a.folder, tmp_path / "b").as_posix())
    assert fingerprint(a) == fingerprint(b)
    path = b.folder / "preprocessor_config.json"
    path.write_text(path.read_text().replace("0.4821", "0.4822").replace("0.48145", "0.48146"))
    assert fingerprint(a) != fingerprint(b)


def test_an_unknown_family_and_missing_files_say_so(tmp_path: Path) -> None:
    import unseen

    folder = checkpoints.clip(tmp_path / "a")
    config = folder / "config.json"
    text = config.read_text()
    config.write_text(text.replace('"model_type": "clip"', '"model_type": "blip"'))
    with pytest.raises(ModelError, match="model_type 'blip'"):
        unseen.load(folder)
    config.write_text("{")
    with pytest.raises(ModelError, match="not readable JSON"):
        unseen.load(folder)
    config.unlink()
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        unseen.load(folder)
    config.write_text(text)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"preprocessor_config\.json is missing"):
        unseen.load(folder)


def test_the_table_is_well_formed() -> None:
    ids = [model.id for model in catalog.models()]
    assert ids[0] == "builtin" and len(set(ids)) == len(ids)
    for model in catalog.models():
        assert (model.imagenet_top1 is None) == (model.source is None)
        assert model.id == "builtin" or "/" in model.id
