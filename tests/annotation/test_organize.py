"""Files into folders: nothing overwritten, everything undone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import shapes
import unseen as library
from running import unseen
from unseen.annotation import organize
from unseen.errors import SourceError
from unseen.results.manifest import manifest_path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "in" / f"{n}" / "a.png" for n in range(3)]
    for n, path in enumerate(paths):
        path.parent.mkdir(parents=True)
        path.write_text(f"picture {n}")
    return paths


def tree(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): p.read_text()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and "undo" not in p.name
    }


@pytest.mark.parametrize("how", organize.HOW)
def test_there_and_back(how: str, files: list[Path], tmp_path: Path) -> None:
    into, undo = tmp_path / "out", tmp_path / "out" / "undo.jsonl"
    before = tree(tmp_path / "in")
    steps = organize.plan([(path, "cat") for path in files], into, how)
    assert len(list(organize.carry_out(steps, undo))) == 3
    after = tree(into)
    assert after == {
        "cat/a.png": "picture 0", "cat/a (2).png": "picture 1", "cat/a (3).png": "picture 2"
    }  # fmt: skip
    assert (tree(tmp_path / "in") == before) == (how != "move")
    assert all(done for _, done in organize.take_back(undo))
    assert tree(tmp_path / "in") == before and tree(into) == {}
    assert not (into / "cat").exists()


def test_nothing_is_overwritten(files: list[Path], tmp_path: Path) -> None:
    into = tmp_path / "out"
    (into / "cat").mkdir(parents=True)
    (into / "cat" / "a.png").write_text("mine")
    list(organize.carry_out(organize.plan([(files[0], "cat")], into, "move"), into / "undo"))
    assert tree(into) == {"cat/a.png": "mine", "cat/a (2).png": "picture 0"}
    files[0].write_text("another took its place")
    ((step, done),) = organize.take_back(into / "undo")
    assert not done and Path(step.target).read_text() == "picture 0"


@pytest.mark.parametrize("how", ["copy", "link"])
def test_twice_is_once(how: str, files: list[Path], tmp_path: Path) -> None:
    into = tmp_path / "out"
    named = [(path, "cat") for path in files]
    first = organize.put_into_folders(named, into, how, dry_run=False)
    before = tree(into)
    again = organize.put_into_folders(named, into, how, dry_run=False)
    assert len(first.steps) == 3 and first.present == 0 and first.undo is not None
    assert again.steps == () and again.present == 3 and again.undo is None
    assert "3 were there already" in str(again) and tree(into) == before
    files[1].write_text("picture X")  # as many bytes, and others
    third = organize.put_into_folders(named, into, "copy", dry_run=False)
    if how == "copy":
        assert [Path(step.target).name for step in third.steps] == ["a (4).png"]
        assert tree(into)["cat/a (2).png"] == "picture 1"


def test_a_file_that_is_in_its_folder_is_not_moved(files: list[Path], tmp_path: Path) -> None:
    inside = [(path, path.parent.name) for path in files]
    filing = organize.put_into_folders(inside, tmp_path / "in", "move", dry_run=False)
    assert filing.steps == () and filing.present == 3
    twin = tmp_path / "twin" / "a.png"  # the same content is another file all the same
    twin.parent.mkdir()
    twin.write_text("picture 0")
    filing = organize.put_into_folders([(twin, "0")], tmp_path / "in", "move", dry_run=False)
    assert len(filing.steps) == 1 and not twin.exists()
    assert (tmp_path / "in" / "0" / "a (2).png").read_text() == "picture 0"


def test_where_nothing_can_be_written_it_is_said_before_the_work(
    files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder can be made in it")
    into = tmp_path / "file" / "sorted"
    with pytest.raises(SourceError, match="cannot be written to"):
        organize.check_into(into)
    with pytest.raises(SourceError, match="cannot be written to"):
        organize.put_into_folders([(files[0], "cat")], into, "copy", dry_run=False)
    done = unseen("organize", tmp_path / "in", "-l", "a,b", "--into", into, code=2)
    assert done.stderr.count("\n") == 1 and str(into) in done.stderr


def test_what_stopped_can_be_undone_as_far_as_it_came(files: list[Path], tmp_path: Path) -> None:
    into = tmp_path / "out"
    files[1].unlink()
    steps = organize.plan([(path, "cat") for path in files], into, "move")
    with pytest.raises(SourceError, match="can be undone with"):
        list(organize.carry_out(steps, into / "undo"))
    results = [done for _, done in organize.take_back(into / "undo")]
    assert results[-1] and files[0].read_text() == "picture 0"
    assert files[2].read_text() == "picture 2"  # it was never touched


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("cat", "cat"),
        ("../../etc", "_.._etc"),
        ("a/b\\c:d", "a_b_c_d"),
        ("..", "_"),
        ("", "_"),
        ("x" * 300, "x" * 100),
        ("name.", "name"),
        ("x" * 99 + " y", "x" * 99),
        ("con", "_con"),
        ("Aux.2", "_Aux.2"),
        ("console", "console"),
        ("猫" * 100, "猫" * 66),  # a name has at most 255 bytes
    ],
)
def test_a_label_is_never_a_path(label: str, name: str, tmp_path: Path) -> None:
    assert organize.folder_name(label) == name
    (step,) = organize.plan([(tmp_path / "a.png", label)], tmp_path / "out", "copy")
    assert Path(step.target).parent.parent == tmp_path / "out"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("a.jpg", "a.jpg"),
        (" a b.tar.jpg", " a b.tar.jpg"),
        ("a\nb:c.jpg", "a_b_c.jpg"),
        ("nul.png", "_nul.png"),
        ("\udcff.png", "_.png"),
        ("x" * 250 + ".jpeg", "x" * 200 + ".jpeg"),
        ("猫" * 80 + ".jpg", "猫" * 66 + ".jpg"),
    ],
)
def test_a_file_name_for_every_system(given: str, name: str) -> None:
    assert organize.file_name(given) == name


def test_the_command(tmp_path: Path) -> None:
    for label in ("red circle", "blue square"):
        shapes.draw(shapes.scene(label), 1).save(tmp_path / f"{label}.png")
    model = ("-m", "tests/fixtures/shapes-clip", "-l", "red circle,blue square")
    into = tmp_path / "sorted"
    shown = unseen("organize", tmp_path, *model, "--into", into, "--dry-run").stdout
    assert len(shown.splitlines()) == 2 and not into.exists()
    planned = json.loads(
        unseen("organize", tmp_path, *model, "--into", into, "--dry-run", "--json").stdout
    )
    assert planned["undo"] is None and {s["how"] for s in planned["steps"]} == {"copy"}
    stderr = unseen("organize", tmp_path, *model, "--into", into, "--move").stderr
    assert (into / "red circle" / "red circle.png").is_file()
    assert not (tmp_path / "red circle.png").exists()
    (undo,) = into.glob("unseen-undo-*.jsonl")
    assert str(undo) in stderr and len(undo.read_text().splitlines()) == 2
    assert json.loads(undo.read_text().splitlines()[0])["how"] == "move"
    assert "2 of 2 undone" in unseen("organize", "--undo", undo).stderr
    assert (tmp_path / "red circle.png").is_file()
    done = unseen("organize", tmp_path, "-l", "cat,dog", code=2)
    assert "organize needs a folder" in done.stderr
    assert "no labels were given" in unseen("organize", tmp_path, "--into", into, code=2).stderr


def test_the_function(shapes_clip: Path, tmp_path: Path) -> None:
    """What the command prints, as objects."""
    folder, into = tmp_path / "photos", tmp_path / "sorted"
    folder.mkdir()
    for label in ("red circle", "blue square"):
        shapes.draw(shapes.scene(label), 1).save(folder / f"{label}.png")
    (folder / "broken.png").write_bytes(b"broken")
    clf = library.load(shapes_clip)
    labels = ["red circle", "blue square"]
    planned = library.organize(clf, folder, labels, into, dry_run=True)
    assert planned.undo is None and not into.exists() and len(planned.steps) == 2
    done = library.organize(clf, folder, labels, into, how="link")
    assert [step.target for step in done.steps] == [step.target for step in planned.steps]
    assert all(Path(step.target).is_symlink() for step in done.steps)
    assert [name for name, _ in done.summary.failures] == [str(folder / "broken.png")]
    assert (done.summary.pictures, done.summary.errors, done.summary.complete) == (3, 1, True)
    assert done.undo is not None and manifest_path(done.undo, hidden=True).exists()
    assert all(undone for _, undone in organize.take_back(done.undo))
    assert not any(Path(step.target).exists() for step in done.steps)
    unknown = library.organize(clf, folder, labels[:1], into, background=labels[1:], dry_run=True)
    assert [Path(step.source).name for step in unknown.steps] == ["red circle.png"]


def test_duplicates_and_clusters_on_the_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for label in ("red circle", "blue square", "green star"):
        for seed in range(4):
            picture = shapes.draw(shapes.scene(label), seed)
            picture.save(folder / f"{label} {seed}.png")
    shapes.draw(shapes.scene("red circle"), 0).resize((200, 200)).save(folder / "larger.png")
    (folder / "copy.png").write_bytes((folder / "green star 1.png").read_bytes())
    unseen("index", folder, "-m", "tests/fixtures/shapes-clip")
    found = json.loads(unseen("duplicates", folder, "--threshold", 0.999, "--json").stdout)
    groups = [[path for hit in group for path in hit["paths"]] for group in found]
    assert ["larger.png", "red circle 0.png"] in groups
    assert ["copy.png", "green star 1.png"] in groups
    moved = tmp_path / "moved"
    unseen("duplicates", folder, "--threshold", 0.999, "--move-to", moved, "--dry-run")
    assert not moved.exists()
    unseen("duplicates", folder, "--threshold", 0.999, "--move-to", moved)
    assert (folder / "larger.png").is_file() and not (folder / "red circle 0.png").exists()
    named = unseen("clusters", folder, "--k", 3, "--name-with", "red circle,blue square,green star")
    for label in ("red circle", "blue square", "green star"):
        assert any(line[3:].startswith(label) for line in named.stdout.splitlines())
