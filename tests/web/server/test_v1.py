"""Our own API: what it says is what the library says; errors have the right status and shape."""

from __future__ import annotations

import base64
import http.server
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import httpx
import numpy as np
import pytest
from PIL import Image

import shapes
import unseen
from serving import Served, serving
from unseen.load_options import LoadOptions
from unseen.web.server.core.settings import ServerLimits, Settings

WORDS = Path(unseen.__file__).parent / "data" / "concepts.txt"
LABELS = ["red circle", "blue square", "green star"]
CLOSE = 1e-6


def png(label: str, seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    shapes.draw(shapes.scene(label), seed).save(buffer, "PNG")
    return buffer.getvalue()


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def classifier(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, classifier: unseen.Classifier) -> Path:
    """An index of 24 pictures, one of them twice."""
    folder = tmp_path_factory.mktemp("album")
    for i, label in enumerate(LABELS * 8):
        (folder / label).mkdir(exist_ok=True)
        (folder / label / f"{i}.png").write_bytes(png(label, i))
    (folder / "copy.png").write_bytes(png(LABELS[0], 0))
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
    return folder


@pytest.fixture(scope="module")
def with_index(
    shapes_clip: Path, album: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    store = tmp_path_factory.mktemp("store") / "sets.sqlite"
    with serving(Settings(LoadOptions(str(shapes_clip)), index=album, label_store=store)) as served:
        yield served


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """RFC 9457: the body of an error."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"] and body["detail"] and body["type"]
    return body


# classify


@pytest.mark.parametrize("form", ["base64", "data URI", "object", "upload"])
def test_classify_says_what_the_library_says(
    client: httpx.Client, classifier: unseen.Classifier, form: str
) -> None:
    content = png("blue square")
    if form == "upload":
        answer = client.post(
            "/v1/classify", files={"image": ("b.png", content)}, data={"labels": LABELS}
        )
    else:
        image: Any = {
            "base64": b64(content),
            "data URI": f"data:image/png;base64,{b64(content)}",
            "object": {"base64": b64(content), "name": "b.png"},
        }[form]
        answer = client.post("/v1/classify", json={"image": image, "labels": LABELS})
    assert answer.status_code == 200, answer.text
    (said,) = answer.json()["predictions"]
    own = classifier.classify(content, LABELS)
    assert said["label"] == own.label == "blue square"
    assert said["source"] == ("b.png" if form in ("object", "upload") else "image 0")
    for theirs, ours in zip(said["ranking"], own.ranking, strict=True):
        assert theirs["label"] == ours.label
        assert theirs["score"] == pytest.approx(ours.score, abs=CLOSE)
        assert theirs["cosine"] == pytest.approx(ours.cosine, abs=CLOSE)


def resembling(
    classifier: unseen.Classifier, content: bytes, labels: list[str]
) -> list[dict[str, Any]]:
    """The three words of the shipped list with the largest cosines, written apart."""
    words = [line for line in WORDS.read_text("utf-8").splitlines() if line and line[0] != "#"]
    words = [word for word in words if word.lower() not in labels]
    prompts = [classifier.model.template.format(word) for word in words]
    picture = classifier.encoder.encode_images([content])[0]
    cosines = classifier.encoder.encode_texts(prompts) @ picture
    best = sorted(range(len(words)), key=lambda i: -cosines[i])[:3]
    return [{"label": words[i], "cosine": pytest.approx(cosines[i], abs=1e-4)} for i in best]


@pytest.mark.parametrize("form", [False, True])
def test_unknown_auto_gives_the_evidence_and_says_what_the_library_says(
    client: httpx.Client, classifier: unseen.Classifier, form: bool
) -> None:
    grey = io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(grey, "PNG")
    contents = [png("blue square"), grey.getvalue()]
    for labels in (LABELS, LABELS[:1]):
        if form:
            answer = client.post(
                "/v1/classify",
                files=[("image", (f"{i}.png", content)) for i, content in enumerate(contents)],
                data={"labels": ",".join(labels), "unknown": "auto"},
            )
        else:
            body = {"images": [b64(content) for content in contents], "labels": labels}
            answer = client.post("/v1/classify", json={**body, "unknown": "auto"})
            plain = client.post("/v1/classify", json=body).json()["predictions"]
            assert not any("evidence" in one for one in plain)
        assert answer.status_code == 200, answer.text
        for said, content in zip(answer.json()["predictions"], contents, strict=True):
            own = classifier.classify(content, labels, unknown="auto")
            assert said["evidence"] == pytest.approx(own.evidence, abs=1e-3)
            assert (said["label"], said["unknown"]) == (own.label, own.unknown)
        assert said["unknown"] and said["label"] is None
        for said, content in zip(answer.json()["predictions"], contents, strict=True):
            assert said["resembles"] == resembling(classifier, content, labels)
    wrong = client.post("/v1/classify", json={**body, "unknown": "other"}) if not form else None
    if wrong is not None:
        assert "unknown" in problem(wrong, 422)["detail"]


OPTIONS: list[dict[str, Any]] = [
    {"template": "a picture of a {}."},
    {"template": ["a {}", "one {}"]},
    {"template": "simple"},
    {"background": ["something else"]},
    {"multi_label": True, "min_score": 0.2},
    {"top_k": 2},
    {"min_score": 0.9},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options))
def test_every_option_means_what_it_means_in_the_library(
    client: httpx.Client, classifier: unseen.Classifier, options: dict[str, Any]
) -> None:
    own = classifier.classify(png("green star"), LABELS, **options).to_dict()
    image = b64(png("green star"))
    answer = client.post("/v1/classify", json={"image": image, "labels": LABELS, **options})
    (said,) = answer.json()["predictions"]
    scored = zip(said.pop("ranking"), own.pop("ranking"), strict=True)
    assert all(a == pytest.approx(b, abs=CLOSE) for a, b in scored)
    assert said == pytest.approx({**own, "source": "image 0"}, abs=CLOSE)
    form = {
        key: json.dumps(value) if isinstance(value, (list, bool)) else value
        for key, value in options.items()
    }
    upload = client.post(
        "/v1/classify",
        files={"image": ("image 0", png("green star"))},
        data={"labels": json.dumps(LABELS), **form},
    )
    assert upload.json()["predictions"] == answer.json()["predictions"]


def test_labels_bring_prompts_thresholds_and_background(
    client: httpx.Client, classifier: unseen.Classifier
) -> None:
    labels = {
        "circle": "a red circle",
        "square": ["a blue square", "a square"],
        "labels": {"prompts": "a green star", "threshold": 0.99},
        "nothing": {"background": True},
    }
    image = b64(png("red circle"))
    answer = client.post("/v1/classify", json={"image": image, "labels": labels})
    label_set = unseen.LabelSet.from_data(labels)
    own = classifier.classify(png("red circle"), label_set)
    (said,) = answer.json()["predictions"]
    assert said["label"] == own.label == "circle"
    assert {r["label"] for r in said["ranking"]} == {"circle", "square", "labels", "unknown"}
    assert said["score"] == pytest.approx(own.score, abs=CLOSE)


def test_a_broken_picture_of_many_is_a_row_with_an_error(client: httpx.Client) -> None:
    images = [b64(png("red circle")), "bm8gcGljdHVyZQ==", {"base64": "%%%", "name": "c.png"}]
    answer = client.post("/v1/classify", json={"images": images, "labels": LABELS})
    assert answer.status_code == 200
    good, bad, worse = answer.json()["predictions"]
    assert good["label"] == "red circle"
    assert bad["source"] == "image 1" and "not a picture" in bad["error"]
    assert worse["source"] == "c.png" and "base64" in worse["error"]


def test_many_pictures_keep_their_order_and_names(client: httpx.Client) -> None:
    wanted = [LABELS[i % 3] for i in range(20)]
    files = [("image", (f"{i}.png", png(label, i))) for i, label in enumerate(wanted)]
    answer = client.post("/v1/classify", files=files, data={"labels": ",".join(LABELS)})
    said = answer.json()["predictions"]
    assert [p["source"] for p in said] == [f"{i}.png" for i in range(20)]
    assert [p["label"] for p in said] == wanted


def test_a_prompt_that_is_cut_is_said(client: httpx.Client) -> None:
    labels = ["red circle", "blue " * 200]
    answer = client.post("/v1/classify", json={"image": b64(png(LABELS[0])), "labels": labels})
    assert "longer than" in answer.json()["warnings"][0]


# embeddings


def test_embeddings_are_those_of_the_library(
    client: httpx.Client, classifier: unseen.Classifier
) -> None:
    content, texts = png("red circle"), ["a red circle", "a ring"]
    body = {"images": [b64(content)], "texts": texts}
    floats = client.post("/v1/embed", json=body).json()
    assert floats["dimension"] == classifier.model.dimension
    own = classifier.encode_images([content])[0]
    assert np.abs(np.array(floats["images"][0]["embedding"]) - own).max() <= CLOSE
    for row, text in zip(floats["texts"], classifier.encode_texts(texts), strict=True):
        assert np.abs(np.array(row["embedding"]) - text).max() <= CLOSE
    packed = client.post("/v1/embed", json={**body, "encoding": "base64"}).json()
    row = np.frombuffer(base64.b64decode(packed["images"][0]["embedding"]), "<f4")
    assert (row == np.array(floats["images"][0]["embedding"], dtype=np.float32)).all()


def test_a_kept_embedding_stands_for_its_picture(client: httpx.Client) -> None:
    embedded = client.post(
        "/v1/embed", files={"image": png("green star")}, data={"encoding": "base64"}
    ).json()
    kept = {"embedding": embedded["images"][0]["embedding"], "name": "kept"}
    by_embedding = client.post("/v1/classify", json={"image": kept, "labels": LABELS}).json()
    by_picture = client.post(
        "/v1/classify", json={"image": b64(png("green star")), "labels": LABELS}
    ).json()
    ours, theirs = by_embedding["predictions"][0], by_picture["predictions"][0]
    assert ours["label"] == theirs["label"] == "green star"
    assert ours["score"] == pytest.approx(theirs["score"], abs=CLOSE)


@pytest.mark.parametrize(
    "embedding",
    [
        b64(b"\0" * 8),
        b64(np.zeros(1, dtype="<f4").tobytes()),
        "%%%",
        "zero",
        "long",
        "nan",
    ],
)
def test_an_embedding_that_is_none_is_refused(client: httpx.Client, embedding: str) -> None:
    dimension = client.get("/info").json()["model"]["dimension"]
    vectors = {
        "zero": np.zeros(dimension),
        "long": np.ones(dimension),
        "nan": np.full(dimension, np.nan),
    }
    if embedding in vectors:
        embedding = b64(vectors[embedding].astype("<f4").tobytes())
    answer = client.post("/v1/classify", json={"image": {"embedding": embedding}, "labels": LABELS})
    problem(answer, 400)


# the index


def test_search_and_similar_are_those_of_the_index(
    with_index: Served, album: Path, classifier: unseen.Classifier
) -> None:
    with with_index.client() as client, unseen.Index(album) as index:
        answer = client.post("/v1/search", json={"texts": ["a blue square"], "top": 5}).json()
        own = index.view(classifier).search(classifier.encode_texts(["a blue square"])[0], top=5)
        assert [hit["id"] for hit in answer["hits"]] == [hit.id for hit in own]
        assert [hit["path"] for hit in answer["hits"]] == [hit.paths[0] for hit in own]
        assert all(hit["path"].startswith("blue square/") for hit in answer["hits"])
        for said, hit in zip(answer["hits"], own, strict=True):
            assert said["cosine"] == pytest.approx(hit.cosine, abs=1e-3)  # float16 rows
        first = answer["hits"][0]["id"]
        near = client.post("/v1/similar", json={"id": first, "top": 4}).json()["hits"]
        assert len(near) == 4 and first not in [hit["id"] for hit in near]
        assert all(hit["path"].startswith("blue square/") for hit in near)
        sent = client.post("/v1/similar", json={"image": b64(png("red circle")), "top": 1}).json()
        assert sent["hits"][0]["copies"], "the first picture lies there twice"
        without = client.post(
            "/v1/search", json={"texts": ["a circle"], "without": ["red"], "images": [], "top": 3}
        )
        assert without.status_code == 200


def test_every_answer_of_a_model_says_whose_it_is(
    with_index: Served, classifier: unseen.Classifier
) -> None:
    image = b64(png(LABELS[0]))
    asked = {
        "classify": {"image": image, "labels": LABELS},
        "embed": {"images": [image]},
        "search": {"texts": ["a star"]},
        "similar": {"image": image},
    }
    whose = {"model": classifier.model.name, "fingerprint": classifier.model.fingerprint}
    with with_index.client() as client:
        answers = {name: client.post(f"/v1/{name}", json=body) for name, body in asked.items()}
        answers["set"] = client.put("/v1/labelsets/whose", json={"labels": LABELS})
        described = client.get("/openapi.json").json()["components"]["schemas"]
    for name, answer in answers.items():
        assert answer.json().items() >= whose.items(), name
    for name in ("ClassifyAnswer", "EmbedAnswer", "HitsAnswer", "SetAnswer"):
        assert {"model", "fingerprint"} <= set(described[name]["required"]), name


def test_pictures_of_the_index_are_listed_and_shown(with_index: Served, album: Path) -> None:
    with with_index.client() as client:
        assert client.get("/info").json()["index"] == {
            "name": album.name,
            "pictures": 24,
            "filters": False,
        }
        page = client.get("/v1/pictures", params={"offset": 20, "limit": 10}).json()
        assert page["total"] == 24 and len(page["pictures"]) == 4
        shown = client.get(f"/v1/pictures/{page['pictures'][0]['id']}/thumbnail")
        assert shown.headers["content-type"] == "image/jpeg"
        assert max(Image.open(io.BytesIO(shown.content)).size) <= 256
        large = client.get(f"/v1/pictures/{page['pictures'][0]['id']}/thumbnail?large=1")
        with Image.open(album / page["pictures"][0]["path"]) as original:
            assert Image.open(io.BytesIO(large.content)).size == original.size  # not enlarged
        problem(client.get("/v1/pictures/999999/thumbnail"), 404)
        problem(client.post("/v1/similar", json={"id": 999999}), 404)
        nothing = {"texts": ["a"], "without": ["a"]}
        problem(client.post("/v1/search", json=nothing), 422)


def test_without_an_index_there_is_nothing_to_search(client: httpx.Client) -> None:
    problem(client.post("/v1/search", json={"texts": ["a"]}), 404)
    problem(client.get("/v1/pictures"), 404)


# label sets


def test_a_label_set_is_kept_versioned_and_used(
    client: httpx.Client, classifier: unseen.Classifier, tmp_path: Path
) -> None:
    url = "/v1/labelsets/things"
    body = {"labels": LABELS, "template": "a {}", "background": ["nothing"]}
    first = client.put(url, json=body)
    assert first.status_code == 201 and first.json()["version"] == 1
    assert first.json()["status"] == "ready"
    again = client.put(url, json=body)
    assert again.status_code == 200 and again.json()["version"] == 1
    second = client.put(url, json={"labels": ["red circle", "ring"]})
    assert second.status_code == 200 and second.json()["version"] == 2
    listed = client.get("/v1/labelsets").json()["labelsets"]  # and those of other tests
    (listed,) = [row for row in listed if row["name"] == "things"]
    assert (listed["version"], listed["labels"]) == (2, 2)
    image = b64(png("blue square"))
    newest = client.post("/v1/classify", json={"image": image, "labelset": "things"}).json()
    assert newest["labelset"] == {"name": "things", "version": 2}
    old = client.post("/v1/classify", json={"image": image, "labelset": "things@1"}).json()
    assert old["predictions"][0]["label"] == "blue square"
    own = classifier.classify(png("blue square"), LABELS, template="a {}", background=["nothing"])
    assert old["predictions"][0]["score"] == pytest.approx(own.score, abs=CLOSE)
    file = tmp_path / "things.safetensors"
    file.write_bytes(client.get(f"{url}/compiled", params={"version": 1}).content)
    assert classifier.classify(png("blue square"), file).label == "blue square"
    assert client.get(url, params={"version": 1}).json()["labels"][3]["background"] is True
    assert client.delete(url).status_code == 204
    problem(client.get(url), 404)
    problem(client.delete(url), 404)
    problem(client.post("/v1/classify", json={"image": image, "labelset": "things"}), 404)
    anew = client.put(url, json=body)
    assert anew.status_code == 201 and anew.json()["version"] == 3, "a number is never used twice"
    client.delete(url)


def test_a_label_set_outlives_its_server(shapes_clip: Path, tmp_path: Path) -> None:
    settings = Settings(LoadOptions(str(shapes_clip)), label_store=tmp_path / "sets.sqlite")
    with serving(settings) as served, served.client() as client:
        client.put("/v1/labelsets/kept", json={"labels": LABELS})
    with serving(settings) as served, served.client() as client:
        assert client.get("/v1/labelsets/kept").json()["status"] == "ready"
        image = b64(png("red circle"))
        said = client.post("/v1/classify", json={"image": image, "labelset": "kept"}).json()
        assert said["predictions"][0]["label"] == "red circle"
        metrics = client.get("/metrics").text
        assert 'kind="prompt"' not in metrics, "what was compiled is not encoded again"


# errors


BAD: list[tuple[dict[str, Any], int]] = [
    ({"labels": LABELS}, 422),
    ({"image": "x", "images": ["x"], "labels": LABELS}, 422),
    ({"image": b64(b"no picture"), "labels": LABELS}, 400),
    ({"image": "/etc/passwd", "labels": LABELS}, 400),
    ({"image": "file:///etc/passwd", "labels": LABELS}, 400),
    ({"image": {"url": "file:///etc/passwd"}, "labels": LABELS}, 400),
    ({"image": "http://127.0.0.1/a.png", "labels": LABELS}, 400),
    ({"image": "data:image/png;base64", "labels": LABELS}, 400),
    ({"image": "good"}, 422),
    ({"image": "good", "labels": []}, 422),
    ({"image": "good", "labels": ["a", ""]}, 422),
    ({"image": "good", "labels": {"a": ""}}, 422),
    ({"image": "good", "labels": {"a": {"threshold": 2}}}, 422),
    ({"image": "good", "labels": "labels.txt"}, 422),
    ({"image": "good", "labels": LABELS, "template": "no place"}, 422),
    ({"image": "good", "labels": LABELS, "template": "/etc/passwd"}, 422),
    ({"image": "good", "labels": LABELS, "top_k": 0}, 422),
    ({"image": "good", "labels": LABELS, "min_score": 7}, 422),
    ({"image": "good", "labels": LABELS, "background": ["red circle"]}, 422),
    ({"image": "good", "labelset": "none"}, 404),
    ({"image": "good", "labelset": "../../etc/passwd"}, 404),
    ({"image": "good", "labelset": "none", "labels": LABELS}, 422),
    ({"image": "good", "labels": [f"label {i}" for i in range(1001)]}, 413),
    ({"image": "good", "labels": ["a" * 2001]}, 422),
    ({"images": [""] * 65, "labels": LABELS}, 413),
]


@pytest.mark.parametrize(("body", "status"), BAD, ids=range(len(BAD)))
def test_what_is_wrong_has_its_status(
    client: httpx.Client, body: dict[str, Any], status: int
) -> None:
    if body.get("image") == "good":
        body = {**body, "image": b64(png("red circle"))}
    detail = problem(client.post("/v1/classify", json=body), status)["detail"]
    assert "root:" not in detail and len(detail) < 400


def test_bodies_that_are_none(client: httpx.Client) -> None:
    send = client.post
    as_json = {"content-type": "application/json"}
    problem(send("/v1/classify", content=b"{", headers=as_json), 400)
    problem(send("/v1/classify", content=b"\xff\xfe", headers=as_json), 400)
    problem(send("/v1/classify", content=b"[" * 100_000, headers=as_json), 400)
    problem(send("/v1/classify", content=b'{"top_k": NaN}', headers=as_json), 400)
    problem(send("/v1/classify", content=b"[1]", headers=as_json), 422)
    problem(send("/v1/classify", content=b"{}", headers={"content-type": "text/plain"}), 415)
    problem(send("/v1/classify", content=b"{}"), 415)
    form = {"content-type": "multipart/form-data"}
    problem(send("/v1/classify", content=b"--x", headers=form), 400)
    coded = {**as_json, "content-encoding": "gzip"}
    problem(send("/v1/classify", content=b"{}", headers=coded), 415)
    problem(client.get("/v1/classify"), 405)
    problem(client.get("/v1/nothing"), 404)


def test_a_body_over_the_limit_is_refused_whole_or_in_pieces(
    shapes_clip: Path, tmp_path: Path
) -> None:
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        label_store=tmp_path / "sets.sqlite",
        limits=ServerLimits(body_bytes=10_000),
    )
    with serving(settings) as served, served.client() as client:
        as_json = {"content-type": "application/json"}
        problem(client.post("/v1/classify", content=b"x" * 10_001, headers=as_json), 413)
        pieces = (b"x" * 1000 for _ in range(11))
        problem(client.post("/v1/classify", content=pieces, headers=as_json), 413)
        assert client.get("/healthz").status_code == 200, "the connection is still of use"


def test_a_picture_over_the_limit_of_pixels(shapes_clip: Path, tmp_path: Path) -> None:
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        label_store=tmp_path / "sets.sqlite",
        limits=ServerLimits(pixels=64 * 64 - 1),
    )
    with serving(settings) as served, served.client() as client:
        body = {"image": b64(png("red circle")), "labels": LABELS}
        detail = problem(client.post("/v1/classify", json=body), 400)["detail"]
        assert detail == "image 0: 64 × 64 is more than 4,095 pixels."


# URLs


class _Files(http.server.SimpleHTTPRequestHandler):
    content = b""
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/a.png")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def files() -> Iterator[int]:
    """A server of pictures on loopback → its port."""
    _Files.content = png("blue square")
    _Files.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files) as one:
        runner = threading.Thread(target=one.serve_forever)
        runner.start()
        yield one.server_port
        one.shutdown()
        runner.join()


def test_a_preview_is_a_jpeg_and_nothing_else_comes_through(
    shapes_clip: Path, tmp_path: Path, files: int, client: httpx.Client
) -> None:
    wide = io.BytesIO()
    Image.new("RGB", (3000, 1500), "red").save(wide, "PNG")
    shown = client.post("/v1/preview", json={"image": b64(wide.getvalue())})
    assert shown.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(shown.content)) as image:
        assert image.format == "JPEG" and image.size == (1024, 512)
        red, green, blue = image.convert("RGB").getpixel((500, 250))
        assert red > 250 and green < 5 and blue < 5
    embedding = client.post("/v1/embed", json={"images": [b64(png("red circle"))]}).json()
    vector = np.array(embedding["images"][0]["embedding"], dtype="<f4").tobytes()
    problem(client.post("/v1/preview", json={"image": {"embedding": b64(vector)}}), 422)
    problem(client.post("/v1/preview", json={"image": b64(b"no picture at all" * 4)}), 400)
    url = f"http://127.0.0.1:{files}/a.png"
    assert "--urls" in problem(client.post("/v1/preview", json={"image": url}), 400)["detail"]
    assert _Files.asked == []
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        label_store=tmp_path / "s.sqlite",
        url_hosts=frozenset({f"127.0.0.1:{files}"}),
    )
    with serving(settings) as served, served.client() as other:
        answer = other.post("/v1/preview", json={"image": url})
        assert answer.status_code == 200 and answer.content[:3] == b"\xff\xd8\xff"
        _Files.content = b"<script>alert(1)</script> a secret of the network"
        refused = problem(other.post("/v1/preview", json={"image": url}), 400)
        assert "secret" not in refused["detail"]


def test_urls_are_fetched_from_hosts_that_are_allowed_alone(
    shapes_clip: Path, tmp_path: Path, files: int, client: httpx.Client
) -> None:
    url = f"http://127.0.0.1:{files}/a.png"
    ask = {"image": url, "labels": LABELS}
    detail = problem(client.post("/v1/classify", json=ask), 400)["detail"]
    assert "--urls" in detail and _Files.asked == []
    for settings, asked in (
        (Settings(urls=True), []),
        (Settings(url_hosts=frozenset({f"127.0.0.1:{files}"})), ["/a.png"]),
    ):
        settings = replace(
            settings, load_options=LoadOptions(str(shapes_clip)), label_store=tmp_path / "s.sqlite"
        )
        with serving(settings) as served, served.client() as other:
            answer = other.post("/v1/classify", json=ask)
            assert _Files.asked == asked
            if asked:
                assert answer.json()["predictions"][0]["label"] == "blue square"
                # A redirect leads to a name that is not allowed, though it is the same machine.
                ask = {"images": [url.replace("a.png", "away")], "labels": LABELS}
                row = other.post("/v1/classify", json=ask).json()["predictions"][0]
                assert "error" in row and _Files.asked == ["/a.png", "/away"]
            else:
                assert "127.0.0.1" in problem(answer, 400)["detail"]
