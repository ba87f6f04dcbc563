"""What surrounds the commands: odd names, full disks, early refusals, stopping, starting."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from safetensors import safe_open

import shapes
from unseen.labels.label_set import templates

ROOT = Path(__file__).parent.parent.parent
SHAPES = ["-m", ROOT / "tests/fixtures/shapes-clip"]
LABELS = "a red circle,a blue star"


def unseen(
    *arguments: object, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "unseen", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **environment})
    assert done.returncode == code, done.stdout + done.stderr
    assert b"Traceback" not in done.stderr
    return done


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    shapes.draw(shapes.scene("red circle"), 1).save(path)
    return path


@pytest.fixture
def odd(tmp_path: Path, picture: Path) -> Path:
    """Names that a file may have, and a spreadsheet, a shell or UTF-8 may not like."""
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in ("a,b.png", "line\nbreak.png", 'quo"te.png', "猫 é.png", "=1+1.png", "'=x.png"):
        shutil.copy(picture, folder / name)
    with suppress(OSError):  # a file system that wants UTF-8
        shutil.copy(os.fsencode(picture), os.fsencode(folder) + b"/raw\xff.png")
    return folder


# names and words


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_odd_names_are_written_and_gone_on_with(kind: str, odd: Path, tmp_path: Path) -> None:
    out = tmp_path / f"out.{kind}"
    common = ["classify", odd, "-l", LABELS, *SHAPES, "-o", out]
    unseen(*common)
    whole = out.read_bytes()
    assert "猫 é".encode() in whole
    unseen(*common, "--resume")
    assert out.read_bytes() == whole  # every name was known again
    for size in range(0, len(whole), len(whole) // 4):
        out.write_bytes(whole[:size])
        unseen(*common, "--resume")
        assert out.read_bytes().count(b".png") == whole.count(b".png")
        assert len(out.read_bytes().splitlines()) == len(whole.splitlines())


def test_names_in_json_lines_are_those_of_the_files(odd: Path) -> None:
    rows = unseen("classify", odd, "-l", LABELS, *SHAPES, "--jsonl").stdout.splitlines()
    names = sorted(json.loads(row)["source"] for row in rows)
    assert names == sorted(str(path) for path in odd.iterdir())


@pytest.mark.parametrize("suffix", ["npy", "safetensors", "parquet"])
def test_odd_names_in_vector_files(suffix: str, odd: Path, tmp_path: Path) -> None:
    path = tmp_path / f"v.{suffix}"
    unseen("embed", odd, "-o", path, *SHAPES)
    if suffix == "npy":
        names = json.loads(path.with_suffix(".json").read_text("utf-8"))["names"]
    elif suffix == "safetensors":
        with safe_open(path, framework="numpy") as file:
            names = json.loads(file.metadata()["names"])
    else:
        names = parquet.read_table(path)["name"].to_pylist()
    expected = sorted(str(file) for file in odd.iterdir())
    if suffix == "parquet":  # its text is UTF-8, and the name of a file need not be
        expected = [name.encode("utf-8", "backslashreplace").decode("utf-8") for name in expected]
    assert sorted(names) == sorted(expected)


def test_a_source_given_twice_has_two_rows_also_after_a_stop(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    common = ["classify", picture, picture, picture, "-l", LABELS, *SHAPES, "-o", out]
    unseen(*common)
    lines = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(lines[0])
    unseen(*common, "--resume")
    assert len(out.read_bytes().splitlines()) == len(lines) == 3


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_narrow_terminal_fails_nothing(encoding: str, picture: Path) -> None:
    common = ["classify", picture, "-l", "猫,a red circle", *SHAPES]
    said = unseen(*common, PYTHONIOENCODING=encoding).stdout
    assert b"\\u732b" in said and b"#" in said
    row = json.loads(unseen(*common, "--jsonl", PYTHONIOENCODING=encoding).stdout.decode("utf-8"))
    assert {scored["label"] for scored in row["ranking"]} == {"猫", "a red circle"}


def test_labels_with_commas_come_from_files(picture: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a red circle, large\na blue star\n", "utf-8")
    row = json.loads(unseen("classify", picture, "-l", labels, *SHAPES, "--jsonl").stdout)
    assert "a red circle, large" in [scored["label"] for scored in row["ranking"]]


def test_a_file_of_another_kind_is_no_label(picture: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.tsv"
    labels.write_text("cat\n")
    said = unseen("classify", picture, "-l", labels, *SHAPES, code=2).stderr.decode()
    assert "label files end in" in said


def test_templates_of_both_kinds_together(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    common = ["classify", picture, "-l", LABELS, *SHAPES, "-o", out]
    unseen(*common, "--template", "simple", "--template", "a drawing of {}")
    manifest = json.loads(out.with_name("out.jsonl.run.json").read_text("utf-8"))
    assert manifest["templates"] == [*templates("simple"), "a drawing of {}"]


# files that cannot, or must not, be written


@pytest.mark.parametrize(
    "command",
    [
        ["classify", "-l", LABELS, "-o", "{}/x.json"],
        ["classify", "-l", LABELS, "-o", "{}/x.jsonl"],
        ["classify", "-l", LABELS, "--csv", "{}/x.csv"],
        ["embed", "-o", "{}/x.npy"],
        ["embed", "-o", "{}/x.parquet"],
        ["labels", "compile", "-o", "{}/x.safetensors"],
    ],
)
def test_a_folder_that_is_not_there_is_said_before_any_work(
    command: list[str], picture: Path, tmp_path: Path
) -> None:
    arguments = [part.format(tmp_path / "nowhere") for part in command]
    arguments.append(LABELS if command[0] == "labels" else str(picture))
    # A model that is not there would be the next complaint: the file was looked at first.
    said = unseen(*arguments, "-m", "no-such-model", code=2).stderr.decode()
    assert said.count("\n") == 1 and "cannot be written" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("how", [[], ["--jsonl"], ["--csv", "-"], ["--json"]])
def test_a_full_disk_is_one_sentence(how: list[str], picture: Path) -> None:
    command = [sys.executable, "-m", "unseen", "classify", picture, "-l", LABELS, *SHAPES, *how]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*map(str, command)], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "error: standard output: it cannot be written: No space left on device."
    ]


def test_nothing_is_overwritten_unasked(picture: Path, tmp_path: Path) -> None:
    for command in (
        ["classify", picture, "-l", LABELS, "-o", tmp_path / "x.json"],
        ["embed", picture, "-o", tmp_path / "y.safetensors"],
        ["labels", "compile", LABELS, "-o", tmp_path / "z.safetensors"],
    ):
        out = tmp_path / str(command[-1])
        out.write_bytes(b"precious")
        assert b"--overwrite" in unseen(*command, *SHAPES, code=2).stderr
        assert out.read_bytes() == b"precious"
        unseen(*command, *SHAPES, "--overwrite")
        assert out.read_bytes() != b"precious"
    (tmp_path / "v.json").write_bytes(b"precious")  # the names of v.npy would go there
    assert b"v.json" in unseen("embed", picture, "-o", tmp_path / "v.npy", code=2).stderr


@pytest.mark.parametrize(
    "changed",
    [
        ["-l", "a red circle,a green star"],
        ["-l", LABELS, "--template", "this is {}"],
        ["-l", LABELS, "--unknown", "a thing"],
        ["-l", LABELS, "--top", 1],
        ["-l", "renamed.yaml"],
    ],
)
def test_only_the_same_run_goes_on(changed: list[object], picture: Path, tmp_path: Path) -> None:
    out, same, renamed = (tmp_path / n for n in ("o.jsonl", "same.yaml", "renamed.yaml"))
    same.write_text("{x: a red circle, y: a blue star}")
    renamed.write_text("{a red circle: a red circle, y: a blue star}")  # the same prompts
    before = same if "renamed.yaml" in changed else LABELS
    unseen("classify", picture, "-l", before, *SHAPES, "-o", out)
    kept = out.read_bytes()
    changed = [renamed if part == "renamed.yaml" else part for part in changed]
    said = unseen("classify", picture, *changed, *SHAPES, "-o", out, "--resume", code=2)
    assert b"was made with another" in said.stderr and out.read_bytes() == kept


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_that_is_not_ours_is_not_gone_on_with(
    kind: str, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"o.{kind}"
    common = ["classify", picture, "-l", LABELS, *SHAPES, "-o", out]
    unseen(*common)
    out.write_bytes(b"\xff\xfe nonsense\n" + out.read_bytes())
    kept = out.read_bytes()
    assert b"was not written by classify" in unseen(*common, "--resume", code=2).stderr
    assert out.read_bytes() == kept
    out.with_name(out.name + ".run.json").unlink()
    assert b"nobody knows" in unseen(*common, "--resume", code=2).stderr


@pytest.mark.parametrize(
    "options, words",
    [
        (["--csv", "a.csv", "-o", "b.csv"], "one of --csv"),
        (["-o", "a.csv", "--resume", "--overwrite"], "one of --resume"),
        (["-o", "a.json", "--resume"], "--resume needs a file"),
    ],
)
def test_options_that_contradict_one_another(options: list[str], words: str, picture: Path) -> None:
    assert words in unseen("classify", picture, "-l", LABELS, *options, code=2).stderr.decode()


# stopping


@pytest.mark.parametrize("suffix", ["npy", "safetensors", "parquet"])
def test_ctrl_c_keeps_the_embeddings_that_are_done(
    suffix: str, picture: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "many", tmp_path / f"v.{suffix}"
    folder.mkdir()
    for i in range(10000):
        os.link(picture, folder / f"{i}.png")
    (folder / "00 broken.png").write_bytes(b"broken")  # the first: its line says that work began
    command = [sys.executable, "-m", "unseen", "embed", folder, "-o", out, *SHAPES]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "00 broken.png" in process.stderr.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130 and "Traceback" not in said
    assert "embeddings kept in" in said and "1 of" in said
    assert not list(tmp_path.glob(".*.tmp"))
    if suffix == "npy":
        assert 0 < len(np.load(out)) < 10000


@pytest.mark.parametrize("after", [0.01, 0.1, 0.2, 0.3])
def test_ctrl_c_while_it_starts_leaves_no_traceback(after: float, picture: Path) -> None:
    # From where main runs on, that is; the interpreter's own start is not ours.
    code = """
import sys, unseen.cli.app
from unseen.cli import progress
plainly = progress.show_warnings_plainly
progress.show_warnings_plainly = lambda: (plainly(), print(".", flush=True))
unseen.cli.app.main()
"""
    command = [sys.executable, "-c", code, "classify", *[str(picture)] * 2000, "-l", LABELS]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == ".\n"
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130 and "Traceback" not in said, said


def test_a_reader_that_leaves_is_no_failure(picture: Path) -> None:
    many = " ".join([str(picture)] * 200)
    for how in ("--jsonl", "--csv -", ""):
        command = f"{sys.executable} -m unseen classify {many} -l a,b {how} -m {SHAPES[1]}"
        done = subprocess.run(
            ["bash", "-c", f"{command} | head -1; exit ${{PIPESTATUS[0]}}"], capture_output=True
        )
        assert done.returncode == 0 and done.stderr == b""


# starting and talking


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["models"], ["models", "--json"]])
def test_the_start_waits_for_no_network_library(arguments: list[str]) -> None:
    heavy = ("onnx", "onnxruntime", "huggingface_hub", "tokenizers", "torch", "transformers")
    code = f"""
import sys
from unseen.cli.app import main
try:
    main()
except SystemExit as leaving:
    assert not leaving.code, leaving.code
print([m for m in {heavy} if m in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"HF_HOME": "/a/b"},
        {"XDG_CACHE_HOME": "/c"},
        {"HF_HUB_CACHE": "$HOME/d", "HF_HOME": "/a"},
        {"HUGGINGFACE_HUB_CACHE": "~/e"},
    ],
)
def test_models_are_looked_for_where_the_hub_keeps_them(environment: dict[str, str]) -> None:
    code = """
from pathlib import Path
from huggingface_hub import constants
from unseen.models.description import hub_folder
print(hub_folder() == Path(constants.HF_HUB_CACHE).expanduser())
"""
    names = ("HF_HOME", "XDG_CACHE_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
    clean = {k: v for k, v in os.environ.items() if k not in names}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**clean, **environment}
    )
    assert done.stdout.strip() == "True", done.stderr


def test_quiet_before_and_after_the_command(picture: Path, tmp_path: Path) -> None:
    for i, arguments in enumerate((["-q", "embed"], ["embed", "--quiet"])):
        out = tmp_path / f"{i}.npy"
        assert unseen(*arguments, picture, "-o", out, *SHAPES).stderr == b""
    said = unseen("-q", "classify", picture, "nowhere.png", "-l", LABELS, *SHAPES, code=1).stderr
    assert said == b"1 of 2 pictures could not be read.\n"


def test_a_warning_is_one_line(picture: Path) -> None:
    said = unseen("classify", picture, "-l", "a,b,a", *SHAPES).stderr.decode()
    assert said == "warning: labels given twice were merged: 'a'\n"
