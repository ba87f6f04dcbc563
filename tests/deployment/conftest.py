"""What the tests of exported classifiers share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

import unseen
from unseen.deployment.web_runtime import runtime_files
from unseen.errors import SourceError

if TYPE_CHECKING:
    from browsers import Browser

FOLDER = "UNSEEN_TESTS_ORT_WEB"  # a folder of the npm package, for machines without a registry


def _runtime(*, webgpu: bool) -> Path:
    name = "onnxruntime-web-webgpu" if webgpu else "onnxruntime-web"
    folder = Path(os.environ["UNSEEN_TESTS_RUN"]) / name
    given = os.environ.get(FOLDER)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            try:
                files = runtime_files(None if given is None else Path(given), webgpu=webgpu)
            except SourceError as error:
                pytest.skip(f"the runtime cannot be fetched: {error}")
            folder.mkdir()
            for file, content in files.items():
                (folder / file).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def runtime() -> Path:
    """ONNX Runtime Web, fetched once a run; skips where npm's registry cannot be reached."""
    return _runtime(webgpu=False)


@pytest.fixture(scope="session")
def webgpu_runtime() -> Path:
    """Its larger build."""
    return _runtime(webgpu=True)


@pytest.fixture(scope="module")
def classifier() -> unseen.Classifier:
    return unseen.load(exact=True)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    from browsers import Browser, chromium

    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with chromium(tmp_path_factory.mktemp("profile"), *camera) as driver:
        driver.set_script_timeout(180)
        yield Browser(driver)
