"""`unseen diff` and the manifests beside outputs, as a user meets them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import shapes
from running import unseen

SHAPES = ["-m", "tests/fixtures/shapes-clip"]
LABELS = "a red circle,a blue star,a green square"


def made(output: Path) -> dict[str, Any]:
    beside = output.with_name(output.name + ".run.json")
    hidden = output.parent / ".manifests" / beside.name
    assert beside.exists() != hidden.exists()  # one place
    text = (beside if beside.exists() else hidden).read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i, label in enumerate(["red circle", "blue star", "green square", "red circle"]):
        shapes.draw(shapes.scene(label), i).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def runs(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """With three labels, and with another in place of the first; the broken picture is mended."""
    out = tmp_path_factory.mktemp("runs")
    a, b = out / "a.jsonl", out / "b.csv"
    unseen("classify", folder, "-l", LABELS, *SHAPES, "-o", a, code=1)
    shapes.draw(shapes.scene("blue star"), 9).save(folder / "broken.png")
    labels = LABELS.replace("red circle", "pink heart")
    unseen("classify", folder, "-l", labels, *SHAPES, "-o", b, "--top", 2)
    (folder / "broken.png").write_bytes(b"broken")
    return [a, b]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "json"])
def test_every_output_has_a_manifest_that_is_complete(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"o.{kind}"
    run = ["classify", folder, "-l", LABELS, *SHAPES, "-o", out, "--precision", "auto"]
    unseen(*run, code=1)
    found = made(out)
    assert (found["pictures"], found["errors"], found["complete"]) == (5, 1, True)
    assert [label["name"] for label in found["labels"]] == LABELS.split(",")
    assert found["templates"] == ["This is a photo of {}."]
    assert found["precision"] in ("fp32", "int8") and found["options"]["precision"] == "auto"
    assert found["started"] <= found["ended"] and found["versions"]["onnxruntime"]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_going_on_keeps_the_count_and_says_who_made_the_rest(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"o.{kind}"
    run = ["classify", folder, "-l", LABELS, *SHAPES, "-o", out]
    unseen(*run, code=1)
    whole, before = out.read_bytes(), made(out)
    out.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))  # the broken one is the last
    unseen(*run, "--resume", code=1)
    found = made(out)
    assert out.read_bytes() == whole
    assert (found["pictures"], found["errors"]) == (5, 1)
    assert found["kept"]["pictures"] == 4 and found["kept"]["errors"] == 0
    assert found["kept"]["runs"] == [{"started": before["started"], "versions": before["versions"]}]
    unseen(*run, "--resume")  # nothing is left, and nothing is counted twice
    found = made(out)
    assert (found["pictures"], found["errors"]) == (5, 1) and len(found["kept"]["runs"]) == 2


def test_flips_errors_and_reasons(runs: list[Path], folder: Path) -> None:
    said = unseen("diff", *runs).stdout
    assert "5 pictures in both, 3 with another answer (60.0%)" in said
    assert "errors: 0 came, 1 went" in said
    assert re.search(r"label added +none → \[\"a pink heart\"\]", said)
    assert "label removed: a red circle" in said
    data = json.loads(unseen("diff", *runs, "--json").stdout)
    assert data["changed"] == 3 and data["errors_went"] == [str(folder / "broken.png")]
    flipped = {Path(flip["source"]).name: flip for flip in data["flips"]}
    assert set(flipped) == {"0.png", "3.png", "broken.png"}
    assert flipped["0.png"]["a"]["answer"] == "a red circle"
    assert flipped["0.png"]["a"]["margin"] > 0.5 and flipped["0.png"]["b"]["margin"] is not None
    assert sum(cell["pictures"] for cell in data["matrix"]) == 5
    assert {d["what"] for d in data["differences"]} >= {"label added", "label removed"}


def test_the_gate_decides_the_exit_status(runs: list[Path]) -> None:
    assert "allows fewer" in unseen("diff", *runs, "--max-flips", "59%", code=1).stderr
    unseen("diff", *runs, "--max-flips", "60%")
    unseen("diff", *runs, "--max-flips", 3)
    unseen("diff", runs[0], runs[0], "--max-flips", 0)
    data = json.loads(unseen("diff", *runs, "--max-flips", 2, "--json", code=1).stdout)
    assert data["passed"] is False
    assert "max-flips" in unseen("diff", *runs, "--max-flips", "few", code=2).stderr
    assert "no such file" in unseen("diff", runs[0], "no.jsonl", code=2).stderr


def test_a_page_shows_what_flipped(runs: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "flips.html"
    unseen("diff", *runs, "--html", page)
    blocks = dict(
        re.findall(r'<script type="application/json" id="([\w-]+)">(.*?)</script>',
                   page.read_text("utf-8"), re.DOTALL)
    )  # fmt: skip
    sections = json.loads(blocks["data"])["sections"]
    assert sum(len(section["items"]) for section in sections) == 3
    assert len(json.loads(blocks["pictures-0"])) == 2  # the third cannot be opened (any more)
    assert any(s["title"].startswith("(error) → a blue star") for s in sections)


def test_every_output_has_a_manifest(tmp_path: Path) -> None:
    """What is made with a model says with which, of what labels and how, and how much failed."""
    folder = tmp_path / "pictures"
    for label in LABELS.split(","):
        (folder / label).mkdir(parents=True)
        for seed in range(2):
            shapes.draw(shapes.scene(label), seed).save(folder / label / f"{seed}.png")
    (folder / "a blue star" / "broken.png").write_bytes(b"no picture")
    labels = ("-l", LABELS, *SHAPES)
    (tmp_path / "report.html.run.json").write_text("{}")  # as 0.1.0 left it
    outputs = {
        tmp_path / "rows.jsonl": ("classify", folder, *labels, "-o"),
        tmp_path / "vectors.npy": ("embed", folder, *SHAPES, "-o"),
        tmp_path / "learnt.json": ("calibrate", folder, *labels, "-o"),
        tmp_path / "mine.safetensors": ("adapt", folder, *labels, "-o"),
        tmp_path / "report.html": ("eval", folder, *labels, "--html"),
        tmp_path / "sorted": ("organize", folder, *labels, "--into"),
    }
    found = {}
    for output, command in outputs.items():
        unseen(*command, output, code=1)
        (output,) = output.glob("*.jsonl") if output.is_dir() else [output]
        found[command[0]] = made(output)
    for name, run in found.items():
        assert (run["pictures"], run["errors"], run["complete"]) == (7, 1, True), name
    (found["eval"],) = found["eval"]["runs"]
    for name, run in found.items():
        assert run["fingerprint"] == found["classify"]["fingerprint"], name
        assert run["versions"] == found["classify"]["versions"] and run["options"], name
        if name != "embed":
            assert run["labels_sha256"] == found["classify"]["labels_sha256"], name
            assert [label["name"] for label in run["labels"]] == LABELS.split(","), name
    assert found["calibrate"]["options"]["sets"] == "lac"

    compiled = tmp_path / "set.safetensors"
    unseen("labels", "compile", LABELS, *SHAPES, "-o", compiled)
    assert made(compiled)["labels_sha256"] == found["classify"]["labels_sha256"]
    unseen("index", folder, *SHAPES, "-q", code=1)
    pages = {
        tmp_path / "found.html": ("search", "a blue star", "--index", folder),
        tmp_path / "same.html": ("duplicates", folder, "--threshold", "0.2"),
        tmp_path / "alike.html": ("similar", folder, "--threshold", "0.2"),
        tmp_path / "clusters.html": ("clusters", folder, "--k", "2"),
        tmp_path / "map.html": ("map", folder, "--k", "2"),
    }
    for output, command in pages.items():
        unseen(*command, "--html", output)
        run = made(output)
        assert run["fingerprint"] == found["classify"]["fingerprint"], command
        assert (run["pictures"], run["complete"]) == (6, True) and run["options"], command
    unseen("index", "export", tmp_path / "out.parquet", "--index", folder)
    run = made(tmp_path / "out.parquet")
    assert run["models"][0]["fingerprint"] == found["classify"]["fingerprint"]
    rows = tmp_path / "rows.jsonl"
    unseen("diff", rows, rows, "--html", tmp_path / "flips.html")
    assert made(tmp_path / "flips.html")["runs"] == [found["classify"]] * 2
    assert found["adapt"]["options"]["shots"] == 64
    # Only those that can be resumed or compared lie where people look.
    beside = {path.name for path in tmp_path.glob("*.run.json")}
    assert beside == {"rows.jsonl.run.json", "vectors.npy.run.json"}
