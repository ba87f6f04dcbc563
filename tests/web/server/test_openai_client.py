"""OpenAI's client, unchanged, against a server; and the pictures that others put into its route."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

import unseen
from asking import KEY, ask, b64, png

pytestmark = pytest.mark.usefixtures("only_loopback")

TEXTS = ["a red circle", "a blue square"]


_made: list[openai.OpenAI] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _made:
        _made.pop().close()


def client(url: str, key: str = "anything", retries: int = 0) -> openai.OpenAI:
    _made.append(openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=retries))
    return _made[-1]


def image_row(classifier: unseen.Classifier, label: str) -> Any:
    return classifier.encode_images([png(label)])[0]


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_texts(
    url: str, shapes_clip: Path, classifier: unseen.Classifier, encoding: str | None
) -> None:
    named: dict[str, Any] = {"encoding_format": encoding} if encoding else {}
    answer = client(url).embeddings.create(model=str(shapes_clip), input=TEXTS, **named)
    assert [row.index for row in answer.data] == [0, 1]
    rows = [row.embedding for row in answer.data]
    if encoding == "base64":  # asked for by name, it is handed on as it came
        assert all(isinstance(row, str) for row in rows)
        rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in rows]
    assert np.abs(np.array(rows) - classifier.encode_texts(TEXTS)).max() < 1e-6
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1], abs=1e-5)
    tokenizer = classifier.encoder.model.tokenizer
    count = sum(len(ids) for ids in tokenizer.encode(TEXTS)[0])
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == count


def test_one_text_and_what_is_let_pass(url: str, shapes_clip: Path) -> None:
    answer = client(url).embeddings.create(
        model=str(shapes_clip), input=TEXTS[0], user="someone", extra_body={"task": "x"}
    )
    assert len(answer.data) == 1
    assert answer.model == str(shapes_clip)


def test_dimensions_are_the_first_numbers(url: str, shapes_clip: Path) -> None:
    def embed(**named: Any) -> Any:
        answer = client(url).embeddings.create(model=str(shapes_clip), input=TEXTS, **named)
        return np.array([row.embedding for row in answer.data])

    whole = embed()
    expected = whole[:, :8] / np.linalg.norm(whole[:, :8], axis=1, keepdims=True)
    assert np.abs(embed(dimensions=8) - expected).max() < 1e-6
    assert np.array_equal(embed(extra_body={"dimensions": 0}), whole)
    assert np.array_equal(embed(dimensions=64), whole)
    with pytest.raises(openai.BadRequestError, match="at most 64"):
        embed(dimensions=65)


def embedded(url: str, body: dict[str, Any], path: str = "/v1/embeddings") -> Any:
    status, answer, _ = ask(url + path, body)
    assert status == 200, answer
    return [row["embedding"] for row in answer["data"]]


def test_pictures_by_extra_body(url: str, shapes_clip: Path, classifier: Any) -> None:
    uri = f"data:image/png;base64,{b64(TEXTS[0])}"
    answer = client(url).embeddings.create(
        model=str(shapes_clip), input=[uri], extra_body={"modality": "image"}
    )
    assert np.allclose(answer.data[0].embedding, image_row(classifier, TEXTS[0]), atol=1e-6)


@pytest.mark.parametrize(
    "part",
    [
        {"image": b64(TEXTS[0])},
        {"image": f"data:image/png;base64,{b64(TEXTS[0])}"},
        {"bytes": b64(TEXTS[0])},
        {"url": f"data:image/png;base64,{b64(TEXTS[0])}"},
    ],
    ids=["base64", "data-uri", "bytes", "url"],
)
def test_jinas_mixed_lists(url: str, classifier: unseen.Classifier, part: dict[str, str]) -> None:
    body = {"input": [part, {"text": TEXTS[1]}, TEXTS[0]], "normalized": True, "task": "any"}
    rows = embedded(url, body)
    expected = [image_row(classifier, TEXTS[0]), *classifier.encode_texts(TEXTS[::-1])]
    assert np.abs(np.array(rows) - np.array(expected)).max() < 1e-6


def test_infinitys_and_vllms_forms(url: str, classifier: unseen.Classifier) -> None:
    uri = f"data:image/png;base64,{b64(TEXTS[0])}"
    picture = image_row(classifier, TEXTS[0])
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri}}]}
    for path, body in (
        ("/embeddings", {"input": uri, "modality": "image", "model": "default/not-specified"}),
        ("/embeddings_image", {"input": [uri]}),
        ("/v1/embeddings", {"messages": [message]}),
    ):
        (row,) = embedded(url, body, path)
        assert np.abs(np.array(row) - picture).max() < 1e-6, path
    text = classifier.encode_texts([TEXTS[0]])[0]
    for content in (TEXTS[0], [{"type": "text", "text": TEXTS[0]}]):
        (row,) = embedded(url, {"messages": [{"role": "user", "content": content}]})
        assert np.abs(np.array(row) - text).max() < 1e-6


def test_what_is_no_text_is_never_embedded_as_one(url: str) -> None:
    for given in (b64(TEXTS[0]), f"data:image/png;base64,{b64(TEXTS[0])}"):
        for item in (given, {"text": given}):
            status, answer, _ = ask(f"{url}/v1/embeddings", {"input": [item]})
            assert status == 400
            for form in ('{"image"', '"modality": "image"', '"messages"'):
                assert form in answer["error"]["message"]


@pytest.mark.parametrize("given", [[], "", [""], ["a", ""], [1, 2], [[1, 2], [3]], None])
def test_nothing_and_tokens_are_400(url: str, shapes_clip: Path, given: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client(url).embeddings.create(model=str(shapes_clip), input=given)
    assert "input" in caught.value.body["message"]  # type: ignore[index]
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    "body",
    [
        {"input": {"image": "a", "text": "b"}},
        {"input": ["a"], "modality": "audio"},
        {"input": 3},
        {"input": ["a"], "dimensions": -1},
        {"input": ["a"], "encoding_format": "int8"},
        {"messages": [{"content": [{"type": "sound"}]}]},
    ],
)
def test_shapes_that_are_wrong_are_422(url: str, body: dict[str, Any]) -> None:
    status, answer, _ = ask(f"{url}/v1/embeddings", body)
    assert (status, [*answer["error"]]) == (422, ["message", "type", "param", "code"])


@pytest.mark.parametrize(
    "content",
    [[], [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], [{"type": "image_url"}]],
)
def test_messages_hold_one_thing(url: str, content: Any) -> None:
    status, answer, _ = ask(f"{url}/v1/embeddings", {"messages": [{"content": content}]})
    assert status == 400
    assert "exactly one" in answer["error"]["message"]


def test_the_models(url: str, shapes_clip: Path) -> None:
    (model,) = client(url).models.list()
    assert (model.id, model.object, model.owned_by) == (str(shapes_clip), "model", "unseen")
    assert client(url).models.retrieve(str(shapes_clip)) == model
    assert ask(f"{url}/models")[1]["data"][0]["id"] == str(shapes_clip)
    with pytest.raises(openai.NotFoundError) as caught:
        client(url).models.retrieve("another")
    assert caught.value.code == "model_not_found"


def test_an_unknown_model_is_told_which_there_is(url: str, shapes_clip: Path) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client(url).embeddings.create(model="text-embedding-3-small", input="a")
    assert caught.value.code == "model_not_found"
    assert str(shapes_clip) in str(caught.value)


def test_what_people_see_of_a_bad_picture(url: str, shapes_clip: Path) -> None:
    for content in (b"no picture", png(TEXTS[0])[:150]):
        given: Any = [{"text": "a"}, {"image": base64.b64encode(content).decode()}]
        with pytest.raises(openai.BadRequestError, match="input 1") as caught:
            client(url).embeddings.create(model=str(shapes_clip), input=given)
        assert caught.value.code == "bad_image"
    with pytest.raises(openai.BadRequestError, match="not fetched"):
        given = [{"url": "http://127.0.0.1/a.png"}]
        client(url).embeddings.create(model=str(shapes_clip), input=given)


def test_the_key(locked_url: str, shapes_clip: Path) -> None:
    assert client(locked_url, KEY).embeddings.create(model=str(shapes_clip), input="a").data
    for call in (
        lambda c: c.embeddings.create(model=str(shapes_clip), input="a"),
        lambda c: c.models.list(),
    ):
        with pytest.raises(openai.AuthenticationError, match="unknown API key") as caught:
            call(client(locked_url, "wrong"))
        assert caught.value.code == "invalid_api_key"


def test_overload_is_tried_again(busy_url: str, shapes_clip: Path) -> None:
    def asked() -> float:
        _, text, _ = ask(f"{busy_url}/metrics")
        lines = [line for line in text.splitlines() if "http_requests_total{" in line]
        return sum(float(line.split()[-1]) for line in lines if 'status="503"' in line)

    before = asked()
    with pytest.raises(openai.InternalServerError) as caught:
        client(busy_url, retries=1).embeddings.create(model=str(shapes_clip), input="a")
    assert caught.value.status_code == 503
    assert caught.value.response.headers["Retry-After"] == "1"
    assert "busy" in str(caught.value)
    assert asked() - before == 2


def test_too_much(url: str) -> None:
    for body in ({"input": ["a"] * 1001}, {"input": [{"image": b64(TEXTS[0])}] * 65}):
        status, answer, _ = ask(f"{url}/v1/embeddings", body)
        assert status == 413, answer
    assert ask(f"{url}/v1/embeddings", {"input": "word " * 1000})[0] == 422
