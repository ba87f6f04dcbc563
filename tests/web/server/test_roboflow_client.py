"""The Roboflow SDK, unchanged, against a server.

It holds Pillow and numpy back, so it has an environment of its own, which is made once a run.
"""

from __future__ import annotations

import base64
import json
import subprocess
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shapes
from asking import KEY, ask, b64, png
from unseen import Classifier

pytestmark = pytest.mark.network
SUBJECT = "a red circle"
PROMPTS = ["blue square", "a red circle", "red circle"]


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "picture.png"
    path.write_bytes(png(SUBJECT))
    return str(path)


class SdkRefusedError(Exception):
    """What the SDK raised of an answer: its status, and what it tells people."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class SdkProcess:
    """Where the SDK runs: a call is one of its client's methods there."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [python, "-I", Path(__file__).with_name("roboflow_sdk.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, **call: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline())
        assert "failed" not in found, found["failed"]
        assert found["strangers"] == []
        if "refused" in found:
            raise SdkRefusedError(*found["refused"])
        return found["answer"]

    def end(self) -> None:
        self._process.communicate(timeout=30)


class Client:
    """An `InferenceHTTPClient`, made anew for each call."""

    def __init__(
        self,
        process: SdkProcess,
        url: str,
        key: str | None = None,
        *,
        v0: bool = False,
        **settings: Any,
    ) -> None:
        self._call = partial(process.call, url=url, key=key, v0=v0, settings=settings)

    def __getattr__(self, method: str) -> Any:
        return lambda *arguments, **named: self._call(
            method=method, arguments=arguments, named=named
        )


@pytest.fixture(scope="session")
def sdk(sdk_python: Path) -> Iterator[partial[Client]]:
    """Makes a client of an address."""
    process = SdkProcess(sdk_python)
    yield partial(Client, process)
    process.end()


def image_rows(classifier: Classifier, *labels: str) -> np.ndarray:
    return classifier.encode_images([png(label) for label in labels])


def test_similarities_are_cosines_in_the_order_of_the_prompts(
    sdk: Any, url: str, picture: str, classifier: Classifier
) -> None:
    answer = sdk(url).clip_compare(subject=picture, prompt=PROMPTS)
    expected = (image_rows(classifier, SUBJECT) @ classifier.encode_texts(PROMPTS).T)[0]
    assert np.abs(np.array(answer["similarity"]) - expected).max() < 1e-6
    assert set(answer) == {"similarity", "time", "inference_id", "frame_id", "parent_id"}
    assert answer["time"] > 0 and uuid.UUID(answer["inference_id"])
    assert np.argmax(answer["similarity"]) == 1


@pytest.mark.parametrize("subject_type", ["image", "text"])
@pytest.mark.parametrize("prompt_type", ["image", "text"])
def test_all_four_pairs_of_types(
    sdk: Any, url: str, tmp_path: Path, classifier: Classifier, subject_type: str, prompt_type: str
) -> None:
    labels = ["a blue square", "a red circle"]
    paths = []
    for label in labels:
        paths.append(str(tmp_path / f"{label}.png"))
        Path(paths[-1]).write_bytes(png(label))
    given = {"image": paths, "text": labels}
    rows = {"image": image_rows(classifier, *labels), "text": classifier.encode_texts(labels)}
    answer = sdk(url).clip_compare(
        subject=given[subject_type][1],
        prompt=given[prompt_type],
        subject_type=subject_type,
        prompt_type=prompt_type,
    )
    expected = rows[prompt_type] @ rows[subject_type][1]
    assert np.abs(np.array(answer["similarity"]) - expected).max() < 1e-6


def test_one_prompt_one_picture_as_prompt_and_named_prompts(
    sdk: Any, url: str, picture: str
) -> None:
    assert len(sdk(url).clip_compare(picture, "red circle")["similarity"]) == 1
    # The SDK makes one object of a list of one picture.
    same = sdk(url).clip_compare(picture, [picture], prompt_type="image")["similarity"]
    assert same == pytest.approx([1.0], abs=1e-6)
    named = {"warm": "a red circle", "cold": "a blue circle"}
    body = {"subject": {"type": "base64", "value": b64(SUBJECT)}, "prompt": named}
    _, answer, _ = ask(f"{url}/clip/compare", body)
    listed = sdk(url).clip_compare(picture, [*named.values()])["similarity"]
    assert answer["similarity"] == dict(zip(named, listed, strict=True))


def test_embeddings_whose_cosine_is_that_of_compare(
    sdk: Any, url: str, picture: str, classifier: Classifier
) -> None:
    images = sdk(url).get_clip_image_embeddings(picture)
    texts = sdk(url).get_clip_text_embeddings(PROMPTS)
    assert np.allclose(images["embeddings"], image_rows(classifier, SUBJECT), atol=1e-6)
    assert np.allclose(texts["embeddings"], classifier.encode_texts(PROMPTS), atol=1e-6)
    a, b = np.array(images["embeddings"][0]), np.array(texts["embeddings"])
    cosines = b @ a / np.linalg.norm(a) / np.linalg.norm(b, axis=1)
    compared = sdk(url).clip_compare(picture, PROMPTS)["similarity"]
    assert np.abs(cosines - compared).max() < 1e-6
    one = sdk(url).get_clip_text_embeddings("red circle")["embeddings"]
    assert np.shape(one) == (1, 64)


def test_batches_and_concurrent_requests_keep_their_order(
    sdk: Any, url: str, tmp_path: Path, classifier: Classifier
) -> None:
    labels = shapes.labels()[:7]
    paths = []
    for label in labels:
        paths.append(str(tmp_path / f"{label}.png"))
        Path(paths[-1]).write_bytes(png(label))
    expected = image_rows(classifier, *labels)
    for settings in ({"max_batch_size": 3}, {"max_concurrent_requests": 4}):
        answers = sdk(url, **settings).get_clip_image_embeddings(paths)
        found = np.vstack([answer["embeddings"] for answer in answers])
        assert np.abs(found - expected).max() < 1e-6, settings


def test_more_than_eight_prompts(sdk: Any, url: str, picture: str) -> None:
    assert len(sdk(url).clip_compare(picture, shapes.labels())["similarity"]) == 80


def test_pictures_as_pil_and_numpy(sdk: Any, url: str, picture: str) -> None:
    for kind in ("pil", "bgr"):
        answer = sdk(url).clip_compare({kind: picture}, ["a blue circle", "a red circle"])
        assert np.argmax(answer["similarity"]) == 1


def test_what_people_see_of_a_bad_picture(sdk: Any, url: str, tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    path.write_bytes(png(SUBJECT)[:200])
    with pytest.raises(SdkRefusedError) as caught:
        # As base64, so that the SDK does not open it itself.
        sdk(url).clip_compare(base64.b64encode(path.read_bytes()).decode(), ["a"])
    assert caught.value.status == 400
    assert "subject 0" in caught.value.message


@pytest.mark.parametrize("transport", ["body", "header", "both", "query"])
def test_every_way_in_which_the_sdk_sends_its_key(
    sdk: Any, locked_url: str, picture: str, transport: str
) -> None:
    ways = {"query": {"v0": True}, "body": {}}
    way = ways.get(transport, {"api_key_transport": transport})
    good = sdk(locked_url, KEY, **way)
    assert good.clip_compare(picture, "a red circle")["similarity"]
    assert good.get_clip_text_embeddings("a")["embeddings"]
    assert good.get_clip_image_embeddings(picture)["embeddings"]
    for key in ("wrong", None):
        with pytest.raises(SdkRefusedError) as caught:
            sdk(locked_url, key, **way).clip_compare(picture, "a red circle")
        assert caught.value.status == 401
        assert "key" in caught.value.message


def test_overload_is_said_and_retried(sdk: Any, busy_url: str, picture: str) -> None:
    with pytest.raises(SdkRefusedError) as caught:
        sdk(busy_url).clip_compare(picture, "a red circle")
    assert caught.value.status == 503
    assert "busy" in caught.value.message
    status, _, headers = ask(f"{busy_url}/clip/embed_text", {"text": "a"})
    assert (status, headers["Retry-After"]) == (503, "1")


def test_server_info(sdk: Any, url: str) -> None:
    info = sdk(url).get_server_info()
    assert info["name"] == "unseen"
    assert uuid.UUID(info["uuid"])
