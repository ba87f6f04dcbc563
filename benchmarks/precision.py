"""What fp16 and int8 cost in accuracy, and what they gain: the figures of docs/speed.md.

    python benchmarks/precision.py

Speed and size: a B/32 of the true size with random weights, interleaved, medians. Nearness: cosines
to fp32 of the photographs in tests/photographs. Accuracy: the built-in model on those photographs
and 69 labels; the small trained CLIP of tests/fixtures on its own pictures, among 80 labels, of
combinations that it never saw. The last lines are of a trained transformer, the built-in model's
text net, which no option puts into int8: they say what int8 does to trained weights.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from side_by_side import ROOT, b32

import shapes
import unseen
from unseen.models.compiled import CompiledNetwork
from unseen.models.reference_outputs import tower
from unseen.runtimes import devices, int8

PRECISIONS = ("fp32", "fp16", "int8")
PHOTOGRAPHS = sorted((ROOT / "tests" / "photographs").rglob("*.jpg"))
SHAPES = ROOT / "tests" / "fixtures" / "shapes-clip"
ROUNDS, BATCH = 15, 8


def load(model: str | Path, precision: str, bits: int) -> unseen.Classifier:
    int8.weight_bits = lambda: bits  # type: ignore[assignment]
    return unseen.load(model, precision=precision)


def speed() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 224, 224, 3), dtype=np.uint8)
    home = Path(unseen.system.cache.home()) / "networks"
    nets, sizes = {}, {}
    for precision in PRECISIONS:
        before = {path: path.stat().st_size for path in home.glob("*/image.bin")}
        nets[precision] = unseen.load(b32(), precision=precision).encoder._image
        nets[precision](pixels)
        new = [path for path in home.glob("*/image.bin") if path not in before]
        sizes[precision] = new[0].stat().st_size
    times: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for _ in range(ROUNDS):
        for precision, net in nets.items():
            start = time.perf_counter()
            net(pixels)
            times[precision].append(time.perf_counter() - start)
    base = statistics.median(times["fp32"])
    for precision in PRECISIONS:
        seconds = statistics.median(times[precision])
        print(
            f"B/32 image net, {precision}: {BATCH / seconds:.1f} images/s, "
            f"{base / seconds:.2f} x fp32, {sizes[precision] / 1e6:.0f} MB on disk"
        )


def right(classifier: unseen.Classifier, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Which label is said of each picture, and which is right."""
    if name == "built-in":
        words = [path.parent.name.replace("_", " ") for path in PHOTOGRAPHS]
        labels = sorted(set(words))
        rows = classifier.encode_images(PHOTOGRAPHS)
    else:
        labels = shapes.labels()
        words = [label for label in shapes.labels(held_out=True) for _ in range(20)]
        pictures = [shapes.draw(shapes.scene(word), seed) for seed, word in enumerate(words)]
        rows = classifier.encode_images(pictures)
    said = (rows @ classifier.compile(labels).matrix.T).argmax(1)
    return said, np.array([labels.index(word) for word in words])


def nearness() -> None:
    for name, model in (("built-in", "builtin"), ("fixture", SHAPES), ("B/32, random", b32())):
        exact = unseen.load(model).encode_images(PHOTOGRAPHS)
        before = None if "random" in name else right(unseen.load(model), name)
        for precision, bits in (("fp16", 8), ("int8", 8), ("int8", 7)):
            classifier = load(model, precision, bits)
            cosines = (exact * classifier.encode_images(PHOTOGRAPHS)).sum(1)
            what = precision if precision == "fp16" else f"int8, weights of {bits} bits"
            line = f"{name}, {what}: cosine {cosines.min():.5f} at least, {cosines.mean():.5f} mean"
            if before is not None:
                said, truth = right(classifier, name)
                line += (
                    f"; top-1 {100 * (before[0] == truth).mean():.1f} -> "
                    f"{100 * (said == truth).mean():.1f} %, {(said != before[0]).sum()} of "
                    f"{len(said)} answers changed"
                )
            print(line)


def trained_transformer() -> None:
    classifier = unseen.load()
    model = classifier.model
    labels = sorted({path.parent.name.replace("_", " ") for path in PHOTOGRAPHS})
    truth = [labels.index(path.parent.name.replace("_", " ")) for path in PHOTOGRAPHS]
    images = classifier.encode_images(PHOTOGRAPHS)
    prompts = [model.template.replace("{}", label) for label in labels]
    ids, _ = model.tokenizer.encode(prompts, model.context_length)
    inputs = model.text_inputs(ids)
    rows = {}
    for precision, bits in (("fp32", 8), ("int8", 8), ("int8", 7)):
        int8.weight_bits = lambda b=bits: b  # type: ignore[assignment]
        cpu = partial(devices.execution_target, "cpu")
        options = unseen.LoadOptions(precision=precision)
        net = CompiledNetwork(tower(model, "text"), find_target=cpu, options=options)
        rows[precision, bits] = net(*inputs)
    exact = rows["fp32", 8]
    for (precision, bits), found in rows.items():
        cosines = (exact * found).sum(1)
        top = ((images @ found.T).argmax(1) == truth).mean()
        print(
            f"a trained BERT, {precision}, {bits} bits: cosine {cosines.min():.5f} at least, "
            f"{cosines.mean():.5f} mean; top-1 {100 * top:.1f} %"
        )


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        import os

        os.environ["UNSEEN_HOME"] = home
        speed()
        nearness()
        trained_transformer()


if __name__ == "__main__":
    main()
