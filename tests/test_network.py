"""Golden facts of the published checkpoints. They need the real hub: skipped, with the reason,
where it cannot be reached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from importlib import resources

import pytest

pytestmark = pytest.mark.network

GOLDEN = json.loads(resources.files("unseen").joinpath("data/golden.json").read_text("utf-8"))


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["id"])
def test_what_was_published_is_what_we_compute(row: dict[str, object]) -> None:
    for url in ("https://huggingface.co/api/models/openai/clip-vit-base-patch32", row["picture"]):
        try:
            urllib.request.urlopen(str(url), timeout=5).close()
        except (urllib.error.URLError, OSError) as error:
            pytest.skip(f"no network: {url} cannot be reached ({error})")
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    command = [sys.executable, "-m", "unseen", "models", "verify", str(row["id"]), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["published"]["ok"] is True
