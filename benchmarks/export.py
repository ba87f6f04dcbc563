"""Exported files in plain ONNX Runtime beside the library: cosine, first answers, milliseconds.

    python benchmarks/export.py                     # built-in, a student, a random B/32
    python benchmarks/export.py --model FOLDER      # a checkpoint of your own
    python benchmarks/export.py --precision int8
    python benchmarks/export.py --runtime DIR       # and the web app in Chromium, one thread

Pictures are tests/photographs, decoded in full, the labels those of the folders. Both sides have
the same decoded pixels and one thread.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import sys
import tempfile
import threading
from pathlib import Path
from statistics import median
from typing import Any

from side_by_side import b32

import unseen

ROOT = Path(__file__).parents[1]
PHOTOGRAPHS = ROOT / "tests" / "photographs"
SCRIPT = """
const [names, done] = arguments;
(async () => {
  const classifier = await (await import("./unseen.js")).load("./", { threads: 1 });
  const rows = [];
  for (const name of names) {
    const blob = await (await fetch(`pictures/${name}`)).blob();
    const start = performance.now();
    const [first] = await classifier.classify(blob);
    rows.push([first.label, performance.now() - start]);
  }
  return rows;
})().then(done, (error) => done(String(error)));
"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """A static host that says nothing."""

    def log_message(self, *_: Any) -> None: ...


def in_chromium(
    classifier: unseen.Classifier, labels: list[str], files: list[Path], runtime: Path
) -> str:
    """First answers of the web app against the library's, and milliseconds a picture."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from browsers import chromium

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "app"
        classifier.export_web(labels, folder, runtime=runtime)
        (folder / "pictures").mkdir()
        names = [f"{i:03}.jpg" for i in range(len(files))]
        for name, file in zip(names, files, strict=True):
            (folder / "pictures" / name).write_bytes(file.read_bytes())
        handler = functools.partial(Handler, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with chromium(Path(temporary) / "profile") as driver:
            driver.set_script_timeout(600)
            driver.get(f"http://127.0.0.1:{server.server_address[1]}/")
            rows = driver.execute_async_script(SCRIPT, names)
        server.shutdown()
    if isinstance(rows, str):
        return f"Chromium: {rows}"
    right = [classifier.classify(file, labels).label for file in files]
    agree = sum(a == b for (a, _), b in zip(rows, right, strict=True))
    milliseconds = median(time for _, time in rows)
    return f"Chromium: {agree} of {len(files)} first answers, {milliseconds:.0f} ms a picture"


def student(folder: Path) -> Path:
    """A classifier of ten labels, made from the photographs themselves."""
    names = sorted(p.name for p in PHOTOGRAPHS.iterdir() if p.is_dir())[:10]
    pairs = [(p, name) for name in names for p in sorted((PHOTOGRAPHS / name).iterdir())]
    path = folder / "student.onnx"
    unseen.distil(unseen.Teacher("the folders"), pairs).save(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", action="append", help="a model, as `unseen.load` takes it")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "fp16", "int8"])
    parser.add_argument("--pictures", type=int, default=117)
    parser.add_argument("--runtime", type=Path, help="a folder of the npm package onnxruntime-web")
    options = parser.parse_args()
    files = sorted(PHOTOGRAPHS.glob("*/*.jpg"))[: options.pictures]
    labels = sorted({file.parent.name.replace("_", " ") for file in PHOTOGRAPHS.glob("*/*.jpg")})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        models = options.model or ["builtin", str(student(folder)), str(b32())]
        for name in models:
            precision = "fp32" if options.precision == "fp16" else options.precision
            classifier = unseen.load(name, exact=True, precision=precision, threads=1)
            own = None if classifier.model.labels else labels
            file_options = unseen.ExportOptions(options.precision, with_embedding=True)
            exported = classifier.export(own, folder / "x.onnx", file_options)
            outcome = classifier.check_export(exported, own, files)
            print(f"{Path(name).name}, {options.precision}, {exported.bytes / 1e6:.1f} MB")
            print(f"  {outcome}")
            if options.runtime is not None and own is not None:
                print(f"  {in_chromium(classifier, own, files, options.runtime)}")


if __name__ == "__main__":
    main()
