"""What the maps of `unseen explain` are worth: every figure of docs/explain.md.

    python benchmarks/explain.py                # everything, about ten minutes on two cores
    python benchmarks/explain.py fixture sanity # some of it

fixture: the drawn shapes, whose outlines are known; others: other methods on the same pictures;
builtin: mosaics of tests/photographs; sanity: randomised weights; cost: a random B/32.
complete: the rows of random checkpoints against a judge in float64 numpy; geometry: a mark in the
corner of pictures of every EXIF orientation.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from sklearn.metrics import average_precision_score

import unseen
from unseen.explanation.explainer import Explainer
from unseen.explanation.parts import OpenedPicture, PartsEncoder, PictureParts
from unseen.explanation.trust import curve

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import broken_torchvision  # noqa: E402 - these lie with the tests
import shapes  # noqa: E402

broken_torchvision.mend()

FIXTURE = ROOT / "tests" / "fixtures" / "shapes-clip"
PHOTOGRAPHS = ROOT / "tests" / "photographs"
SEED = 0


@dataclass(frozen=True)
class Item:
    """A thing in a picture that is to be pointed at."""

    image: Image.Image
    label: str
    outline: np.ndarray[Any, Any]
    filled: np.ndarray[Any, Any]  # with the hole of a ring


def items(count: int, things: int, seed: int = SEED) -> list[Item]:
    """`count` things of random scenes of one or two things, half of them held out in training."""
    rng, result = random.Random(f"explain {things} {seed}"), []
    for number in range(count // things):
        scene = shapes.random_scene(rng, pairs=float(things - 1), held_out=number % 2 == 1)
        image = shapes.draw(scene, number)
        outlines, filled = (shapes.outlines(scene, number, filled=f) for f in (False, True))
        for thing, one, other in zip(scene.things, outlines, filled, strict=True):
            result.append(Item(image, f"a {thing.colour} {thing.shape}", one, other))
    return result


class Fixture:
    """The trained fixture, opened, with the labels of all shapes."""

    def __init__(self, folder: Path = FIXTURE) -> None:
        self.classifier = unseen.load(folder)
        self.explainer: Explainer = self.classifier.explainer()
        self.labels = self.classifier.compile(shapes.labels())

    def read(self, image: Image.Image) -> tuple[OpenedPicture, PictureParts]:
        picture = self.explainer.parts_encoder.open(image)
        assert isinstance(picture, OpenedPicture)
        return picture, self.explainer.parts_encoder.parts([picture])[0]

    def direction(self, label: str) -> np.ndarray[Any, Any]:
        contrast = self.explainer.contrast(self.labels, self.labels.matrix[0], label)
        return contrast.direction


Scorer = Callable[[OpenedPicture, PictureParts, np.ndarray[Any, Any]], np.ndarray[Any, Any]]


def scorers(fixture: Fixture) -> Mapping[str, Scorer]:
    """Our methods, and a random map as a control."""
    rng = np.random.default_rng(0)

    def drop(picture: OpenedPicture, parts: PictureParts, direction: Any) -> Any:
        return fixture.explainer.rows(picture, parts, "drop").scores(direction)[0]

    def random_map(picture: OpenedPicture, parts: PictureParts, direction: Any) -> Any:
        return rng.random(picture.geometry.cells).astype(np.float32)

    return {
        "parts": lambda picture, parts, direction: parts.scores(direction)[0],
        "drop": drop,
        "random": random_map,
    }


def others() -> Mapping[str, Scorer]:
    """The maps of other methods, in torch."""
    import torch

    from other_maps import METHODS, Net

    net = Net(FIXTURE)
    scale, shift = unseen.load(FIXTURE).model.preprocess.normalisation()

    def scorer(method: Any) -> Scorer:
        def scores(picture: OpenedPicture, parts: PictureParts, direction: Any) -> Any:
            pixels = np.asarray(picture.pixels) * np.array(scale) + np.array(shift)
            tensor = torch.tensor(pixels).permute(2, 0, 1)[None].float()
            return method(net, tensor, torch.tensor(direction))

        return scores

    return {name: scorer(method) for name, method in METHODS.items()}


@dataclass(frozen=True)
class Measured:
    """A method on some things: what it points at, and what is left of the contrast."""

    filled: list[bool]
    strict: list[bool]
    precisions: list[float]
    curves: np.ndarray[Any, Any]  # (things with a contrast, 3): deletion, insertion, contrast

    def __str__(self) -> str:
        text = f"pointing {_share(self.filled)} (rings without their hole: {_share(self.strict)}), "
        text += f"AP {np.mean(self.precisions):.3f}"
        return f"{text}; {_left(self.curves)}" if len(self.curves) else text


def _left(curves: np.ndarray[Any, Any]) -> str:
    """Deletion and insertion: the mean of the shares, and the share of the sums, as a share of a
    contrast near 0 can be any number."""
    deletion, insertion = curves[:, :2].mean(0)
    pooled = (curves[:, :2] * curves[:, 2:]).sum(0) / curves[:, 2].sum()
    return (
        f"deletion {deletion:.3f}, insertion {insertion:.3f}, gap {insertion - deletion:.3f}; "
        f"of the sums: {pooled[0]:.3f}, {pooled[1]:.3f}, {pooled[1] - pooled[0]:.3f}"
    )


def measure(fixture: Fixture, scorer: Scorer, things: list[Item], *, curves: bool) -> Measured:
    """Pointing, pixel average precision, deletion and insertion of a method."""
    hits, on_ink, precisions, shares = [], [], [], []
    for item in things:
        picture, parts = fixture.read(item.image)
        direction = fixture.direction(item.label)
        scores = np.asarray(scorer(picture, parts, direction), dtype=np.float32)
        mapped = picture.geometry.map(scores)
        y, x = np.unravel_index(np.argmax(mapped), mapped.shape)
        hits.append(bool(item.filled[y, x]))
        on_ink.append(bool(item.outline[y, x]))
        precisions.append(average_precision_score(item.outline.ravel(), mapped.ravel()))
        if curves:
            result = curve(fixture.explainer.masking, picture, scores, parts.embedding, direction)
            if result is not None:
                contrast = float(parts.embedding @ direction)
                shares.append((result.deletion, result.insertion, contrast))
    return Measured(hits, on_ink, precisions, np.array(shares))


def _share(hits: list[bool]) -> str:
    """A share with its Wilson interval of 95 %."""
    n, p, z = len(hits), float(np.mean(hits)), 1.96
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return f"{p:.3f} [{middle - half:.3f}, {middle + half:.3f}] of {n}"


def run_fixture() -> Iterator[str]:
    fixture = Fixture()
    parts = scorers(fixture)["parts"]
    for first, last in ((1, 6), (7, 24)):
        many = [item for seed in range(first, last + 1) for item in items(120, 2, seed)]
        text = measure(fixture, parts, many, curves=False)
        yield f"2 things, parts, {last + 1 - first} more draws: {text}"
    for seed in (1, 2):
        text = measure(fixture, parts, items(120, 2, seed), curves=True)
        yield f"2 things, parts, draw {seed}: {text}"
    yield from _both(fixture, scorers(fixture))


def run_others() -> Iterator[str]:
    yield from _both(Fixture(), others())


def _both(fixture: Fixture, methods: Mapping[str, Scorer]) -> Iterator[str]:
    """Each method on two things and on one, and on as many pictures of each together."""
    pairs, ones = items(120, 2), items(60, 1)
    for name, scorer in methods.items():
        two, one = (measure(fixture, scorer, sample, curves=True) for sample in (pairs, ones))
        yield f"2 things, {name}: {two}"
        yield f"1 thing, {name}: {one}"
        # Sixty pictures of each: a pair has two things.
        deletion, insertion = (two.curves[:, :2].mean(0) + one.curves[:, :2].mean(0)) / 2
        yield (
            f"both, {name}: deletion {deletion:.3f}, insertion {insertion:.3f}, "
            f"gap {insertion - deletion:.3f}"
        )


def run_builtin(count: int = 120) -> Iterator[str]:
    """2×2 mosaics: the cell of a label has the most positive mass."""
    classifier = unseen.load()
    explainer = classifier.explainer()
    folders = sorted(path for path in PHOTOGRAPHS.iterdir() if path.is_dir())
    names = [path.name.replace("_", " ") for path in folders]
    labels = classifier.compile(names)
    rng, hits = random.Random("mosaics"), []
    for _ in range(count):
        chosen = rng.sample(range(len(folders)), 4)
        mosaic = Image.new("RGB", (448, 448))
        for cell, index in enumerate(chosen):
            file = rng.choice(sorted(folders[index].glob("*.jpg")))
            with Image.open(file) as image:
                mosaic.paste(
                    image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC),
                    (224 * (cell % 2), 224 * (cell // 2)),
                )
        picture = explainer.parts_encoder.open(mosaic)
        assert isinstance(picture, OpenedPicture)
        (parts,) = explainer.parts_encoder.parts([picture])
        for cell, index in enumerate(chosen):
            contrast = explainer.contrast(labels, parts.embedding, names[index])
            mapped = picture.geometry.map(parts.scores(contrast.direction)[0]).clip(0)
            mass = mapped.reshape(2, 224, 2, 224).sum((1, 3)).ravel()
            hits.append(int(mass.argmax()) == cell)
    yield f"built-in, {count} mosaics of 2×2: right cell {_share(hits)} (chance 0.25)"


def run_sanity(nets: int = 5) -> Iterator[str]:
    """Correlation of the map with that of the same net, its image weights shuffled."""
    import torch
    from transformers import CLIPModel

    fixture, sample, correlations = Fixture(), items(40, 2), []
    for seed in range(nets):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            model = CLIPModel.from_pretrained(FIXTURE)
            generator = torch.Generator().manual_seed(seed)
            for parameter in model.vision_model.parameters():
                flat = parameter.data.flatten()
                order = torch.randperm(len(flat), generator=generator)
                parameter.data = flat[order].reshape(parameter.shape)
            model.save_pretrained(folder)
            for file in FIXTURE.iterdir():
                if not (folder / file.name).exists():
                    (folder / file.name).write_bytes(file.read_bytes())
            shuffled = Fixture(folder)
            for item in sample:
                maps = [
                    f.read(item.image)[1].scores(f.direction(item.label))[0]
                    for f in (fixture, shuffled)
                ]
                correlations.append(float(np.corrcoef(maps)[0, 1]))
    yield (
        f"shuffled weights, {nets} nets × {len(sample)} maps: correlation "
        f"{np.mean(correlations):+.3f} (sd {np.std(correlations):.3f})"
    )


def run_cost() -> Iterator[str]:
    """The parts network beside the plain one, a random B/32, one picture at a time and eight."""
    from side_by_side import b32

    classifier = unseen.load(b32())
    explainer = classifier.explainer()
    rng = np.random.default_rng(0)
    plain, parts = classifier.encoder._image, explainer.parts_encoder._network
    for batch in (1, 8):
        pixels = rng.integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8)
        ratio, a, b = _paired(partial(plain, pixels), partial(parts, pixels))
        yield (
            f"B/32, batch {batch}: plain {a * 1e3:.1f} ms, parts {b * 1e3:.1f} ms, "
            f"ratio {ratio:.2f}"
        )
    image = Image.fromarray(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8))
    picture = explainer.parts_encoder.open(image)
    assert isinstance(picture, OpenedPicture)
    (known,) = explainer.parts_encoder.parts([picture])
    labels = classifier.compile([f"thing {number}" for number in range(100)])
    start = time.perf_counter()
    contrast = explainer.contrast(labels, known.embedding, "thing 7")
    explainer.from_rows(known, labels, contrast)
    passed = (time.perf_counter() - start) * 1e3
    yield f"one of 100 labels from rows that are there: {passed:.1f} ms"
    yield f"rows of a picture: {known.rows.astype(np.float16).nbytes / 1e3:.0f} kB in float16"


def _paired(
    first: Callable[[], Any], second: Callable[[], Any], rounds: int = 15
) -> tuple[float, float, float]:
    """The median of paired ratios, and the medians of both, in seconds."""
    times: list[tuple[float, float]] = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        first()
        middle = time.perf_counter()
        second()
        times.append((middle - start, time.perf_counter() - middle))
    times = times[2:]
    return (
        median(b / a for a, b in times),
        median(a for a, _ in times),
        median(b for _, b in times),
    )


def run_complete() -> Iterator[str]:
    """Rows and what no patch gave, by a judge in float64 numpy, of every class-token family."""
    import checkpoints
    import hf_checkpoints
    import judging
    import openclip_checkpoints
    import parts_judge

    makers: dict[str, Callable[[Path], Any]] = {
        "CLIP": checkpoints.clip,
        "AltCLIP": hf_checkpoints.altclip,
        "Chinese-CLIP": hf_checkpoints.chinese_clip,
        "CLIPSeg": hf_checkpoints.clipseg,
        "OpenCLIP": lambda folder: openclip_checkpoints.openclip(folder, "vit"),
        "BiomedCLIP": lambda folder: openclip_checkpoints.openclip(folder, "biomedclip"),
    }
    for name, make in makers.items():
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            encoder = unseen.load(folder).encoder
            source = PartsEncoder(encoder)
            picture = source.open(judging.pictures()[0])
            assert isinstance(picture, OpenedPicture)
            (parts,) = source.parts([picture])
            network, config = encoder.model.image_network(), encoder.model.image_tower.config
            judged = parts_judge.vit(network.parameters, config, np.asarray(picture.pixels))
            rows = np.abs(parts.rows - judged.rows).max()
            total = np.abs(parts.rows.sum(0) + judged.rest - parts.embedding).max()
        yield f"{name}, random weights: rows within {rows:.1e}, sum within {total:.1e}"


def run_geometry() -> Iterator[str]:
    """Whether a black mark in a corner is where the map has it, of each EXIF orientation."""
    source = PartsEncoder(unseen.load(FIXTURE).encoder)
    right = 0
    for orientation in range(1, 9):
        stored = Image.new("RGB", (160, 140), "white")
        stored.paste("black", (0, 0, 20, 20))
        exif, file = Image.Exif(), io.BytesIO()
        exif[0x0112] = orientation
        stored.save(file, "PNG", exif=exif)
        with Image.open(file) as image:
            upright = np.asarray(ImageOps.exif_transpose(image).convert("L"))
        picture = source.open(file.getvalue())
        assert isinstance(picture, OpenedPicture)
        rows, columns = picture.geometry.grid
        dark = 255 - np.asarray(picture.pixels)[..., 0].astype(np.float32)
        cells = dark.reshape(rows, dark.shape[0] // rows, columns, -1).mean((1, 3))
        mapped = picture.geometry.map(cells.ravel())
        y, x = np.unravel_index(np.argmax(mapped), mapped.shape)
        right += bool(upright[y, x] < 128)
    yield f"a mark in a corner: {right} of 8 EXIF orientations"


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "complete": run_complete,
    "geometry": run_geometry,
    "fixture": run_fixture,
    "others": run_others,
    "builtin": run_builtin,
    "sanity": run_sanity,
    "cost": run_cost,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="default: all")
    for part in parser.parse_args().parts or PARTS:
        for line in PARTS[part]():
            print(line, flush=True)


if __name__ == "__main__":
    main()
