"""`unseen models`: the list and its filters, one checkpoint, a download."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from unseen.cli.app import app
from unseen.errors import ModelError
from unseen.models import catalog, hub


def run(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["models", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done


def listed(*arguments: object) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(run(*arguments, "--json").stdout)
    return rows


def test_all_of_them_as_a_table() -> None:
    lines = run().stdout.splitlines()
    rows = lines[1 : 1 + len(catalog.models())]
    assert [row[2:].split()[0] for row in rows] == [model.id for model in catalog.models()]
    assert rows[0].startswith("* builtin")
    (row,) = (row for row in rows if "openai/clip-vit-base-patch32" in row)
    assert re.search(r" 605 MB +224 +63\.3 \[1\] \? +MIT$", row)
    assert "  [1] open_clip, docs/openclip_results.csv" in lines
    assert any(line.split() == ["fast", catalog.resolve("fast")] for line in lines)
    assert max(map(len, lines)) <= 120


def test_all_of_them_as_json() -> None:
    rows = listed()
    assert len(rows) == len(catalog.models()) and rows[0]["here"] is True
    by_id = {row["id"]: row for row in rows}
    balanced = by_id[catalog.resolve("balanced")]
    assert balanced["aliases"] == ["balanced", "multilingual"]
    assert balanced["languages"] == ["mul"] and balanced["multilingual"] is True
    assert by_id["facebook/metaclip-b32-400m"]["commercial"] is False


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        (["--licence", "apache-2.0"], lambda row: row["licence"] == "Apache-2.0"),
        (["--max-size", "600MB"], lambda row: row["download_mb"] <= 600),
        (["--max-size", "600"], lambda row: row["download_mb"] <= 600),
        (["--max-size", "1.5 gb"], lambda row: row["download_mb"] <= 1500),
        (["--max-size", "0"], lambda row: row["id"] == "builtin"),
        (["--multilingual"], lambda row: row["multilingual"]),
        (["--domain", "species"], lambda row: row["domain"] == "species"),
        (["--architecture", "vit-b-16"], lambda row: "ViT-B-16" in row["architecture"]),
        (["--min-top1", "84"], lambda row: (row["imagenet_top1"] or 0) >= 84),
        (["--max-gflops", "9"], lambda row: row["gflops"] <= 9),
        (
            ["--min-top1", "79", "--max-gflops", "50", "--commercial"],
            lambda row: (
                (row["imagenet_top1"] or 0) >= 79
                and row["gflops"] <= 50
                and row["commercial"] is True
            ),
        ),
        (["--commercial"], lambda row: row["commercial"] is True),
        (
            ["--multilingual", "--commercial", "--max-size", "2GB"],
            lambda row: row["multilingual"] and row["commercial"] and row["download_mb"] <= 2000,
        ),
    ],
)
def test_filters(arguments: list[str], fits: Any) -> None:
    rows = listed(*arguments)
    assert rows and rows == [row for row in listed() if fits(row)]
    assert len(rows) < len(catalog.models())


def test_nothing_fits() -> None:
    asked = ["--multilingual", "--max-size", "1MB"]
    done = run(*asked)
    assert done.stdout == "" and "no known model meets" in done.stderr
    assert listed(*asked) == []


@pytest.mark.parametrize("size", ["big", "-1", "1TB", "", "1.5.GB"])
def test_a_size_that_is_none(size: str) -> None:
    assert "invalid size" in run(f"--max-size={size}", code=2).stderr


def test_a_licence_that_no_row_has() -> None:
    done = CliRunner().invoke(app, ["models", "--licence", "GPL-3.0"])
    assert isinstance(done.exception, ModelError)
    assert "'GPL-3.0'; there are Apache-2.0, apple-amlr" in str(done.exception)


def test_a_domain_that_no_row_has() -> None:
    done = CliRunner().invoke(app, ["models", "--domain", "cooking"])
    assert isinstance(done.exception, ModelError)
    assert "'cooking'; there are general, biomedical" in str(done.exception)


def test_compare() -> None:
    lines = run("compare", "fast", "balanced").stdout.splitlines()
    assert lines[0].split() == ["model", catalog.resolve("fast"), catalog.resolve("balanced")]
    facts = {line[:15].strip(): line[15:] for line in lines}
    assert facts["work a picture"].split() == ["11.5", "GFLOPs", "46.8", "GFLOPs"]
    assert "74.0 % (big_vision" in facts["ImageNet top-1"] and "79.1 %" in facts["ImageNet top-1"]
    assert facts["short names"].split() == ["fast", "balanced,", "multilingual"]
    assert "note" not in facts  # neither has one
    starts = {line.index(word) for line, word in ((lines[0], "google/siglip2-base-patch16"),)}
    assert len(starts) == 1
    rows = json.loads(run("compare", "fast", "timm/PE-Core-B-16", "--json").stdout)
    assert [row["id"] for row in rows] == [catalog.resolve("fast"), "timm/PE-Core-B-16"]
    assert "give two models or more" in run("compare", "fast", code=2).stderr


def test_what_was_not_checked_is_said() -> None:
    text = run("info", "timm/PE-Core-B-16").stdout
    assert re.search(r"^not checked +the card was not read", text, re.M)
    assert "not checked" not in run("info", "fast").stdout


def test_import(tmp_path: Path) -> None:
    listed_names = run("import", "--list").stdout.split()
    assert {"ViT-B-32", "LongCLIP-L", "PE-Core-B-16", "RN50"} <= set(listed_names)
    assert "give a file of weights" in run("import", code=2).stderr
    assert "give a file of weights" in run("import", "weights.pt", code=2).stderr
    for arguments in (
        ["x.pt", "--architecture", "ViT-B-3"],
        ["x.pt", "--architecture", "ViT-B-32"],
    ):
        done = CliRunner().invoke(app, ["models", "import", *arguments])
        assert isinstance(done.exception, ModelError)


def test_info() -> None:
    said = run("info", "biomedical").stdout
    assert said.startswith(
        "model            microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
    )
    assert re.search(r"^commercial use +left open$", said, re.M)
    assert re.search(r"^note +the model card names research", said, re.M)
    assert re.search(r"^short name +biomedical: trained on", said, re.M)
    assert "ImageNet" not in said  # no figure is published
    balanced = run("info", "google/siglip2-base-patch16-256").stdout
    assert "balanced: " in balanced and "multilingual: " in balanced
    assert re.search(r"^ImageNet top-1 +79\.1 % \(big_vision", balanced, re.M)


@pytest.mark.parametrize("model", catalog.models(), ids=lambda model: model.id)
def test_info_of_every_row(model: catalog.KnownModel) -> None:
    assert model.licence in run("info", model.id).stdout


def test_info_as_json() -> None:
    (row,) = (row for row in listed() if row["id"] == catalog.resolve("fast"))
    assert json.loads(run("info", "fast", "--json").stdout) == row


def test_info_of_what_is_not_known() -> None:
    done = CliRunner().invoke(app, ["models", "info", "openai/clip-vit-bas-patch32"])
    assert isinstance(done.exception, ModelError)
    assert "did you mean openai/clip-vit-base-patch32" in str(done.exception)


def test_options_before_a_subcommand_are_not_lost() -> None:
    """Else `--commercial` would be taken for a refusal, and refuse nothing."""
    done = run("--commercial", "pull", "facebook/metaclip-b32-400m", code=2)
    assert "put options of pull after it" in done.stderr


def test_pull(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    def download(name: str, revision: str | None) -> Path:
        asked.append((name, revision))
        return tmp_path

    monkeypatch.setattr(hub, "_cached", lambda name, revision: None)
    monkeypatch.setattr(hub, "_download", download)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    done = run("pull", "fast", "--commercial")
    assert done.stdout == f"{tmp_path}\n"
    assert done.stderr == "google/siglip2-base-patch32-256: 1.5 GB, Apache-2.0.\n"
    assert run("pull", "org/name@v1", "--quiet").stderr == ""
    assert run("pull", "org/name", "--revision", "v2", "-q").stderr == ""
    fast = catalog.resolve("fast")
    assert asked == [(fast, None), ("org/name", "v1"), ("org/name", "v2")]
    refused = CliRunner().invoke(app, ["models", "pull", "org/name", "--commercial"])
    assert isinstance(refused.exception, ModelError) and len(asked) == 3


def test_pull_of_what_is_here() -> None:
    done = run("pull", "builtin")
    assert done.stdout == f"{hub.BUILTIN_FOLDER}\n" and done.stderr == ""
