"""Label Studio's own requests against a server: its connector is `requests` with these bodies."""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import unseen
from asking import KEY, ask, b64, png
from serving import serving
from unseen.errors import SourceError
from unseen.load_options import LoadOptions
from unseen.web.problems import Problem
from unseen.web.server.apis import label_studio
from unseen.web.server.core.settings import Settings
from unseen.web.server.http import keys

LABELS = ["red circle", "blue square", "green star"]


def config(*labels: str, choice: str = "single", more: str = "") -> str:
    options = "".join(f'<Choice value="{label}"/>' for label in labels or LABELS)
    return (
        f'<View><!-- ours --><Image name="image" value="$picture"/>{more}'
        f'<Choices name="kind" toName="image" choice="{choice}">{options}</Choices></View>'
    )


def tasks(*pictures: Any) -> list[dict[str, Any]]:
    return [{"id": i, "data": {"picture": picture}} for i, picture in enumerate(pictures)]


def uri(label: str) -> str:
    return f"data:image/png;base64,{b64(label)}"


def predict(url: str, given: list[Any], label_config: str, **fields: Any) -> list[Any]:
    body = {
        "tasks": given,
        "label_config": label_config,
        "project": "1.1712",
        "model_version": "any",
        "params": {"login": None, "password": None, "context": None},
        **fields,
    }
    status, answer, _ = ask(f"{url}/predict", body)
    assert status == 200, answer
    assert [*answer] == ["results"]
    return answer["results"]


def test_single_choice_is_what_classify_says(url: str, classifier: unseen.Classifier) -> None:
    results = predict(url, tasks(uri("a red circle"), uri("a blue square")), config())
    assert len(results) == 2
    for result, label in zip(results, LABELS, strict=False):
        expected = classifier.classify(png(f"a {label}"), LABELS)
        (region,) = result["result"]
        assert region["value"] == {"choices": [expected.label]} == {"choices": [label]}
        assert (region["from_name"], region["to_name"]) == ("kind", "image")
        assert region["type"] == "choices"
        assert region["score"] == pytest.approx(expected.score, abs=1e-6)
        assert result["score"] == region["score"]
        assert result["model_version"].endswith(classifier.encoder.model.fingerprint[:8])
        assert "error" not in result


def test_multiple_choice_is_multi_label(url: str, classifier: unseen.Classifier) -> None:
    labels = ["red", "circle", "a red circle", "blue square", "green star"]
    (result,) = predict(url, tasks(uri("a red circle")), config(*labels, choice="multiple"))
    expected = classifier.classify(png("a red circle"), labels, multi_label=True)
    (region,) = result["result"]
    assert region["value"]["choices"] == [scored.label for scored in expected.ranking]
    assert len(region["value"]["choices"]) > 1
    (nothing,) = predict(url, tasks(uri("a red circle")), config("zebra", choice="multiple"))
    assert not classifier.classify(png("a red circle"), ["zebra"], multi_label=True).ranking
    assert (nothing["result"], nothing["score"]) == ([], 0.0)
    assert "error" not in nothing


def test_several_blocks_aliases_and_nests(url: str) -> None:
    more = """
      <Text name="text" value="$text"/>
      <Choices name="mood" toName="text"><Choice value="glad"/></Choices>
      <Choices name="colour" toName="image">
        <Choice value="a red circle" alias="R"/><Choice value="a blue circle" alias="B"/>
      </Choices>
      <Choices name="tree" toName="image" allowNested="true">
        <Choice value="round"><Choice value="red circle"/><Choice value="blue ring"/></Choice>
        <View><Choice value="edged" alias="E"><Choice value="blue square"/></Choice></View>
      </Choices>"""
    given = tasks(uri("a red circle"), uri("a blue square"))
    first, second = predict(url, given, config(more=more))
    assert {r["from_name"]: r["value"]["choices"] for r in first["result"]} == {
        "colour": ["R"],
        "tree": [["round", "red circle"]],
        "kind": ["red circle"],
    }
    assert second["result"][1]["value"]["choices"] == [["E", "blue square"]]
    scores = [region["score"] for region in first["result"]]
    assert first["score"] == pytest.approx(sum(scores) / 3)


def test_a_broken_picture_is_an_empty_result_and_the_run_goes_on(url: str) -> None:
    cut = base64.b64encode(png("a red circle")[:150]).decode()
    given = [
        *tasks(uri("a red circle"), f"data:image/png;base64,{cut}", "no picture", 3, ""),
        {"id": 9, "data": {}},
        *tasks("http://127.0.0.1:1/a.png", "/data/upload/1/a.png", uri("a blue square")),
    ]
    results = predict(url, given, config())
    assert len(results) == len(given)
    good = [i for i, result in enumerate(results) if "error" not in result]
    assert good == [0, len(given) - 1]
    for result in results[1:-1]:
        assert (result["result"], result["score"]) == ([], 0.0)
        assert result["error"]


def test_more_tasks_than_a_batch_keep_their_order(url: str) -> None:
    given = tasks(*[uri(f"a {LABELS[i % 3]}") for i in range(70)])
    results = predict(url, given, config())
    found = [result["result"][0]["value"]["choices"][0] for result in results]
    assert found == [LABELS[i % 3] for i in range(70)]
    status, answer, _ = ask(
        f"{url}/predict", {"tasks": tasks(*["x"] * 1001), "label_config": config()}
    )
    assert (status, "1,000" in answer["error"]) == (413, True)


def test_setup_webhook_and_health(url: str) -> None:
    body = {"project": "7.1", "schema": config(), "hostname": "", "access_token": "secret"}
    status, answer, _ = ask(f"{url}/setup", body)
    assert (status, [*answer]) == (200, ["model_version"])
    # The configuration of /setup holds where /predict brings none.
    results = predict(url, tasks(uri("a red circle")), "", project="7.1")
    assert results[0]["result"][0]["value"]["choices"] == ["red circle"]
    assert ask(f"{url}/webhook", {"action": "ANNOTATION_CREATED", "annotation": {}})[0] == 200
    assert ask(f"{url}/health")[1] == {"status": "UP", "model_class": "unseen"}


BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">'
    + "".join(
        f'<!ENTITY {b} "{10 * f"&{a};"}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + ']><View><Image name="i" value="$i"/><Choices name="c" toName="i">'
    '<Choice value="&i;"/></Choices></View>'
)


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        (BILLION_LAUGHS, 422),
        ('<!DOCTYPE v SYSTEM "file:///etc/passwd"><View/>', 422),
        ('<!DOCTYPE v [<!ENTITY x SYSTEM "file:///etc/passwd">]><View>&x;</View>', 422),
        # Well-formed and harmless but for its DOCTYPE.
        ('<!DOCTYPE View [<!ENTITY x "cat">]>' + config("&x;"), 422),
        ("<View>", 422),
        ("no xml", 422),
        ("<View/>", 422),
        ('<View><Image name="i" value="$i"/></View>', 422),
        ('<View><Choices name="c" toName="i"><Choice value="a"/></Choices></View>', 422),
        ("\ud800", 422),
        ("<View>" + " " * 300_000 + "</View>", 413),
    ],
)
def test_configurations_that_are_refused(url: str, broken: str, status: int) -> None:
    for path, body in (
        ("/setup", {"project": "1", "schema": broken}),
        ("/predict", {"tasks": [], "label_config": broken}),
    ):
        found, answer, _ = ask(url + path, body)
        assert found == status, answer
        assert {*answer} == {"error", "detail"}
        assert "root:" not in answer["error"]


def test_a_deep_configuration_does_no_harm() -> None:
    deep = 15_000 * "<View>" + 15_000 * "</View>"
    with pytest.raises(Problem, match="no <Choices>"):
        label_studio.choices_tags(deep)
    nest = 5_000 * '<Choice value="a">' + 5_000 * "</Choice>"
    image = '<Image name="i" value="$i"/>'
    (block,) = label_studio.choices_tags(
        f'<View>{image}<Choices name="c" toName="i">{nest}</Choices></View>'
    )
    assert block.written == {"a": "a"}


def test_own_files_need_a_host_that_is_allowed(
    shapes_clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[tuple[str, Mapping[str, str] | None]] = []

    def fetched(
        address: str, settings: Settings, headers: Mapping[str, str] | None = None
    ) -> bytes:
        asked.append((address, headers))
        if "missing" in address:
            raise SourceError("the server answers 404.")
        return png("a red circle")

    monkeypatch.setattr("unseen.web.server.core.remote.fetch_image", fetched)
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        url_hosts=frozenset({"labels.example:8080"}),
        label_store=tmp_path / "labelsets.sqlite",
    )
    own = "/data/upload/1/a.png?d=1"

    def setup(url: str, hostname: str, project: str = "1.1") -> None:
        body = {"project": project, "hostname": hostname, "access_token": "s3cret"}
        assert ask(f"{url}/setup", {**body, "schema": config()})[0] == 200

    def errors(url: str, *pictures: str, project: str = "1.1") -> list[str]:
        found = predict(url, tasks(*pictures), config(), project=project)
        return [result.get("error", "") for result in found]

    with serving(settings) as served, caplog.at_level("DEBUG"):
        url = served.url
        assert "/setup" in errors(url, own)[0]
        setup(url, "http://evil.example")
        assert "--url-host evil.example" in errors(url, own)[0]
        setup(url, "http://labels.example:99999/")
        assert "--url-host labels.example:99999" in errors(url, own)[0]
        setup(url, "http://labels.example:8080@evil.example/")
        assert "evil.example" in errors(url, own)[0]
        assert asked == []
        setup(url, "http://labels.example:8080/")
        assert errors(url, own, "/data/missing.png") == ["", "the server answers 404."]
        token = {"Authorization": "Token s3cret"}
        assert asked[0] == ("http://labels.example:8080/data/upload/1/a.png?d=1", token)
        asked.clear()
        # Another project's token is not its own, and no other path is asked.
        assert "/setup" in errors(url, own, project="2.1")[0]
        odd = ["/api/users/", "/data/../api/users", "//evil.example/data/a.png", "/data/ a"]
        odd += ["/data/%2E./api", "/data/a\r\nb", "/api/data/x"]
        found = errors(url, *odd)
        assert all("not a file of Label Studio" in error for error in found), found
        assert asked == []
        # A plain URL is fetched as anybody's, without the token.
        assert errors(url, "http://labels.example:8080/data/upload/a.png") == [""]
        assert asked == [("http://labels.example:8080/data/upload/a.png", None)]
        asked.clear()
        setup(url, "http://labels.example:8080/below", "3.1")
        assert errors(url, "/data/a.png", "/below/data/a.png", project="3.1") == ["", ""]
        assert {address for address, _ in asked} == {"http://labels.example:8080/below/data/a.png"}
    assert "s3cret" not in caplog.text


class Studio(BaseHTTPRequestHandler):
    """Hands out one picture, to those who bring the token."""

    def do_GET(self) -> None:
        good = self.headers["Authorization"] == "Token s3cret"
        self.send_response(200 if good and self.path == "/data/upload/1/a.png" else 401)
        self.end_headers()
        self.wfile.write(png("a red circle") if good else b"")

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def test_an_own_file_is_fetched_with_the_projects_token(shapes_clip: Path, tmp_path: Path) -> None:
    studio = ThreadingHTTPServer(("127.0.0.1", 0), Studio)
    threading.Thread(target=studio.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{studio.server_port}"
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        url_hosts=frozenset({host}),
        label_store=tmp_path / "labelsets.sqlite",
    )
    with serving(settings) as served:
        for token, error in (("s3cret", None), ("another", "401")):
            body = {"project": "1", "hostname": f"http://{host}", "access_token": token}
            assert ask(f"{served.url}/setup", body)[0] == 200
            given = tasks("/data/upload/1/a.png")
            (result,) = predict(served.url, given, config(), project="1")
            assert (error or "") in result.get("error", ""), result
            assert bool(result["result"]) == (error is None)
    studio.shutdown()
    studio.server_close()


def test_a_token_serves_the_key_that_brought_it(
    shapes_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unseen.web.server.core.remote.fetch_image", lambda *_: png("a red circle"))
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        key_hashes=(keys.digest("one"), keys.digest("two")),
        url_hosts=frozenset({"labels.example"}),
        label_store=tmp_path / "labelsets.sqlite",
    )
    with serving(settings) as served:
        body = {"project": "1", "hostname": "http://labels.example", "access_token": "s3cret"}
        assert ask(f"{served.url}/setup", body, Authorization="Bearer one")[0] == 200
        body = {"tasks": tasks("/data/a.png"), "label_config": config(), "project": "1"}
        for key, good in (("one", True), ("two", False)):
            _, answer, _ = ask(f"{served.url}/predict", body, Authorization=f"Bearer {key}")
            assert bool(answer["results"][0]["result"]) == good, key


def test_basic_authentication(locked_url: str) -> None:
    def credentials(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    body = {"tasks": tasks(uri("a red circle")), "label_config": config()}
    for given, status in (
        (credentials(f"anyone:{KEY}"), 200),
        (f"Bearer {KEY}", 200),
        (credentials(f"{KEY}:anyone"), 401),
        (credentials("anyone"), 401),
        ("Basic ===", 401),
        ("", 401),
    ):
        found, answer, _ = ask(f"{locked_url}/predict", body, Authorization=given)
        assert found == status, (given, answer)


def test_overload(busy_url: str) -> None:
    body = {"tasks": tasks(uri("a red circle")), "label_config": config()}
    status, answer, headers = ask(f"{busy_url}/predict", body)
    assert (status, headers["Retry-After"]) == (503, "1")
    assert "busy" in answer["error"]
    assert ask(f"{busy_url}/setup", {"project": "1", "schema": config()})[0] == 200
