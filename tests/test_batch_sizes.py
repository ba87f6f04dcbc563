"""How many pictures a network takes at once: the model's own number, unless one is given."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import hf_checkpoints
import openclip_checkpoints
import shapes
import unseen
from unseen.cli.app import app
from unseen.encoder import Encoder
from unseen.runtimes.devices import ExecutionTarget

LABELS = ["a red circle", "a blue square", "a green star"]
MAKERS = {
    "builtin": lambda folder: "builtin",
    "align": hf_checkpoints.align,
    "siglip": hf_checkpoints.siglip,
    "openclip vit": openclip_checkpoints.openclip,
    "openclip resnet": lambda folder: openclip_checkpoints.openclip(folder, "resnet"),
    "openclip timm": lambda folder: openclip_checkpoints.openclip(folder, "timm clip"),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_convolutions_take_few_and_transformers_many(kind: str, tmp_path: Path) -> None:
    few = kind in ("builtin", "align", "openclip resnet")
    assert unseen.load(MAKERS[kind](tmp_path)).encoder.batch_size == (2 if few else 16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(20):
        shapes.draw(shapes.scene(LABELS[seed % 3]), seed).save(folder / f"{seed:02}.png")
    return folder


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures networks were given at once, in turn."""
    monkeypatch.setenv("UNSEEN_CACHE_BYTES", "0")  # else another test has encoded them
    taken: list[int] = []
    encode = Encoder.encode_pixels

    def noted(self: Encoder, pixels: Any) -> Any:
        taken.append(len(pixels))
        return encode(self, pixels)

    monkeypatch.setattr(Encoder, "encode_pixels", noted)
    return taken


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that takes two at once."""
    return openclip_checkpoints.openclip(tmp_path_factory.mktemp("resnet"), "resnet")


def update(model: Path, folder: Path) -> None:
    with unseen.Index(folder) as index:
        index.update(unseen.load(model).encoder)


WAYS: dict[str, Callable[[Path, Path], object]] = {
    "images": lambda model, folder: unseen.load(model).encode_images(folder),
    "many": lambda model, folder: list(unseen.load(model).classify_many(folder, LABELS)),
    "pipeline": lambda model, folder: unseen.pipeline(model=model)([*folder.glob("*.png")], LABELS),
    "index": update,
}


@pytest.mark.parametrize("way", WAYS)
def test_the_library_takes_the_models_own(
    way: str, resnet: Path, folder: Path, taken: list[int]
) -> None:
    WAYS[way](resnet, folder)
    assert taken == [2] * 10


@pytest.mark.parametrize(
    "command",
    [
        ["classify", "{}", "-l", "cat,dog"],
        ["embed", "{}", "-o", "{}.npy"],
        ["index", "update", "{}"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize(("given", "expected"), [([], [2] * 10), (["--batch-size", "5"], [5] * 4)])
def test_a_command_takes_the_models_own_or_what_is_given(
    command: list[str],
    given: list[str],
    expected: list[int],
    resnet: Path,
    folder: Path,
    tmp_path: Path,
    taken: list[int],
) -> None:
    mine = shutil.copytree(folder, tmp_path / "pictures", ignore=lambda *_: [".unseen"])
    filled = [part.format(mine) for part in command]
    done = CliRunner().invoke(app, [*filled, "-m", str(resnet), *given])
    assert done.exit_code == 0, done.output
    assert taken == expected


def test_few_leave_a_gpu_idle(resnet: Path) -> None:
    encoder = unseen.load(resnet).encoder
    encoder._image.target = ExecutionTarget("torch", "cuda")
    assert encoder.batch_size == 16


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("model", ["builtin", "shapes", "resnet"])
def test_the_answers_are_the_same(
    model: str, precision: str, resnet: Path, shapes_clip: Path, folder: Path
) -> None:
    checkpoint = {"builtin": "builtin", "shapes": shapes_clip, "resnet": resnet}[model]
    clf = unseen.load(checkpoint, precision=precision)
    single, other = (
        [
            {row.label: row.score for row in p.ranking}
            for p in clf.classify_many(folder, LABELS, batch_size=n)
        ]
        for n in (2, 16)
    )
    assert single == [pytest.approx(scores, abs=1e-6) for scores in other]
