"""A prediction as data: its truth, its shapes, what it says of itself, how a notebook draws it."""

from __future__ import annotations

import json
import pickle
from html.parser import HTMLParser
from pathlib import Path

import pytest

import running
import unseen
from unseen import Prediction, Predictions, Scored

RANKING = (Scored("cat", 0.75, 0.31), Scored("dog", 0.25, 0.2))
GOOD = Prediction("a.jpg", RANKING, left_out=3)
NOTHING = Prediction("a.jpg", (), left_out=5)
FAILED = Prediction("b.jpg", error="b.jpg: there is no such file.")


def test_it_is_true_unless_it_failed() -> None:
    assert GOOD and NOTHING and not FAILED
    assert len(NOTHING) == 0 and NOTHING.unknown  # nothing reached its score: that is an answer
    assert [p.source for p in (GOOD, NOTHING, FAILED) if p] == ["a.jpg", "a.jpg"]


def test_probabilities_are_those_of_the_ranking_best_first() -> None:
    assert list(GOOD.probabilities.items()) == [("cat", 0.75), ("dog", 0.25)]
    assert NOTHING.probabilities == FAILED.probabilities == {}


def test_iterating_and_indexing_give_the_same_rows() -> None:
    rows = [{"score": 0.75, "label": "cat"}, {"score": 0.25, "label": "dog"}]
    assert list(GOOD) == rows and len(GOOD) == 2
    assert GOOD[0] == rows[0] and GOOD[-1] == rows[1] and GOOD[:1] == rows[:1]
    with pytest.raises(IndexError):
        GOOD[2]


def test_it_does_not_become_a_dict_of_nonsense() -> None:
    with pytest.raises(TypeError, match=r"to_dict\(\)"):
        dict(GOOD)
    with pytest.raises(TypeError, match="probabilities"):
        dict(**GOOD)


def test_to_dict_is_the_line_of_the_command() -> None:
    line = running.unseen("classify", "examples/cat.jpg", "-l", "cat,dog", "--jsonl").stdout
    prediction = unseen.load().classify("examples/cat.jpg", ["cat", "dog"])
    assert json.loads(line) == json.loads(json.dumps(prediction.to_dict()))
    assert FAILED.to_dict() == {"source": "b.jpg", "error": "b.jpg: there is no such file."}


def test_metadata_is_carried_and_left_out_where_there_is_none() -> None:
    frame = Prediction("a.mp4", RANKING, meta={"frame": 7})
    assert frame.to_dict()["meta"] == {"frame": 7} and "meta" not in GOOD.to_dict()
    assert Prediction("x", error="broken", meta={"frame": 7}).to_dict()["meta"] == {"frame": 7}
    assert frame != Prediction("a.mp4", RANKING) and len({frame, GOOD}) == 2


def test_pickle() -> None:
    for prediction in (GOOD, NOTHING, FAILED):
        assert pickle.loads(pickle.dumps(prediction)) == prediction
    assert pickle.loads(pickle.dumps(Predictions([GOOD]))) == [GOOD]


@pytest.mark.parametrize(
    ("prediction", "text"),
    [
        (GOOD, "Prediction(source='a.jpg', label='cat', score=0.75)"),
        (NOTHING, "Prediction(source='a.jpg', label=None, score=None, unknown=True)"),
        (FAILED, "Prediction(source='b.jpg', error='b.jpg: there is no such file.')"),
        (
            Prediction("a.jpg", RANKING, evidence=0.1),
            "Prediction(source='a.jpg', label=None, score=0.75, unknown=True)",
        ),
        (
            Prediction("a.jpg", (Scored("unknown", 0.9, 0.3),)),
            "Prediction(source='a.jpg', label=None, score=0.9, unknown=True)",
        ),
    ],
)
def test_repr_says_label_score_and_source(prediction: Prediction, text: str) -> None:
    assert repr(prediction) == text


def test_repr_of_a_label_with_its_scores() -> None:
    assert repr(Scored("cat", 0.123456, 0.3)) == "Scored('cat', 0.1235, cosine=0.3)"


# in a notebook


class Drawn(HTMLParser):
    """What a browser would see: tags, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"

    def pictures(self) -> list[str]:
        return [attributes["src"] or "" for tag, attributes in self.tags if tag == "img"]


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"


def test_html_has_a_thumbnail_labels_and_bars() -> None:
    drawn = Drawn(Prediction("examples/cat.jpg", RANKING)._repr_html_())
    (address,) = drawn.pictures()
    assert address.startswith("data:image/jpeg;base64,")
    assert all(word in drawn.text for word in ("examples/cat.jpg", "cat", "75.0%", "dog", "25.0%"))
    widths = [a["style"] or "" for _, a in drawn.tags if "width:75.0%" in (a.get("style") or "")]
    assert len(widths) == 1


@pytest.mark.parametrize(
    "prediction",
    [
        Prediction(HOSTILE, (Scored(HOSTILE, 0.9, 0.3),)),
        Prediction(HOSTILE, error=HOSTILE),
        Prediction("a.jpg", (Scored(HOSTILE, float("nan"), 0.3),), evidence=0.0),
    ],
)
def test_html_of_labels_paths_and_errors_is_escaped(prediction: Prediction) -> None:
    harmless = Prediction("a", (Scored("b", 0.9, 0.3),), evidence=prediction.evidence)
    allowed = {tag for tag, _ in Drawn(harmless._repr_html_()).tags}
    for html in (prediction._repr_html_(), Predictions([prediction])._repr_html_()):
        drawn = Drawn(html)
        assert {tag for tag, _ in drawn.tags} <= allowed
        assert not any(name.startswith("on") for _, a in drawn.tags for name in a)
        assert HOSTILE in drawn.text  # it is shown as it is


def test_html_draws_no_picture_that_is_not_a_readable_file(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"broken")
    for source in (
        str(broken),
        str(tmp_path),
        "image 0",
        "a\0b",
        "x" * 9000,
        "http://[::1]:1/a.png",
    ):
        drawn = Drawn(Prediction(source, RANKING)._repr_html_())
        assert drawn.pictures() == [] and "75.0%" in drawn.text


def test_html_of_a_name_that_is_not_utf_8() -> None:
    html = Prediction("\udcff.jpg", RANKING)._repr_html_()
    assert r"\udcff.jpg" in html.encode("utf-8").decode("utf-8")


def test_html_says_unknown_and_what_failed() -> None:
    assert "unknown" in Drawn(NOTHING._repr_html_()).text
    little = Drawn(Prediction("a.jpg", RANKING, evidence=0.1)._repr_html_()).text
    assert little.index("unknown") < little.index("cat")
    assert "error: b.jpg: there is no such file." in Drawn(FAILED._repr_html_()).text


def test_a_list_draws_a_row_for_each_and_stops_somewhere() -> None:
    three = Predictions([GOOD, NOTHING, FAILED])
    assert sum(tag == "tr" for tag, _ in Drawn(three._repr_html_()).tags) == 1 + 3
    many = Drawn(Predictions([GOOD] * 1234)._repr_html_())
    assert sum(tag == "tr" for tag, _ in many.tags) == 1 + 50
    assert "1,184 more" in many.text and "more" not in Drawn(three._repr_html_()).text


def test_a_list_of_predictions_is_a_list() -> None:
    three = Predictions(p for p in (GOOD, NOTHING, FAILED))
    assert three == [GOOD, NOTHING, FAILED] and three[0] is GOOD
    assert type(three[:2]) is Predictions and three[1:] == [NOTHING, FAILED]
