"""What the review page's server answers, and to whom."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

import hostile
from reviewing import LABELS, OWN, Birds, Serve, Served, flock
from unseen.annotation.pictures import Picture
from unseen.errors import ImageError
from unseen.web.review.images import ReviewImages

GETS = ["/", "/page/review.js", "/api/next", "/api/labels", "/api/status", "/api/pile", "/nothing"]
POSTS = ["/api/decide", "/api/undo", "/api/labels"]


def decision(id: str, verdict: str, label: str | None = None, before: Any = None) -> dict[str, Any]:
    return {"id": id, "verdict": verdict, "label": label, "before": before}


def decide(client: httpx.Client, *decisions: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.post("/api/decide", json={"decisions": decisions})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content = answer.json()
    assert content["status"] == status
    return str(content["detail"])


# who is let in


def test_nothing_is_answered_without_the_token(served: Served, birds: Birds) -> None:
    picture = f"/api/picture/{birds.ids['bird00.png']}"
    cookies = [{}, {f"unseen-review-{served.port}": "x" * 32}, {"token": served.token}]
    for cookie in cookies:
        with httpx.Client(base_url=served.url, headers=OWN, cookies=cookie, timeout=60) as client:
            answers = [client.get(path) for path in [*GETS, picture, "/?token=", "/?token=é"]]
            answers += [client.get(f"/api/next?token={served.token}")]  # of the page alone
            answers += [client.post(path, json={}) for path in POSTS]
        assert {answer.status_code for answer in answers} == {403}
        assert not any("set-cookie" in answer.headers for answer in answers)


def test_the_address_gives_a_cookie_that_only_the_page_can_use(served: Served) -> None:
    answer = httpx.get(served.address, timeout=60)
    assert answer.status_code == 200
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == f"unseen-review-{served.port}"
    assert rest == f"{served.token}; Path=/; HttpOnly; SameSite=Strict"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:80", 200),
        ("localhost:9000", 200),  # as ssh forwards it
        ("[::1]", 200),
        ("example.org", 421),
        ("127.0.0.1.example.org:8010", 421),
        ("localhost.", 421),
        ("0.0.0.0:8010", 421),
        ("", 421),
    ],
)
def test_it_has_no_other_name(client: httpx.Client, host: str, status: int) -> None:
    assert client.get("/api/status", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_and_ports_get_nothing(
    client: httpx.Client, birds: Birds, site: str
) -> None:
    headers = {"Sec-Fetch-Site": site}
    problem(client.get("/api/next", headers=headers), 403)
    problem(client.get(f"/api/picture/{birds.ids['bird00.png']}", headers=headers), 403)
    problem(client.post("/api/undo", headers=headers, json={}), 403)
    assert client.get("/", headers=headers).status_code == 200  # a link may be followed


def test_a_change_needs_the_page_s_own_header_and_json(
    served: Served, client: httpx.Client, birds: Birds
) -> None:
    one = decision(birds.ids["bird00.png"], "none")
    body = json.dumps({"decisions": [one]}).encode()
    kind = {"Content-Type": "application/json"}
    with httpx.Client(base_url=served.url, cookies=client.cookies, timeout=60) as other:
        problem(other.post("/api/decide", content=body, headers=kind), 403)
    problem(client.post("/api/decide", content=body, headers={"Content-Type": "text/plain"}), 415)
    problem(client.post("/api/decide", content=body), 415)
    for origin in ("http://example.org", "null", "http://127.0.0.1:1"):
        problem(client.post("/api/decide", content=body, headers={**kind, "Origin": origin}), 403)
    assert birds.said() == {}
    own = {**kind, "Origin": served.url, "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/decide", content=body, headers=own).status_code == 200
    assert birds.said() == {"bird00.png": ("none", None)}


def test_half_a_character_in_a_label_is_refused(
    served: Served, client: httpx.Client, birds: Birds
) -> None:
    one = {**decision(birds.ids["bird00.png"], "right"), "label": "\ud800"}
    content = json.dumps({"decisions": [one]}).encode()
    answer = client.post(
        "/api/decide", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422 and "half a character" in answer.text
    assert birds.said() == {}


def test_every_answer_forbids_what_is_not_the_page_s_own(
    served: Served, client: httpx.Client, birds: Birds
) -> None:
    answers = [client.get(path) for path in [*GETS, f"/api/picture/{birds.ids['bird00.png']}"]]
    answers.append(httpx.get(served.url, timeout=60))
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and "data:" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_what_is_no_request_of_the_page_is_a_problem(client: httpx.Client, birds: Birds) -> None:
    id = birds.ids["bird00.png"]
    for path in ["/api/next?count=0", "/api/next?count=x", "/api/next?count=٣"]:
        assert "count" in problem(client.get(path), 422)
    problem(client.get("/api/next?without=../x"), 422)
    problem(client.get("/api/pile?pile=best"), 422)
    problem(client.get("/api/labels?pile=best"), 422)
    problem(client.get("/api/other"), 404)
    problem(client.get("/page/..%2Fapp.py"), 404)
    problem(client.get("/page/__init__.py"), 404)
    problem(client.delete("/api/status", headers={"Content-Type": "application/json"}), 405)
    bad: list[Any] = [
        [],
        {},
        {"decisions": []},
        {"decisions": [decision(id, "none")] * 101},
        {"decisions": ["x"]},
        {"decisions": [decision("x", "none")]},
        {"decisions": [decision(id, "perhaps")]},
        {"decisions": [decision(id, "label")]},
        {"decisions": [decision(id, "none", "heron")]},
        {"decisions": [decision(id, "none", 3)]},  # type: ignore[arg-type]
        {"decisions": [decision(id, "none", None, "x")]},
        {"decisions": [decision(id, "none", None, {"verdict": "label"})]},
    ]
    for content in bad:
        problem(client.post("/api/decide", json=content), 422)
    kind = {"Content-Type": "application/json"}
    for text in ("", "{", "[" * 100_000):
        problem(client.post("/api/decide", content=text, headers=kind), 400)
    problem(client.post("/api/decide", content="[" + " " * 300_000 + "]", headers=kind), 413)
    assert birds.said() == {}


# decisions


def test_decisions_are_in_the_file_when_they_are_answered(
    client: httpx.Client, birds: Birds
) -> None:
    ids = birds.ids
    results = decide(
        client,
        decision(ids["bird00.png"], "label", "stork"),
        decision(ids["bird01.png"], "none"),
        decision(ids["bird02.png"], "label", "ostrich"),
        decision("0" * 32, "skip"),
        decision(ids["bird03.png"], "skip"),
    )
    assert [result["saved"] for result in results] == [True, True, False, False, True]
    assert "ostrich" in results[2]["problem"]["detail"]
    assert results[3]["problem"]["status"] == 404
    assert birds.said() == {
        "bird00.png": ("label", "stork"),
        "bird01.png": ("none", None),
        "bird03.png": ("skip", None),
    }
    status = client.get("/api/status").json()
    assert (status["reviewed"], status["total"], status["left"]) == (3, 14, 11)


def test_sent_twice_is_written_once(client: httpx.Client, birds: Birds) -> None:
    one = decision(birds.ids["bird00.png"], "label", "stork")
    assert decide(client, one) == decide(client, one) == [{"id": one["id"], "saved": True}]
    assert birds.decisions() == 1


def test_a_picture_that_was_decided_elsewhere_stands(client: httpx.Client, birds: Birds) -> None:
    id = birds.ids["bird00.png"]
    with birds.open() as labelling:
        labelling.decide(id, "label", "crane")
    (result,) = decide(client, decision(id, "label", "stork"))
    assert not result["saved"]
    assert (result["picture"]["verdict"], result["picture"]["chosen"]) == ("label", "crane")
    assert birds.said() == {"bird00.png": ("label", "crane")}
    seen = {"verdict": "label", "label": "crane"}
    assert decide(client, decision(id, "label", "stork", seen))[0]["saved"]  # it knows
    assert birds.said() == {"bird00.png": ("label", "stork")}


def test_of_many_at_once_one_decides(served: Served, birds: Birds) -> None:
    labels = list(LABELS) * 4

    def take(label: str) -> list[bool]:
        with served.client() as client:
            return [
                decide(client, decision(birds.ids[f"bird0{i}.png"], "label", label))[0]["saved"]
                for i in range(6)
            ]

    with ThreadPoolExecutor(len(labels)) as pool:
        saved = list(pool.map(take, labels))
    said = birds.said()
    for i in range(6):
        _, stands = said[f"bird0{i}.png"]
        assert [label for label, row in zip(labels, saved, strict=True) if row[i]] == [stands] * 4
    assert birds.decisions() == 6


def test_undo_takes_back_the_last_and_nothing_else(client: httpx.Client, birds: Birds) -> None:
    first, second = birds.ids["bird00.png"], birds.ids["bird01.png"]
    decide(client, decision(first, "none"), decision(second, "label", "stork"))
    assert "window" in problem(client.post("/api/undo", json={"id": first}), 409)
    assert len(birds.said()) == 2
    answer = client.post("/api/undo", json={"id": second}).json()
    assert answer["picture"]["id"] == second and answer["picture"]["verdict"] is None
    assert answer["status"]["reviewed"] == 1
    assert client.post("/api/undo", json={}).json()["picture"]["id"] == first
    problem(client.post("/api/undo", json={}), 409)
    assert birds.said() == {}


# what comes next


def test_next_leaves_out_what_the_page_has_and_what_is_decided(
    client: httpx.Client, birds: Birds
) -> None:
    first = [p["id"] for p in client.get("/api/next?count=4").json()["pictures"]]
    decide(client, decision(first[0], "skip"))
    answer = client.get("/api/next", params={"count": 100, "without": ",".join(first)})
    rest = [p["id"] for p in answer.json()["pictures"]]
    assert len(first) == 4 and len(rest) == 10
    assert {*first, *rest} == set(birds.ids.values())


def test_a_pile_has_the_least_sure_first_and_shrinks(client: httpx.Client, birds: Birds) -> None:
    def herons() -> tuple[int, list[str]]:
        pile = client.get("/api/pile?label=heron&pile=sure&count=3").json()
        return pile["total"], [picture["name"] for picture in pile["pictures"]]

    labels = client.get("/api/labels?pile=sure").json()["labels"]
    counts = {one["name"]: one["open"] for one in labels}
    assert counts == {"heron": 5, "crane": 3, "stork": 0}
    assert herons() == (5, ["sure0.png", "sure1.png", "sure2.png"])
    decide(client, decision(birds.ids["sure1.png"], "label", "heron"))
    assert herons() == (4, ["sure0.png", "sure2.png", "sure3.png"])
    with birds.open() as labelling:  # another process
        labelling.decide(birds.ids["sure0.png"], "none")
    assert herons()[1] == ["sure2.png", "sure3.png", "sure4.png"]
    with birds.open() as labelling:
        labelling.undo()
    client.post("/api/undo", json={})
    assert herons()[1] == ["sure0.png", "sure1.png", "sure2.png"]


def test_the_status_says_how_often_the_model_was_right(client: httpx.Client, birds: Birds) -> None:
    assert client.get("/api/status").json()["audit"] is None
    sure = [name for name in birds.ids if not name.startswith("bird")]
    label = {name: "heron" if name.startswith("sure") else "stork" for name in sure}
    decide(client, *(decision(birds.ids[name], "label", label[name]) for name in sure))
    audit = client.get("/api/status").json()["audit"]
    assert (audit["right"], audit["reviewed"]) == (5, 8)  # three cranes are storks
    assert 0 < audit["low"] < 5 / 8 < audit["high"] < 1


def test_the_commands_name_the_folder_safely(tmp_path: Path, serve: Serve) -> None:
    birds = flock(tmp_path / "it's; $(mine)", [("a.png", "unsure", "heron", 0.5)])
    with serve(birds).client() as client:
        export, distil = client.get("/api/status").json()["commands"]
    quoted = "'" + str(birds.folder).replace("'", "'\"'\"'") + "'"
    assert export == f"unseen label export {quoted} -o dataset/"
    assert distil == f"unseen distil {quoted} -o model.onnx"


def test_a_label_can_be_added(client: httpx.Client, birds: Birds) -> None:
    assert client.post("/api/labels", json={"name": "  grey   heron "}).json() == {
        "name": "grey heron"
    }
    (result,) = decide(client, decision(birds.ids["bird00.png"], "label", "grey heron"))
    assert result["saved"]
    names = [one["name"] for one in client.get("/api/labels").json()["labels"]]
    assert names == [*LABELS, "grey heron"]
    for name in ("", " ", "x" * 201, "a\0b", 3, None):
        problem(client.post("/api/labels", json={"name": name}), 422)


# pictures


def test_pictures_are_made_anew_and_small_enough(tmp_path: Path, serve: Serve) -> None:
    birds = flock(tmp_path / "birds", [("large.png", "unsure", "heron", 0.5)], size=(2400, 1200))
    with serve(birds).client() as client:
        path = f"/api/picture/{birds.ids['large.png']}"
        for size, expected in [
            ("small", (320, 160)),
            ("page", (1600, 800)),
            ("full", (2400, 1200)),
        ]:
            answer = client.get(path, params={"size": size})
            assert answer.headers["content-type"] == "image/jpeg"
            with Image.open(io.BytesIO(answer.content)) as image:
                assert (image.format, image.size) == ("JPEG", expected)
        assert "immutable" in answer.headers["cache-control"]
        problem(client.get(path, params={"size": "9999"}), 422)


def test_a_picture_is_asked_for_by_its_id_alone(client: httpx.Client, birds: Birds) -> None:
    (birds.folder / "secret.png").write_bytes((birds.folder / "bird00.png").read_bytes() + b"x")
    for id in ("secret.png", "..%2Fbirds%2Fbird00.png", "bird00.png", "0" * 31, "0" * 32, "G" * 32):
        assert client.get(f"/api/picture/{id}").status_code in (404, 422)


def test_a_file_that_changed_is_not_shown_for_the_one_that_was_looked_at(
    client: httpx.Client, birds: Birds
) -> None:
    shutil.copy(birds.folder / "bird01.png", birds.folder / "bird00.png")
    (birds.folder / "bird02.png").unlink()
    for name in ("bird00.png", "bird02.png"):
        detail = problem(client.get(f"/api/picture/{birds.ids[name]}"), 404)
        assert detail.startswith(f"{name}: the file is gone, or has changed")


def test_broken_and_bomb_files_are_problems(tmp_path: Path, serve: Serve) -> None:
    """Their bytes are in the labelling's hand, as they were proposed for; none is sent as it is."""
    contents = {
        "page.jpg": b"<html><script>alert(1)</script>",
        "cut.jpg": b"\xff\xd8\xff\xe0" + b"\0" * 50,
        "bomb.png": hostile.png_bomb(60_000, 60_000),
    }
    pictures = ReviewImages(tmp_path)
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        id = hashlib.sha256(content).hexdigest()[:32]
        with pytest.raises(ImageError):
            pictures.jpeg(Picture(id, (name,), None, None, (), "unsure"), "page")
    outside = tmp_path.parent / "outside.png"
    Image.new("RGB", (8, 8)).save(outside)
    id = hashlib.sha256(outside.read_bytes()).hexdigest()[:32]
    for path in ("../outside.png", str(outside)):
        with pytest.raises(ImageError):
            pictures.jpeg(Picture(id, (path,), None, None, (), "unsure"), "page")
