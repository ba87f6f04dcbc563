"""Maps of the worst mistakes, in the report and as data."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import browsers
import shapes
import unseen
from browsers import Browser
from unseen.cli.app import app
from unseen.errors import LabelError
from unseen.evaluation.evaluation import Comparison, compare
from unseen.load_options import LoadOptions

LABELS = ["a red circle", "a blue square", "a green star", "a black cross", "a pink heart"]


def unread(summary: object) -> None:
    """Labels without a picture are no news here."""


PAIR = shapes.Scene(
    (shapes.Thing("red", "circle", "large"), shapes.Thing("blue", "square", "large")), "left of"
)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Pictures of two things, of which the model says the red one first: another is their truth."""
    folder = tmp_path_factory.mktemp("wrong")
    rows = []
    for seed in range(3):
        path = folder / f"pair{seed}.png"
        shapes.draw(PAIR, seed).save(path)
        rows.append((str(path), "a blue square"))
    shapes.draw(shapes.scene("a green star"), 1).save(folder / "star.png")
    return [*rows, (str(folder / "star.png"), "a green star")]


def test_a_mistake_has_a_map_against_the_truth(
    wrong: list[tuple[str, str]], shapes_clip: Path, tmp_path: Path
) -> None:
    classifier = unseen.load(shapes_clip)
    report = unseen.evaluate(classifier, wrong, LABELS, explain=True, on_read=unread)
    assert report.mistakes
    for mistake in report.mistakes:
        why = mistake["why"]
        assert why["against"] == "a blue square" != mistake["said"]
        expected = classifier.explain(
            mistake["path"], LABELS, mistake["said"], "a blue square", method=why["method"]
        )
        assert why["sentence"] == expected.sentence
        assert why["notes"] == [*expected.notes]
        drawing = Image.open(io.BytesIO(report.drawings["A"][mistake["path"]]))
        assert drawing.format == "JPEG" and max(drawing.size) < 600
    json.dumps(report.to_dict())
    page = tmp_path / "report.html"
    report.check([]).to_html(page)
    text = page.read_text("utf-8")
    assert text.count("data:image/jpeg") >= len(report.mistakes)
    assert report.mistakes[0]["why"]["sentence"].split(":")[0] in text


def test_without_the_option_nothing_is_explained(
    wrong: list[tuple[str, str]], shapes_clip: Path, tmp_path: Path
) -> None:
    report = unseen.evaluate(unseen.load(shapes_clip), wrong, LABELS, on_read=unread)
    assert report.drawings == {} and all("why" not in m for m in report.mistakes)
    report.to_html(tmp_path / "report.html")
    assert "pair0.png" in (tmp_path / "report.html").read_text("utf-8")


def test_each_candidate_has_maps_of_its_own(
    wrong: list[tuple[str, str]], shapes_clip: Path
) -> None:
    models = [LoadOptions(str(shapes_clip)), LoadOptions(str(shapes_clip), exact=True)]
    report = compare(models, wrong, Comparison(explain=True))
    assert set(report.drawings) == {"A", "B"}


def test_the_report_shows_why(
    wrong: list[tuple[str, str]], shapes_clip: Path, tmp_path: Path
) -> None:
    report = unseen.evaluate(unseen.load(shapes_clip), wrong, LABELS, explain=True, on_read=unread)
    report.to_html(tmp_path / "report.html")
    with browsers.chromium(tmp_path / "profile") as driver:
        page = Browser(driver)
        for size in (browsers.DESK, browsers.PHONE):
            page.open(tmp_path / "report.html", size)
            assert page.all("#mistakes details[open]") == []
            page.one("#mistakes summary").click()
            page.until(lambda: page.shown("#mistakes details[open] img"))
            image = page.one("#mistakes details img")
            assert int(image.get_attribute("naturalWidth")) > 0
            assert "most speaks for" in image.get_attribute("alt")
            assert page.has_no_sideways_scroll()


def test_the_command_wants_a_page(wrong: list[tuple[str, str]], tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["eval", str(tmp_path), "--explain"])
    assert isinstance(answer.exception, LabelError) and "--html" in str(answer.exception)
