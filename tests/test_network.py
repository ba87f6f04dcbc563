"""Golden facts of the published checkpoints. They need the real hub: skipped, with the reason,
where it cannot be reached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

pytestmark = pytest.mark.network

# COCO val2017 000000039769: two cats on a couch, the picture of transformers' own examples.
CATS = "http://images.cocodataset.org/val2017/000000039769.jpg"
PROMPTS = ["a photo of a cat", "a photo of a dog"]

# logits_per_image as the model pages of transformers print them.
GOLDEN = {
    "openai/clip-vit-base-patch32": (24.57, 19.30),
    "openai/clip-vit-large-patch14": (18.9, 11.7),
}

CODE = """
import json, sys, unseen
from unseen import score
model, picture, *prompts = sys.argv[1:]
clf = unseen.load(model)
cosines = score.cosines(clf.encode_images([picture]), clf.encode_texts(prompts))
print(json.dumps(score.logits(cosines, clf.model.score)[0].tolist()))
"""


@pytest.fixture(scope="module", autouse=True)
def _reachable() -> None:
    for url in ("https://huggingface.co/api/models/openai/clip-vit-base-patch32", CATS):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, OSError) as error:
            pytest.skip(f"no network: {url} cannot be reached ({error})")


@pytest.mark.parametrize("model", GOLDEN)
def test_two_cats(model: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    command = [sys.executable, "-c", CODE, model, CATS, *PROMPTS]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == pytest.approx(GOLDEN[model], abs=0.15)
