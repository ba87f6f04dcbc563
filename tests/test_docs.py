"""Every code block of the README and the docs runs, and the CLI reference is up to date."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import unseen
from serving import commanded

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(page.read_text("utf-8")) if kind == language]


SDK = "inference_sdk"
SERVER = "http://localhost:8000"  # where pages find one; here it is at another port


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with an index, for the pages that speak of one."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(ROOT / "examples", folder, dirs_exist_ok=True)
    with unseen.Index(folder) as index:
        index.update(unseen.load().encoder)
    with commanded("--index", str(folder), UNSEEN_HOME=str(folder / "home")) as server:
        yield server.url


def ready(block: str, request: pytest.FixtureRequest) -> str:
    return block.replace(SERVER, request.getfixturevalue("served")) if SERVER in block else block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python(
    page: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(ROOT)
    # Its client would not ask even loopback, and would ask the hub who it is.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", page.name != "clients.md")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)
    space: dict[str, Any] = {}
    for block in blocks(page, "python"):
        if SDK in block:
            continue  # it has an environment of its own, and the test below
        exec(compile(ready(block, request), page.name, "exec"), space)


@pytest.mark.network
def test_python_of_the_roboflow_sdk(sdk_python: Path, request: pytest.FixtureRequest) -> None:
    found = [block for page in PAGES for block in blocks(page, "python") if SDK in block]
    assert found
    for block in found:
        run = [sdk_python, "-I", "-c", ready(block, request)]
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_bash(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """In a folder where the examples are, and nothing that is written is kept."""
    for name in ("examples", "tests", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for block in blocks(page, "bash"):
        done = subprocess.run(
            [
                "bash",
                "-euo",
                "pipefail",
                "-c",
                ready(block, request).replace("curl -s", "curl -sf"),
            ],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, block + done.stdout + done.stderr


MODULES = [
    module.name
    for module in pkgutil.walk_packages(unseen.__path__, "unseen.")
    if module.name != "unseen.__main__"
]


@pytest.mark.parametrize("name", ["unseen", *MODULES])
def test_examples_of_docstrings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0  # what was expected stands above, in the output of this test


def test_fences_are_of_known_languages() -> None:
    """So that no block is left out of these tests by a slip; `text` is shown, and not run."""
    kinds = {kind for page in PAGES for kind, _ in FENCE.findall(page.read_text("utf-8"))}
    assert kinds <= {"python", "bash", "text"}


def test_the_reference_is_that_of_the_help() -> None:
    run = [sys.executable, str(ROOT / "tools" / "cli_reference.py"), "--check"]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_has_one_title() -> None:
    """A line of its own at the top, and no other: sections are of lower rank."""
    for page in PAGES:
        text = FENCE.sub("", page.read_text("utf-8"))
        assert text.startswith("# "), page.name
        assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1, page.name
