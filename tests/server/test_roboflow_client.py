"""The Roboflow SDK, unchanged, against a server; and the raw form of the articles."""

from __future__ import annotations

import base64
import json
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inference_sdk import InferenceConfiguration, InferenceHTTPClient
from inference_sdk.http.errors import HTTPCallErrorError

import shapes
from asking import KEY, ask, b64, png
from unseen import Classifier

pytestmark = [
    pytest.mark.usefixtures("only_loopback"),
    pytest.mark.filterwarnings("ignore::inference_sdk.config.InferenceSDKGuidanceWarning"),
]

SUBJECT = "a red circle"
PROMPTS = ["blue square", "a red circle", "red circle"]


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "picture.png"
    path.write_bytes(png(SUBJECT))
    return str(path)


def client(url: str, key: str | None = None) -> InferenceHTTPClient:
    return InferenceHTTPClient(api_url=url, api_key=key)


def image_rows(classifier: Classifier, *labels: str) -> np.ndarray:
    return classifier.encode_images([png(label) for label in labels])


def test_similarities_are_cosines_in_the_order_of_the_prompts(
    url: str, picture: str, classifier: Classifier
) -> None:
    answer = client(url).clip_compare(subject=picture, prompt=PROMPTS)
    expected = (image_rows(classifier, SUBJECT) @ classifier.encode_texts(PROMPTS).T)[0]
    assert np.abs(np.array(answer["similarity"]) - expected).max() < 1e-6
    assert set(answer) == {"similarity", "time", "inference_id", "frame_id", "parent_id"}
    assert answer["time"] > 0 and uuid.UUID(answer["inference_id"])
    assert np.argmax(answer["similarity"]) == 1


@pytest.mark.parametrize("subject_type", ["image", "text"])
@pytest.mark.parametrize("prompt_type", ["image", "text"])
def test_all_four_pairs_of_types(
    url: str, tmp_path: Path, classifier: Classifier, subject_type: str, prompt_type: str
) -> None:
    labels = ["a blue square", "a red circle"]
    paths = []
    for label in labels:
        paths.append(str(tmp_path / f"{label}.png"))
        Path(paths[-1]).write_bytes(png(label))
    given = {"image": paths, "text": labels}
    rows = {"image": image_rows(classifier, *labels), "text": classifier.encode_texts(labels)}
    answer = client(url).clip_compare(
        subject=given[subject_type][1],
        prompt=given[prompt_type],
        subject_type=subject_type,
        prompt_type=prompt_type,
    )
    expected = rows[prompt_type] @ rows[subject_type][1]
    assert np.abs(np.array(answer["similarity"]) - expected).max() < 1e-6


def test_one_prompt_one_picture_as_prompt_and_named_prompts(url: str, picture: str) -> None:
    assert len(client(url).clip_compare(picture, "red circle")["similarity"]) == 1
    # The SDK makes one object of a list of one picture.
    same = client(url).clip_compare(picture, [picture], prompt_type="image")["similarity"]
    assert same == pytest.approx([1.0], abs=1e-6)
    named = {"warm": "a red circle", "cold": "a blue circle"}
    body = {"subject": {"type": "base64", "value": b64(SUBJECT)}, "prompt": named}
    _, answer, _ = ask(f"{url}/clip/compare", body)
    listed = client(url).clip_compare(picture, [*named.values()])["similarity"]
    assert answer["similarity"] == dict(zip(named, listed, strict=True))


def test_embeddings_whose_cosine_is_that_of_compare(
    url: str, picture: str, classifier: Classifier
) -> None:
    images = client(url).get_clip_image_embeddings(picture)
    texts = client(url).get_clip_text_embeddings(PROMPTS)
    assert np.allclose(images["embeddings"], image_rows(classifier, SUBJECT), atol=1e-6)
    assert np.allclose(texts["embeddings"], classifier.encode_texts(PROMPTS), atol=1e-6)
    a, b = np.array(images["embeddings"][0]), np.array(texts["embeddings"])
    cosines = b @ a / np.linalg.norm(a) / np.linalg.norm(b, axis=1)
    compared = client(url).clip_compare(picture, PROMPTS)["similarity"]
    assert np.abs(cosines - compared).max() < 1e-6
    one = client(url).get_clip_text_embeddings("red circle")["embeddings"]
    assert np.shape(one) == (1, 64)


def test_batches_and_concurrent_requests_keep_their_order(
    url: str, tmp_path: Path, classifier: Classifier
) -> None:
    labels = shapes.labels()[:7]
    paths = []
    for label in labels:
        paths.append(str(tmp_path / f"{label}.png"))
        Path(paths[-1]).write_bytes(png(label))
    expected = image_rows(classifier, *labels)
    for settings in ({"max_batch_size": 3}, {"max_concurrent_requests": 4}):
        configured = client(url)
        configured.configure(InferenceConfiguration(**settings))
        answers = configured.get_clip_image_embeddings(paths)
        found = np.vstack([answer["embeddings"] for answer in answers])
        assert np.abs(found - expected).max() < 1e-6, settings


def test_more_than_eight_prompts(url: str, picture: str) -> None:
    assert len(client(url).clip_compare(picture, shapes.labels())["similarity"]) == 80


def test_pictures_as_pil_and_numpy(url: str) -> None:
    image = shapes.draw(shapes.scene(SUBJECT), 0)
    bgr = np.asarray(image)[:, :, ::-1]
    for given in (image, bgr):
        answer = client(url).clip_compare(given, ["a blue circle", "a red circle"])
        assert np.argmax(answer["similarity"]) == 1


def raw(url: str, **fields: Any) -> tuple[int, Any]:
    value = fields.pop("value", b64(SUBJECT))
    subject = {"type": fields.pop("type", "base64"), "value": value}
    status, answer, _ = ask(url, {"subject": subject, "prompt": PROMPTS, **fields})
    return status, answer


@pytest.mark.parametrize(
    "value",
    [
        b64(SUBJECT),
        f"data:image/png;base64,{b64(SUBJECT)}",
        base64.encodebytes(png(SUBJECT)).decode(),  # with line breaks
    ],
    ids=["plain", "data-uri", "line-breaks"],
)
def test_the_articles_own_request(url: str, value: str, classifier: Classifier) -> None:
    status, answer = raw(f"{url}/clip/compare?api_key=anything", api_key="anything", value=value)
    assert status == 200
    # The loop of the articles: it starts at 0 and takes what is greater.
    highest, best = 0.0, 0
    for index, similarity in enumerate(answer["similarity"]):
        if similarity > highest:
            highest, best = similarity, index
    assert PROMPTS[best] == "a red circle"


def test_fields_that_are_not_ours_are_let_pass(url: str) -> None:
    status, _ = raw(
        f"{url}/clip/compare?source=x&countinference=false",
        id="1", source="a", clip_version_id="RN50x64", model_id="clip", disable=None,
    )  # fmt: skip
    assert status == 200


@pytest.mark.parametrize("kind", ["numpy", "file", "multipart", "pil"])
def test_other_types_of_pictures_are_never_opened(url: str, kind: str) -> None:
    status, answer = raw(f"{url}/clip/compare", type=kind)
    assert status == 400
    assert kind in answer["message"]


@pytest.mark.parametrize(
    "value", ["http://127.0.0.1/x.png", "file:///etc/passwd", "/etc/passwd", ""]
)
def test_urls_and_paths_are_refused(url: str, value: str) -> None:
    status, answer = raw(f"{url}/clip/compare", type="url", value=value)
    assert status == 400
    assert "root:" not in answer["message"]


def test_what_people_see_of_a_bad_picture(url: str, tmp_path: Path) -> None:
    status, answer = raw(f"{url}/clip/compare", value=base64.b64encode(b"no picture").decode())
    assert (status, [*answer]) == (400, ["message"])
    path = tmp_path / "cut.png"
    path.write_bytes(png(SUBJECT)[:200])
    with pytest.raises(HTTPCallErrorError) as caught:
        # As base64, so that the SDK does not open it itself.
        client(url).clip_compare(base64.b64encode(path.read_bytes()).decode(), ["a"])
    assert caught.value.status_code == 400
    assert "subject 0" in caught.value.api_message


def test_shapes_that_are_wrong_are_422(url: str) -> None:
    compare = f"{url}/clip/compare"
    picture = {"type": "base64", "value": b64(SUBJECT)}
    for body in (
        {"subject": picture},
        {"subject": picture, "prompt": []},
        {"subject": picture, "prompt": [1]},
        {"subject": picture, "prompt": ["a"], "subject_type": "sound"},
        {"subject": picture, "prompt": [picture]},
        [],
    ):
        status, answer, _ = ask(compare, body)
        assert status == 422, body
        assert list(answer) == ["message"]
    assert ask(compare, b"{")[0] == 400
    assert ask(f"{url}/clip/other", {})[1].keys() == {"message"}


@pytest.mark.parametrize(
    ("address", "body", "headers"),
    [
        ("?api_key={}", {}, {}),
        ("", {"api_key": "{}"}, {}),
        ("", {"api_key": None}, {"Authorization": "Bearer {}"}),
    ],
    ids=["query", "body", "header"],
)
def test_the_key_in_three_places(
    locked_url: str, address: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    for key, expected in ((KEY, 200), ("another", 401)):
        quoted = urllib.request.quote(key)  # type: ignore[attr-defined]
        filled = json.loads(json.dumps(body).replace("{}", key) if body else "{}")
        status, answer, _ = ask(
            f"{locked_url}/clip/embed_text{address.format(quoted)}",
            {"text": "a", **filled},
            **{name: value.format(key) for name, value in headers.items()},
        )
        assert status == expected, answer


@pytest.mark.parametrize("transport", ["body", "header", "both", "query"])
def test_every_way_in_which_the_sdk_sends_its_key(
    locked_url: str, picture: str, transport: str
) -> None:
    def configured(key: str | None) -> InferenceHTTPClient:
        made = client(locked_url, key)
        if transport == "query":
            made.select_api_v0()
        elif transport != "body":
            made.configure(InferenceConfiguration(api_key_transport=transport))
        return made

    good = configured(KEY)
    assert good.clip_compare(picture, "a red circle")["similarity"]
    assert good.get_clip_text_embeddings("a")["embeddings"]
    assert good.get_clip_image_embeddings(picture)["embeddings"]
    for key in ("wrong", None):
        with pytest.raises(HTTPCallErrorError) as caught:
            configured(key).clip_compare(picture, "a red circle")
        assert caught.value.status_code == 401
        assert "key" in caught.value.api_message


def test_overload_is_said_and_retried(busy_url: str, picture: str) -> None:
    with pytest.raises(HTTPCallErrorError) as caught:
        client(busy_url).clip_compare(picture, "a red circle")
    assert caught.value.status_code == 503
    assert "busy" in caught.value.api_message
    status, _, headers = ask(f"{busy_url}/clip/embed_text", {"text": "a"})
    assert (status, headers["Retry-After"]) == (503, "1")


def test_server_info(url: str) -> None:
    info = client(url).get_server_info()
    assert info.name == "unseen"
    assert uuid.UUID(info.uuid)
