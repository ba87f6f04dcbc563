"""Clients of other projects, unchanged, against a server: each in an environment of its own.

Those that take minutes to install run where $UNSEEN_TEST_CLIENTS says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from asking import png
from environments import node_with, python_with

pytestmark = pytest.mark.network

SCRIPTS = Path(__file__).with_name("clients")
LARGE = pytest.mark.skipif(
    not os.environ.get("UNSEEN_TEST_CLIENTS"), reason="$UNSEEN_TEST_CLIENTS is not set"
)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("infinity", "infinity-client==0.0.78"),
        pytest.param("langchain", "langchain-openai==1.7.4", marks=LARGE),
        pytest.param("llama_index", "llama-index-embeddings-openai==0.7.0", marks=LARGE),
        pytest.param("litellm", "litellm==1.83.0", marks=LARGE),
    ],
)
def test_python(name: str, package: str, url: str, shapes_clip: Path) -> None:
    python = python_with(name, package)
    script = SCRIPTS / "python_clients.py"
    done = subprocess.run(
        [python, "-I", script, name, url, str(shapes_clip)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.endswith("ok\n"), done.stderr


def test_javascript(url: str, tmp_path: Path) -> None:
    """openai and @huggingface/inference."""
    folder = node_with("node", "openai@6", "@huggingface/inference@4")
    script = shutil.copy(SCRIPTS / "javascript_clients.mjs", folder)
    picture = tmp_path / "red.png"
    picture.write_bytes(png("red circle"))
    done = subprocess.run(
        ["node", script, url, picture], capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "ok\n", done.stderr
