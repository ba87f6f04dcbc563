"""Exported files in plain ONNX Runtime beside the library: cosine, first answers, milliseconds.

    python benchmarks/export.py                      # the figures of docs/export.md; half an hour
    python benchmarks/export.py builtin student B/32 # of these only
    python benchmarks/export.py --precision int8
    python benchmarks/export.py --runtime DIR        # and the web app in Chromium, one thread

Pictures are tests/photographs, decoded in full, the labels those of the folders; then five pictures
of odd sizes. Both sides have the same decoded pixels and one thread. Checkpoints have random
weights and the true shape of the image net (the text net is small, as no text net is exported):
their first answers are as near to one another as any, and where the library's first two are nearer
than a cosine of 1e-6, either of them counts as the first. Each is made and deleted again.

A second time each file runs without ONNX Runtime's optimisations: how far its answers move where
floats are rounded at another place, as in WebAssembly. int8 in Chromium is also held against the
library's fp32.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from side_by_side import WORK, b32

import unseen

ROOT = Path(__file__).parents[1]
PHOTOGRAPHS = ROOT / "tests" / "photographs"
SIZES = [(1, 1), (1, 2000), (2000, 1), (223, 223), (4000, 3000)]  # width, height
TIED = 1e-6  # of a cosine
AT_ONCE = 10  # pictures a script: the driver waits two minutes for one
SCRIPT = """
const [names, done] = arguments;
(async () => {
  window.classifier ??= await (await import("./unseen.js")).load("./", { threads: 1 });
  const rows = [];
  for (const name of names) {
    const blob = await (await fetch(`pictures/${name}`)).blob();
    const start = performance.now();
    const answers = await window.classifier.classify(blob);
    rows.push([answers, performance.now() - start, [...answers.embedding]]);
  }
  return rows;
})().then(done, (error) => done(String(error)));
"""


def student(folder: Path) -> Path:
    """A classifier of ten labels, made from the photographs themselves."""
    names = sorted(p.name for p in PHOTOGRAPHS.iterdir() if p.is_dir())[:10]
    pairs = [(p, name) for name in names for p in sorted((PHOTOGRAPHS / name).iterdir())]
    path = folder / "student.onnx"
    unseen.distil(unseen.Teacher("the folders"), pairs).save(path)
    return path


def full_size(maker: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        import full_size

        path: Path = getattr(full_size, maker)(folder)
        return path

    return make


MODELS: dict[str, Callable[[Path], Path | str]] = {
    "builtin": lambda _: "builtin",
    "adapted": lambda _: "builtin",
    "student": student,
    "B/32": lambda _: b32(),
    "SigLIP-B/16": full_size("siglip_b16"),
    "RN50": full_size("rn50"),
    "BiomedCLIP": full_size("biomedclip"),
    "L/14-336": full_size("clip_l14_336"),
    "AltCLIP": full_size("altclip"),
}
# A third of a second and more a picture: every fourth photograph.
LARGE = {"SigLIP-B/16", "BiomedCLIP", "L/14-336", "AltCLIP"}


def adapted(
    classifier: unseen.Classifier, labels: list[str]
) -> tuple[unseen.Classifier, unseen.CompiledLabels]:
    """The built-in model with an adapter, learnt from every second photograph."""
    pairs = [
        (file, name)
        for folder, name in zip(
            sorted(p for p in PHOTOGRAPHS.iterdir() if p.is_dir()), labels, strict=True
        )
        for file in sorted(folder.iterdir())[::2]
    ]
    adapter = unseen.adapt(classifier, pairs)
    with_adapter = unseen.Classifier(classifier.encoder, adapter)
    return with_adapter, with_adapter.compile(labels)


@contextlib.contextmanager
def made(name: str) -> Iterator[str]:
    """A model, deleted again where it was made for this."""
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        yield str(MODELS[name](Path(folder) / "model" if name != "student" else Path(folder)))


def odd_pictures() -> list[Image.Image]:
    sources = sorted(PHOTOGRAPHS.glob("*/*.jpg"))[: len(SIZES)]
    return [
        Image.open(source).convert("RGB").resize(size)
        for source, size in zip(sources, SIZES, strict=True)
    ]


def compared(
    classifier: unseen.Classifier,
    exported: unseen.Export,
    labels: Any,
    pictures: list[Path | Image.Image],
    *,
    optimised: bool = True,
) -> str:
    """Least cosine, first answers, and how far apart probabilities are at most.

    `optimised`: False, and ONNX Runtime computes node by node, which rounds floats elsewhere.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(exported.path), options)
    compiled = classifier.compile(labels)
    least, first, largest, tied = 1.0, 0, 0.0, 0
    embeddings = []
    for picture in pictures:
        image = picture if isinstance(picture, Image.Image) else Image.open(picture).convert("RGB")
        outputs = dict(
            zip(
                [output.name for output in session.get_outputs()],
                session.run(None, {"image": np.asarray(image)}),
                strict=True,
            )
        )
        embedding = classifier.encode_images([image])[0]
        embeddings.append(embedding)
        prediction = classifier.classify(image, compiled, min_score=0)
        least = min(least, float(outputs["embedding"] @ embedding))
        own = {s.label: s for s in prediction.ranking}
        probabilities = [own[answer].score for answer in exported.answers]
        largest = max(largest, float(np.abs(outputs["probabilities"] - probabilities).max()))
        answer = exported.answers[int(outputs["probabilities"].argmax())]
        near = prediction.ranking[0].cosine - own[answer].cosine <= TIED
        first += near
        tied += near and answer != prediction.ranking[0].label
    ties = f" ({tied} tied)" if tied else ""
    among = np.array(embeddings) @ np.array(embeddings).T
    typical = float(np.median(among[np.triu_indices(len(among), 1)]))
    return (
        f"first answers {first} of {len(pictures)}{ties}, least cosine {least:.7f} (of pictures "
        f"among themselves {typical:.2f}), probabilities within {largest:.1e}"
    )


def in_chromium(
    classifier: unseen.Classifier, labels: Any, files: list[Path], runtime: Path, precision: str
) -> str:
    """First answers of the web app against the library's, and milliseconds a picture."""
    from browsers import chromium
    from exported_page import Host

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "app"
        stored = "fp16" if precision == "fp32" else precision
        app = classifier.export_web(
            labels, folder, precision=stored, runtime=runtime, with_embedding=True
        )
        (folder / "pictures").mkdir()
        names = [f"{i:03}.jpg" for i in range(len(files))]
        for name, file in zip(names, files, strict=True):
            (folder / "pictures" / name).write_bytes(file.read_bytes())
        with Host(folder) as host, chromium(Path(temporary) / "profile") as driver:
            driver.set_script_timeout(900)
            driver.get(host.url)
            rows: list[Any] = []
            for start in range(0, len(names), AT_ONCE):
                part = driver.execute_async_script(SCRIPT, names[start : start + AT_ONCE])
                if isinstance(part, str):
                    return f"Chromium: {part}"
                rows += part
    agree, largest, least = 0, 0.0, 1.0
    near = ""
    if precision == "int8":
        right_ones = unseen.load(classifier.model.name, exact=True, threads=1).encode_images(files)
        ours = (classifier.encode_images(files) * right_ones).sum(1)
        theirs = (np.array([row[2] for row in rows]) * right_ones).sum(1)
        near = (
            f"; to the library's fp32: least cosine {theirs.min():.5f}, mean {theirs.mean():.5f}, "
            f"the library's int8 {ours.min():.5f}, {ours.mean():.5f}"
        )
    for file, (answers, _, embedding) in zip(files, rows, strict=True):
        least = min(least, float(classifier.encode_images([file])[0] @ np.array(embedding)))
        right = {s.label: s.score for s in classifier.classify(file, labels, min_score=0).ranking}
        agree += answers[0]["label"] == max(right, key=lambda label: right[label])
        largest = max(largest, *(abs(a["probability"] - right[a["label"]]) for a in answers))
    milliseconds = median(time for _, time, _ in rows)
    return (
        f"Chromium, {stored}, one thread: first answers {agree} of {len(files)}, least cosine "
        f"{least:.6f}, probabilities within {largest:.1e}, {milliseconds:.0f} ms a picture from "
        f"the bytes of its file; folder {app.bytes / 1e6:.1f} MB{near}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", help=f"of {', '.join(MODELS)}; by default all")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "fp16", "int8"])
    parser.add_argument("--pictures", type=int, default=117)
    parser.add_argument("--runtime", type=Path, help="a folder of the npm package onnxruntime-web")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    photographs = sorted(PHOTOGRAPHS.glob("*/*.jpg"))[: options.pictures]
    words = sorted({file.parent.name.replace("_", " ") for file in PHOTOGRAPHS.glob("*/*.jpg")})
    precision = "fp32" if options.precision == "fp16" else options.precision
    print(f"load {os.getloadavg()[0]:.1f}")
    for name in options.models or MODELS:
        with made(name) as model, tempfile.TemporaryDirectory(dir=WORK) as folder:
            classifier = unseen.load(model, exact=True, precision=precision, threads=1)
            labels: Any = None if classifier.model.labels else words
            if name == "adapted":
                classifier, labels = adapted(classifier, words)
            files = photographs[::4] if name in LARGE else photographs
            file_options = unseen.ExportOptions(options.precision, with_embedding=True)
            path = Path(folder) / "x.onnx"
            exported = classifier.export(labels, path, file_options)
            print(f"{name}, {options.precision}, {exported.bytes / 1e6:.1f} MB")
            print(f"  photographs: {compared(classifier, exported, labels, [*files])}")
            plain = compared(classifier, exported, labels, [*files], optimised=False)
            print(f"  the same, ONNX Runtime not optimised: {plain}")
            print(f"  odd sizes: {compared(classifier, exported, labels, [*odd_pictures()])}")
            outcome = classifier.check_export(exported, labels, files[:20])
            ratio = outcome.milliseconds / outcome.library_milliseconds
            print(
                f"  {outcome.milliseconds:.0f} ms a picture from decoded pixels, {ratio:.2f} of "
                "the library's time, in turns",
                flush=True,
            )
            if options.runtime is not None:
                app = in_chromium(classifier, labels, files, options.runtime, options.precision)
                print(f"  {app}", flush=True)
            shutil.rmtree(Path(folder), ignore_errors=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    main()
