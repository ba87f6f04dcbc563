"""One small request takes no gigabytes, and does not hold up the others."""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

import hostile
from asking import KEY
from serving import Served, commanded, until
from unseen.system.cpu import usable
from unseen.web.server.apis.schemas import GIF, PNG
from unseen.web.server.http import keys

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MB = 1_000_000
JSON = "application/json"
PICTURE = {"type": "base64", "value": PNG}


@pytest.fixture(scope="module")
def attacked(shapes_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server in a process of its own, which cannot take the memory of this machine."""
    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    file.write_text(f"tests:{keys.digest(KEY)}\n")
    with commanded("--model", str(shapes_clip), "--keys", str(file)) as served:
        with served.client(headers={"authorization": f"Bearer {KEY}"}) as client:
            for _ in range(3):  # what is loaded with the first request
                body = {"images": [PNG] * 30, "labels": ["red", "blue"]}
                assert client.post("/v1/classify", json=body).status_code == 200
        limit = status(served, "VmData") + 1500 * MB
        assert served.command is not None
        resource.prlimit(served.command.pid, resource.RLIMIT_DATA, (limit, limit))
        yield served


def status(served: Served, name: str) -> int:
    assert served.command is not None
    lines = Path(f"/proc/{served.command.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


class Watch:
    """Around an attack: what it takes of memory, and the slowest answer of /healthz meanwhile."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.slowest = 0.0
        self.taken = 0
        self._end = threading.Event()

    def __enter__(self) -> Watch:
        assert self.served.command is not None
        Path(f"/proc/{self.served.command.pid}/clear_refs").write_text("5")  # a new VmHWM
        self._before = status(self.served, "VmRSS")
        self._prober = threading.Thread(target=self._probe)
        self._prober.start()
        return self

    def _probe(self) -> None:
        with self.served.client() as client:
            while not self._end.is_set():
                start = time.perf_counter()
                assert client.get("/healthz").status_code == 200
                self.slowest = max(self.slowest, time.perf_counter() - start)
                time.sleep(0.02)

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._prober.join()
        self.taken = status(self.served, "VmHWM") - self._before


def crowding() -> float:
    """How many want a core of this machine at present: each takes so much longer."""
    return max(1.0, os.getloadavg()[0] / usable())


def attack(
    served: Served,
    path: str,
    body: bytes,
    *,
    key: str | None = KEY,
    kind: str = JSON,
) -> httpx.Response:
    headers = {"content-type": kind} | ({"authorization": f"Bearer {key}"} if key else {})
    with Watch(served) as watch, served.client(headers=headers) as client:
        answer = client.post(path, content=body)
    assert watch.taken < 200 * MB, f"{watch.taken / MB:.0f} MB"
    assert watch.slowest < 1.5 * crowding(), f"{watch.slowest:.1f} s"
    return answer


def filled(field: str, item: str, number: int, **others: Any) -> bytes:
    """JSON with a list of one item again and again."""
    start = "".join(f"{json.dumps(name)}:{json.dumps(value)}," for name, value in others.items())
    return f'{{{start}"{field}":[{",".join([item] * number)}]}}'.encode()


WRONG = [
    ("/v1/embeddings", "input", "{}", {}),
    ("/v1/embeddings", "input", "[{}]", {}),
    ("/v1/embeddings", "messages", "{}", {}),
    ("/v1/classify", "labels", "{}", {"image": PNG}),
    ("/v1/classify", "background", "{}", {"image": PNG}),
    ("/v1/classify", "images", "{}", {"labels": ["red"]}),
    ("/v1/embed", "texts", "1", {}),
    ("/v1/video", "labels", "{}", {"video": GIF}),
    ("/v1/explain", "more", "1", {"image": PNG, "labels": ["red"]}),
    ("/clip/compare", "prompt", "{}", {"subject": PICTURE}),
    ("/clip/embed_text", "text", "{}", {}),
    ("/clip/embed_image", "image", "{}", {}),
    ("/", "inputs", "{}", {}),
    ("/predict", "tasks", "1", {}),
    ("/v1/classify", "facets", "{}", {"image": PNG}),
    ("/v1/explain", "labels", "{}", {"image": PNG}),
    ("/v1/search", "without", "{}", {}),
]


@pytest.mark.parametrize("path, field, item, others", WRONG)
def test_a_list_of_wrong_elements(
    attacked: Served, path: str, field: str, item: str, others: dict[str, Any]
) -> None:
    answer = attack(attacked, path, filled(field, item, 95_000, **others))
    assert answer.status_code == 422, answer.text
    assert len(answer.text) < 2000


@pytest.mark.parametrize(
    "path, field, others",
    [("/v1/classify", "labels", {"image": PNG}), ("/clip/compare", "prompt", {"subject": PICTURE})],
)
def test_names_of_wrong_values(
    attacked: Served, path: str, field: str, others: dict[str, Any]
) -> None:
    wrong = {f"label {i}": {"prompts": [{}], "type": 1} for i in range(95_000)}
    answer = attack(attacked, path, json.dumps({**others, field: wrong}).encode())
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("item", ["[]", "{}", '{"a":{"b":[]}}', ""])
def test_an_unknown_field_of_many_values(attacked: Served, item: str) -> None:
    number = 15 * MB // (len(item) + 1)
    body = b'{"input":"red","x":[' + b",".join([item.encode()] * number) + b"]}"
    answer = attack(attacked, "/v1/embeddings", body)
    assert answer.status_code == 413 and "values" in answer.text
    assert attack(attacked, "/v1/embeddings", b"[" * 400_000).status_code == 400


def test_a_text_of_commas(attacked: Served) -> None:
    body = json.dumps({"inputs": PNG, "parameters": {"candidate_labels": "," * (15 * MB)}})
    assert attack(attacked, "/", body.encode()).status_code == 413
    form = (
        b'--x\r\nContent-Disposition: form-data; name="labels"\r\n\r\n' + b"," * (20 * MB) + b"\r\n"
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\na\r\n--x--\r\n'
    )
    kind = "multipart/form-data; boundary=x"
    assert attack(attacked, "/v1/classify", form, kind=kind).status_code == 413


@pytest.mark.parametrize("divider", [b"\r\n--xy", b"\r\n--x--y", b"\r\n--x\r\n"])
def test_a_form_of_dividers(attacked: Served, divider: bytes) -> None:
    start = b'--x\r\nContent-Disposition: form-data; name="labels"\r\n\r\n'
    body = start + divider * (60 * MB // len(divider)) + b"\r\n--x--\r\n"
    answer = attack(attacked, "/v1/classify", body, kind="multipart/form-data; boundary=x")
    assert answer.status_code == 413 and "parts" in answer.text


def test_a_stored_set_is_no_way_to_a_large_answer(attacked: Served) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    long = {"labels": {"a" * 2000: [f"{{}}{i}" for i in range(20_000)]}}
    with attacked.client(headers=headers) as client:
        answer = client.put("/v1/labelsets/long", json=long)
        assert answer.status_code == 413 and "characters in prompts" in answer.text
        sent = client.put("/v1/labelsets/many", json={"labels": [f"{i}" for i in range(4000)]})
        assert sent.status_code == 201, sent.text
        until(lambda: client.get("/v1/labelsets/many").json()["status"] == "ready")
    body = {"images": [PNG] * 64, "labelset": "many"}
    answer = attack(attacked, "/v1/classify", json.dumps(body).encode())
    assert answer.status_code == 413 and "give top_k" in answer.text
    answer = attack(attacked, "/v1/classify", json.dumps({**body, "top_k": 5}).encode())
    assert len(answer.json()["predictions"]) == 64


LONG = "a" * (15 * MB)
HUGE = [
    ("/", {"inputs": PNG, "parameters": {
        "candidate_labels": ["a" * 1000] * 900, "hypothesis_template": "{}" * 100_000}}, 422),
    ("/v1/classify", {"image": PNG, "labels": [f"{i}{'a' * 1000}" for i in range(900)],
                      "template": ["{}" * 900] * 10}, 422),
    ("/v1/classify", {"image": PNG, "labels": [f"{i}" for i in range(1000)],
                      "template": ["{}"] * 95_000}, 413),
    ("/v1/classify", {"image": PNG, "labels": {f"{i}{'a' * 1000}": ["{}" * 50] * 9
                                               for i in range(900)}}, 422),
    ("/v1/classify", {"image": PNG, "labels": ["red"],
                      "background": [f"{i}" for i in range(95_000)]}, 413),
    ("/v1/classify", {"image": PNG, "labels": ["red"], "template": LONG}, 422),
    ("/v1/classify", {"image": PNG, "labels": {LONG: {"prompts": [{}]}}}, 422),
    ("/v1/classify", {"image": PNG, "labelset": LONG}, 404),
    ("/v1/classify", {"image": PNG, "labelset": LONG, "template": "{}"}, 422),
    ("/v1/embeddings", {"input": [{"text": "a"}] * 95_000}, 413),
    ("/clip/compare", {"subject": PICTURE, "prompt": {f"{i}": "a" for i in range(95_000)}}, 413),
    ("/v1/classify", {"image": PNG, "facets": {f"{i}": ["a"] for i in range(95_000)}}, 422),
    ("/v1/classify", {"image": PNG, "facets": {
        f"{i}": [f"{j}" for j in range(1000)] for i in range(32)}}, 413),
    ("/v1/classify", {"image": PNG, "labels": {"a" * 9000: {"descriptions": ["b"] * 95_000}}}, 422),
    ("/v1/classify", {"image": PNG, "labels": {"a" * 2000: {"descriptions": ["b"] * 95_000}}}, 413),
    ("/v1/classify", {"image": PNG, "labels": {f"{i}{'a' * 1990}": {"descriptions": ["b"] * 11}
                                               for i in range(1000)}}, 413),
    ("/v1/classify", {"image": PNG, "labels": ["a"], "concept": "x" * 100,
                      "template": "{}" * 400_000}, 422),
    ("/v1/explain", {"image": PNG, "labels": {"a" * 2000: {"descriptions": ["b"] * 95_000}}}, 413),
    ("/v1/video", {"video": GIF, "labels": ["a"], "concept": "x" * 100,
                   "template": ["{}" * 200_000] * 2}, 422),
    ("/predict", {"tasks": [{"data": {}}] * 1000, "label_config": "<View>" + "".join(
        f"<Image name='{i}' value='${i}'/><Choices name='c' toName='{i}'><Choice value='a'/>"
        "</Choices>" for i in range(2200)) + "</View>"}, 413),
    ("/predict", {"tasks": [{"data": {"image": f"data:,{PNG}"}}] * 1000, "label_config":
        "<View><Image name='i' value='$image'/><Choices name='c' toName='i'>" + "".join(
        f"<Choice value='{i}'/>" for i in range(9000)) + "</Choices></View>"}, 413),
]  # fmt: skip


@pytest.mark.parametrize("path, body, status", HUGE, ids=range(len(HUGE)))
def test_what_would_grow_is_measured_before_it_does(
    attacked: Served, path: str, body: dict[str, Any], status: int
) -> None:
    answer = attack(attacked, path, json.dumps(body).encode())
    assert answer.status_code == status and len(answer.text) < 2000


def test_json_has_a_limit_of_its_own(attacked: Served) -> None:
    body = json.dumps({"input": "a" * (17 * MB)}).encode()
    answer = attack(attacked, "/v1/embeddings", body)
    assert answer.status_code == 413 and "16,777,216 bytes" in answer.text
    answer = attack(attacked, "/clip/embed_text", body, kind="image/png")
    assert answer.status_code == 413 and "16,777,216 bytes" in answer.text


def test_a_key_in_a_body_is_checked_before_that_is_parsed(attacked: Served) -> None:
    broken = b'{"text": "red", "api_key": "%s"'
    assert attack(attacked, "/clip/embed_text", broken % b"wrong", key=None).status_code == 401
    known = broken % KEY.encode()
    assert attack(attacked, "/clip/embed_text", known, key=None).status_code == 400
    whole = b'{"x": {"api_key": "wrong"}, "api_key": "\\u0061 key for tests", "text": "red"}'
    assert attack(attacked, "/clip/embed_text", whole, key=None).status_code == 200
    for body in (b"", b'{"api_key": 1}', b'{"api_key": "' + b"x" * MB + b'"}'):
        assert attack(attacked, "/clip/embed_text", body, key=None).status_code == 401


def test_a_form_of_cut_pictures(attacked: Served) -> None:
    part = (
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        + hostile.cut_png(10_000, 9_999)
        + b"\r\n"
    )
    labels = b'--x\r\nContent-Disposition: form-data; name="labels"\r\n\r\nred,blue\r\n--x--\r\n'
    kind = "multipart/form-data; boundary=x"
    answer = attack(attacked, "/v1/classify", part * 12 + labels, kind=kind)
    errors = [prediction["error"] for prediction in answer.json()["predictions"]]
    assert len(errors) == 12 and all("cut short" in error for error in errors)


def test_a_thin_picture(attacked: Served) -> None:
    form = {"image": ("a.png", hostile.thin_png(1, 99_999_999))}
    headers = {"authorization": f"Bearer {KEY}"}
    with Watch(attacked) as watch, attacked.client(headers=headers) as client:
        answer = client.post("/v1/classify", files=form, data={"labels": "red,blue"})
    assert "a side has more than 65,535 pixels" in answer.json()["predictions"][0]["error"]
    assert watch.taken < 200 * MB


@pytest.mark.parametrize(
    "path, body",
    [
        ("/clip/compare", b'{"subject": "a", "subject_type": "text", "prompt": {"\\ud800": "a"}}'),
        ("/v1/classify", b'{"image": "a", "labelset": "\\uD800"}'),
        ("/v1/classify", b'{"image": "a", "labels": ["\\udc00\\ud800"]}'),
        ("/v1/embeddings", b'{"input": "\\udfff"}'),
        ("/v1/embeddings", b'{"input": "red", "x": {"\\udfff": 1}}'),
    ],
)
def test_half_a_character_is_422(attacked: Served, path: str, body: bytes) -> None:
    headers = {"authorization": f"Bearer {KEY}", "content-type": JSON}
    with attacked.client(headers=headers) as client:
        assert client.post(path, content=body).status_code == 422
        whole = b'{"input": "\\ud83d\\ude00 \\\\ud800"}'
        assert client.post("/v1/embeddings", content=whole).status_code == 200


# heads


def connected(served: Served) -> socket.socket:
    parts = urlsplit(served.url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)


def answer_to(served: Served, *pieces: bytes) -> bytes:
    """What comes back until the server closes, or stays silent for a second."""
    with connected(served) as sock:
        received = b""
        try:
            for piece in pieces:
                sock.sendall(piece)
            sock.settimeout(1)
            while part := sock.recv(65536):
                received += part
        except OSError:
            pass
        return received


HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD, b"x: " + b"a" * 70_000 + b"\r\n\r\n"),
        (HEAD, *[b"x: " + b"a" * 1000 + b"\r\n"] * 70),
        (HEAD, *[b"x: y\r\n"] * 11_000),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",),
    ],
)
def test_a_long_head_is_431(attacked: Served, pieces: tuple[bytes, ...]) -> None:
    answer = answer_to(attacked, *pieces)
    assert answer.startswith(b"HTTP/1.1 431 ") and b"65,536 bytes" in answer


def test_a_head_below_the_limit_is_answered(attacked: Served) -> None:
    head = HEAD + b"x: " + b"a" * 65_000 + b"\r\n\r\n"
    assert answer_to(attacked, head).startswith(b"HTTP/1.1 200 ")
    assert answer_to(attacked, head + head).count(b"HTTP/1.1 200 ") == 2


def test_endless_heads_and_trailers_cost_no_memory(attacked: Served) -> None:
    chunks = (
        b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n\r\n"
        b"2\r\n{}\r\n0\r\n"
    )
    block = (b"x: " + b"a" * 8000 + b"\r\n") * 128
    with Watch(attacked) as watch:
        for start in (HEAD, HEAD + b"x: ", chunks):
            with connected(attacked) as sock:
                sock.sendall(start)
                end = time.monotonic() + 10
                with pytest.raises(OSError):
                    while time.monotonic() < end:
                        sock.sendall(block if start is not HEAD + b"x: " else b"a" * 2**20)
                assert time.monotonic() < end
    assert watch.taken < 50 * MB and watch.slowest < 1 * crowding()


def test_two_hosts_are_refused(attacked: Served) -> None:
    twice = HEAD + b"Host: evil.example\r\n\r\n"
    assert answer_to(attacked, twice).startswith(b"HTTP/1.1 400 ")
    assert answer_to(attacked, HEAD + b"\r\n").startswith(b"HTTP/1.1 200 ")
