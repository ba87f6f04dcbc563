"""What every test shares: a home of its own, checkpoints made once a session."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import broken_torchvision
from environments import python_with

# Set before anything is imported, for this process and for those that tests start.
_HOME = tempfile.TemporaryDirectory(prefix="unseen-tests-")
os.environ["UNSEEN_HOME"] = str(Path(_HOME.name) / "home")
if "UNSEEN_TESTS_RUN" not in os.environ:  # shared with the workers of this run, and gone with it
    _RUN = tempfile.TemporaryDirectory(prefix="unseen-tests-run-")
    os.environ["UNSEEN_TESTS_RUN"] = _RUN.name
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Tests run side by side, and OpenMP's threads wait for one another by spinning: on two cores that
# other work shares, one network in torch took 522 s with two threads, and 35 s with one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

broken_torchvision.mend()

SDK = "inference-sdk==1.8.3"  # it wants Pillow before 13, and numpy before 2.4
REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty $UNSEEN_HOME for this test alone."""
    home = tmp_path / "home"
    monkeypatch.setenv("UNSEEN_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def shapes_clip() -> Path:
    """The small trained CLIP: the checkpoint with meaning."""
    return REPOSITORY / "tests" / "fixtures" / "shapes-clip"


@pytest.fixture(scope="session")
def photographs() -> Path:
    """Labelled photographs: a folder a label."""
    return REPOSITORY / "tests" / "photographs"


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """Python of an environment that has Roboflow's SDK; skips where it cannot be installed."""
    return python_with("inference-sdk", SDK)


@pytest.fixture(scope="session", autouse=True)
def _quiet_judges() -> Iterator[None]:
    """The judges' own deprecations are not ours to mend."""
    with warnings.catch_warnings():
        yield
