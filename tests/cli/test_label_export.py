"""`unseen label export`, as a user types it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.test_commands import unseen
from labelled import HandLabel, label_by_hand
from unseen.annotation.labelling import Labelling
from unseen.datasets.readers import read_annotations

NAMES = ["cat", "dog", "a/b", "a:b"]


@pytest.fixture
def labelling(tmp_path: Path) -> Iterator[Labelling]:
    pictures = [HandLabel(f"{n}.png", NAMES[n % 4], like=n % 4 if 4 <= n < 24 else None)
                for n in range(40)]  # fmt: skip
    pictures += [HandLabel("u.png", "cat", "unsure"), HandLabel("e.png", "cat", "error")]
    with label_by_hand(tmp_path / "photos", pictures, NAMES) as opened:
        yield opened


def test_a_data_set_of_folders(labelling: Labelling, tmp_path: Path) -> None:
    done = unseen("label", "export", labelling.root, "-o", tmp_path / "out")
    assert done.stdout == ""
    said = done.stderr
    assert "40 pictures, train " in said and "left out: 1 unsure, 1 unreadable." in said
    assert "4 groups of near-duplicates were kept together, the largest of 6." in said
    assert "warning: the folder of a:b is called a_b (2)." in said
    assert len(read_annotations(tmp_path / "out" / "train")) == sum(
        json.loads((tmp_path / "out" / "export.json").read_text())["counts"]["train"].values()
    )
    again = unseen("label", "export", labelling.root, "-o", tmp_path / "out", code=2)
    assert "--overwrite" in again.stderr
    quiet = unseen("label", "export", labelling.root, "-o", tmp_path / "out", "--overwrite", "-q")
    assert quiet.stderr == ""


def test_as_json_with_a_picture_that_is_gone(labelling: Labelling, tmp_path: Path) -> None:
    (labelling.root / "30.png").unlink()
    options = ("--format", "csv", "--split", "50/50", "--seed", 3, "--include", "unsure", "--json")
    done = unseen("label", "export", labelling.root, "-o", tmp_path / "out", *options, code=1)
    facts = json.loads(done.stdout)
    assert facts["pictures"] == 40 and list(facts["counts"]) == ["train", "valid"]
    assert facts["failed"] == [["30.png", "it does not exist any more"]]
    assert facts["left_out"]["unsure"] == 0 and facts["largest"] == 6
    assert "1 of 41 pictures could not be exported." in done.stderr
    table = tmp_path / "out" / "labels.csv"
    assert len(read_annotations(table)) == 40


def test_a_chain_is_warned_of(labelling: Labelling, tmp_path: Path) -> None:
    done = unseen("label", "export", labelling.root, "-o", tmp_path / "out", "--near", 0)
    assert "warning: one group holds 40 of 40 pictures" in done.stderr
    assert "valid has no picture of 4 labels: a/b, a:b, cat, dog." in done.stderr


def test_eval_reads_an_export(tmp_path: Path) -> None:
    import shapes

    labels = ["red circle", "blue square"]
    for number in range(8):
        label = labels[number % 2]
        path = tmp_path / "photos" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        shapes.draw(shapes.scene(label), number).save(path)
    model = ("-m", "tests/fixtures/shapes-clip", "-l", ",".join(labels))
    unseen("label", tmp_path / "photos", *model, "--sure", 0, "-q")
    for form in ("csv", "jsonl", "folders"):
        split = ("--format", form, "--split", "50/50", "--near", 1)
        unseen("label", "export", tmp_path / "photos", "-o", tmp_path / form, *split, "-q")
        given = tmp_path / form / ("train" if form == "folders" else f"labels.{form}")
        facts = json.loads(unseen("eval", given, *model, "--json").stdout)
        assert facts["pictures"] == (4 if form == "folders" else 8)
        assert not any(facts["left_out"].values()), facts["left_out"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "voc"), "unknown format 'voc'"),
        (("--split", "80-20"), "give up to three numbers"),
        (("--include", "all"), "unsure is what can be included"),
        (("--include", "unsure", "--reviewed-only"), "give one of"),
        (("--format", "csv", "--how", "link"), "copies none"),
        (("--how", "move"), "unknown way to export a picture 'move'"),
        (("--reviewed-only",), "no picture of the labelling has a label to export"),
        (("--name", "other"), "there is no labelling 'other'"),
    ],
)
def test_what_is_refused(
    options: tuple[str, ...], said: str, labelling: Labelling, tmp_path: Path
) -> None:
    done = unseen("label", "export", labelling.root, "-o", tmp_path / "out", *options, code=2)
    assert said in done.stderr and not (tmp_path / "out").exists()
