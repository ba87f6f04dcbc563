"""Predictions in files: written, read back, and a run that goes on where another stopped."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import parquet

import shapes
import unseen
from unseen.errors import LabelError, SourceError
from unseen.prediction.prediction import LEAST_EVIDENCE, Prediction, Scored
from unseen.results import read, write
from unseen.results.manifest import manifest, manifest_path, read_manifest
from unseen.results.records import COLUMNS, EXTRA, Csv
from unseen.results.summary import RunSummary

GROWING = (".jsonl", ".csv")

LABELS = ["a red circle", "a blue star", "a green square"]
ANSWERS = [
    Prediction("=1.jpg", (Scored("=cat", 0.75, 0.25), Scored("dog", 0.25, 0.125))),
    Prediction("2\n.jpg", (Scored("unknown", 0.75, 0.25), Scored("dog", 0.25, 0.125))),
    Prediction("3.jpg", error="3.jpg: it is\nbroken, 'quite'"),
    Prediction("4.jpg", (), left_out=2),
    Prediction(
        "5.jpg",
        (Scored("cat", 0.5, 0.25), Scored("dog", 0.5, 0.125)),
        likely=("cat", "dog"),
        evidence=LEAST_EVIDENCE + 1,
    ),
    Prediction("6.jpg", (Scored("unknown", 0.5, 0.25),), evidence=LEAST_EVIDENCE - 1),
]


@pytest.fixture(scope="module")
def clf(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, label in enumerate(LABELS):
        shapes.draw(shapes.scene(label), i).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"broken")
    return folder


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_json_and_parquet_read_back_as_they_were(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    summary = write(ANSWERS, path)
    assert (summary.pictures, summary.errors, summary.complete) == (6, 1, True)
    assert list(read(path)) == ANSWERS
    assert not manifest_path(path).exists()


def test_csv_reads_back_without_the_cosines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write(ANSWERS, path, top_k=2, extra=EXTRA)
    for ours, theirs in zip(read(path), ANSWERS, strict=True):
        assert (ours.source, ours.error, ours.label, ours.unknown) == (
            theirs.source, theirs.error, theirs.label, theirs.unknown,
        )  # fmt: skip
        assert ours.likely == theirs.likely
        assert ours.evidence == pytest.approx(theirs.evidence, abs=1e-4)
        pairs = [(scored.label, scored.score) for scored in theirs.ranking]
        assert [(scored.label, scored.score) for scored in ours.ranking] == pairs
        assert all(scored.cosine != scored.cosine for scored in ours.ranking)  # NaN


def test_the_header_of_a_csv_is_its_columns() -> None:
    """Those of 0.1.0, which programs of others read by name."""
    (header,) = csv.reader([Csv(top=3, extra=tuple(EXTRA)).header])
    assert [*COLUMNS] == ["source", "label", "score", "unknown", "error"]
    assert header == [
        *COLUMNS, "label_2", "score_2", "label_3", "score_3", "likely", "evidence", "tile",
    ]  # fmt: skip
    for answer in ANSWERS:
        (row,) = csv.reader([Csv(3, tuple(EXTRA)).line(answer).replace("\n", " ")])
        assert len(row) == len(header)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_writing_goes_on_at_any_byte(suffix: str, tmp_path: Path) -> None:
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"a{suffix}"
    write(ANSWERS, whole)
    content = whole.read_bytes()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        summary = write(ANSWERS, path, resume=True)
        assert path.read_bytes() == content
        assert summary.pictures + summary.earlier == len(ANSWERS)


def test_a_file_is_not_replaced_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(ANSWERS[:1], path, manifest={"labels": []})
    with pytest.raises(SourceError, match="already exists"):
        write(ANSWERS, path)
    assert len(list(read(path))) == 1
    write(ANSWERS, path, overwrite=True)
    assert len(list(read(path))) == len(ANSWERS)
    assert not manifest_path(path).exists()  # it was that of the file before
    with pytest.raises(SourceError, match="xls"):
        write(ANSWERS, tmp_path / "a.xls")


def test_only_the_same_run_is_resumed(clf: unseen.Classifier, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    made = manifest(clf.model, clf.compile(LABELS), {"top": 1})
    write(ANSWERS[:2], path, manifest=made)
    content = path.read_bytes()
    for labels, options, words in (
        (LABELS[:2], {"top": 1}, "labels or templates"),
        (LABELS, {"top": 2}, "options"),
    ):
        other = manifest(clf.model, clf.compile(labels), options)
        with pytest.raises(SourceError, match=words):
            write(ANSWERS, path, manifest=other, resume=True)
        assert path.read_bytes() == content
    summary = write(ANSWERS, path, manifest=made, resume=True)
    assert (summary.earlier, summary.pictures, summary.errors) == (2, 4, 1)
    beside = read_manifest(path)
    assert beside is not None and beside["complete"] is True
    assert (beside["pictures"], beside["errors"], beside["kept"]["pictures"]) == (6, 1, 2)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".json", ".parquet"])
def test_classifying_into_a_file_is_classifying(
    suffix: str, clf: unseen.Classifier, photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    reports: list[tuple[int, int]] = []

    def progress(summary: RunSummary) -> None:
        reports.append((summary.pictures, summary.errors))

    summary = unseen.classify_to_file(clf, photos, LABELS, path, progress=progress)
    assert reports == [(0, 0), (1, 0), (2, 0), (3, 0), (4, 1)]
    assert (summary.path, summary.complete, summary.seconds > 0) == (path, True, True)
    direct = list(clf.classify_many(photos, LABELS))
    assert [(p.source, p.label, p.error) for p in read(path)] == [
        (p.source, p.label, p.error) for p in direct
    ]
    beside = read_manifest(path)
    assert beside is not None and beside["fingerprint"] == clf.model.fingerprint
    assert (beside["pictures"], beside["errors"], beside["complete"]) == (4, 1, True)
    assert beside["precision"] == "fp32" and beside["options"]["top"] is None


def test_scores_of_several_labels_of_0_1_0_are_not_mixed_with_those_of_today(
    clf: unseen.Classifier, photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "several.jsonl"

    def run(*, resume: bool) -> RunSummary:
        return unseen.classify_to_file(
            clf, photos / "0.png", LABELS, path, multi_label=True, resume=resume
        )

    run(resume=False)
    assert run(resume=True).earlier == 1
    facts = json.loads(manifest_path(path).read_text("utf-8"))
    del facts["options"]["competitors"]  # as 0.1.0 wrote it
    manifest_path(path).write_text(json.dumps(facts), "utf-8")
    with pytest.raises(SourceError, match="options"):
        run(resume=True)


@pytest.mark.parametrize("transductive", [False, True])
def test_an_interrupted_run_keeps_its_rows_and_is_resumed(
    transductive: bool, clf: unseen.Classifier, photos: Path, tmp_path: Path
) -> None:
    path, whole = tmp_path / "a.jsonl", tmp_path / "whole.jsonl"
    options = {"transductive": transductive, "batch_size": 1}

    def interrupt(summary: RunSummary) -> None:
        if summary.pictures == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unseen.classify_to_file(clf, photos, LABELS, path, progress=interrupt, **options)  # type: ignore[arg-type]
    beside = read_manifest(path)
    assert len(list(read(path))) == 2
    assert beside is not None and (beside["pictures"], beside["complete"]) == (2, False)
    unseen.classify_to_file(clf, photos, LABELS, whole, **options)  # type: ignore[arg-type]
    summary = unseen.classify_to_file(clf, photos, LABELS, path, resume=True, **options)  # type: ignore[arg-type]
    assert (summary.earlier, summary.pictures, summary.errors) == (2, 2, 1)
    assert path.read_bytes() == whole.read_bytes()


def test_pictures_with_a_row_are_not_opened_again(
    clf: unseen.Classifier, photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    unseen.classify_to_file(clf, photos, LABELS, path)
    opened = []

    def pictures() -> Iterator[Path]:
        for file in sorted(photos.iterdir()):
            opened.append(file)
            yield file

    for file in photos.iterdir():
        file.write_bytes(b"broken since then")
    (photos / "9.png").write_bytes(b"broken")
    summary = unseen.classify_to_file(clf, pictures(), LABELS, path, resume=True)
    assert len(opened) == 5 and (summary.pictures, summary.errors) == (1, 1)


def test_options_that_contradict_one_another(clf: unseen.Classifier, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(LabelError, match="transductive"):
        unseen.classify_to_file(clf, [], LABELS, path, transductive=True, multi_label=True)
    with pytest.raises(SourceError, match="one of"):
        unseen.classify_to_file(clf, [], LABELS, path, resume=True, overwrite=True)
    assert not path.exists()


def test_embedding_into_a_file(clf: unseen.Classifier, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    summary = unseen.embed(clf, photos, path)
    ((name, error),) = summary.failures
    assert name.endswith("broken.png") and "known format" in error
    assert (summary.pictures, summary.errors, summary.complete) == (4, 1, True)
    names = json.loads(path.with_suffix(".json").read_text("utf-8"))["names"]
    assert names == [str(photos / f"{i}.png") for i in range(3)]
    with pytest.raises(SourceError, match="already exists"):
        unseen.embed(clf, photos, path)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json", ".parquet"])
def test_one_run_writes_a_file_and_a_second_is_told(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    rounds = []

    def answers() -> Iterator[Prediction]:
        for answer in ANSWERS:
            yield answer
            for how in ({"overwrite": True}, {"resume": True} if suffix in GROWING else {}):
                with pytest.raises(SourceError, match="another run is writing it"):
                    write(ANSWERS, path, **how)
                rounds.append(how)

    write(answers(), path)
    assert len(rounds) == 2 * len(ANSWERS) and len(list(read(path))) == len(ANSWERS)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    write(ANSWERS, path, overwrite=True)  # the first has ended


def test_a_refused_file_is_free_again(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("not ours\nat all\n")
    for _ in range(2):
        with pytest.raises(SourceError, match="not written by classify"):
            write(ANSWERS, path, resume=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_parquet_is_a_table_that_arrow_reads(tmp_path: Path) -> None:
    """By its own reader: types, nulls, and the ranking as lists."""
    path = tmp_path / "a.parquet"
    write(ANSWERS, path)
    table = parquet.read_table(path)
    assert table.column("label").to_pylist() == [answer.label for answer in ANSWERS]
    assert table.column("unknown").to_pylist() == [
        None if answer.error else answer.unknown for answer in ANSWERS
    ]
    assert table.column("labels").to_pylist()[0] == [
        {"label": "=cat", "score": 0.75, "cosine": 0.25, "tile": None},
        {"label": "dog", "score": 0.25, "cosine": 0.125, "tile": None},
    ]
    assert table.column("error").null_count == 5
    with pytest.raises(SourceError, match=r"--resume needs a file: -o out.jsonl"):
        write(ANSWERS, path, resume=True)
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SourceError, match="not written by classify, or is cut off"):
        list(read(tmp_path / "b.parquet"))


def test_a_table_that_was_not_finished_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(ANSWERS[:1], path)

    def broken() -> Iterator[Prediction]:
        yield from ANSWERS
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        write(broken(), path, overwrite=True)
    assert list(read(path)) == ANSWERS[:1]
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]
