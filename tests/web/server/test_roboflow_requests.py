"""Roboflow's CLIP routes in the raw form of the articles, and what is refused."""

from __future__ import annotations

import base64
import json
import urllib.request
from typing import Any

import pytest

from asking import KEY, ask, b64, png

SUBJECT = "a red circle"
PROMPTS = ["blue square", "a red circle", "red circle"]


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
def test_the_articles_own_request(url: str, value: str) -> None:
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


def test_a_picture_that_is_none_is_refused_in_one_field(url: str) -> None:
    status, answer = raw(f"{url}/clip/compare", value=base64.b64encode(b"no picture").decode())
    assert (status, [*answer]) == (400, ["message"])


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
