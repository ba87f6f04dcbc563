"""A folder of pictures against the net alone: what decoding costs, by format and size.

    python benchmarks/formats.py             # int8; JPEG of 3, 12 and 48 MP, PNG, WebP, HEIC
    python benchmarks/formats.py --precision fp32 --formats JPEG --megapixels 3

A B/32 of random weights, all cores. `net` is the rate of the image net alone on pictures that are
decoded already, through the same scheduling; `folder` that of `Encoder.stream_images`, from files
in the system's cache to embeddings; both in turn, medians. `decode` is the processor's time for one
picture on one core. Decoding and the net share the cores, so that a folder reaches at most
net / (net + decode) of the net's rate, by processor time: `possible`. Where a folder reaches more,
the net alone did not fill the cores.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from limits import ceiling, operations_a_picture, processor
from PIL import Image
from side_by_side import ROOT, WORK, b32

import unseen
from unseen.encoder import stream
from unseen.images.decoders import _registered
from unseen.sources.formats import HEIF_LIBRARIES
from unseen.system.cpu import usable

FORMATS: dict[str, tuple[str, dict[str, object]]] = {
    "JPEG": (".jpg", {"quality": 90}),
    "PNG": (".png", {"compress_level": 1}),
    "WebP": (".webp", {"quality": 90, "method": 1}),
    "HEIC": (".heic", {"quality": 90}),
}
# What is measured by default: phones make JPEG and HEIC of 12 and 48 MP.
ROWS = (
    ("JPEG", 3), ("JPEG", 12), ("JPEG", 48), ("PNG", 3), ("WebP", 3), ("HEIC", 3), ("HEIC", 12),
)  # fmt: skip
DISTINCT = 4  # pictures of a row
ROUNDS = 5


def pictures(kind: str, megapixels: float) -> list[str]:
    """Files of a format and size, made once from photographs; [] where it cannot be written."""
    suffix, options = FORMATS[kind]
    folder = WORK / "formats"
    folder.mkdir(parents=True, exist_ok=True)
    across = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    paths = []
    for number, source in enumerate(sorted((ROOT / "tests" / "photographs").rglob("*.jpg"))):
        if number == DISTINCT:
            break
        path = folder / f"{megapixels:g}-{number}{suffix}"
        if not path.is_file():
            image = Image.open(source).convert("RGB")
            large = image.resize((across, across * 3 // 4), Image.Resampling.BICUBIC)
            try:
                large.save(path, **options)
            except (KeyError, ValueError, OSError):  # no encoder for it here
                path.unlink(missing_ok=True)
                return []
        paths.append(str(path))
    return paths


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--formats", nargs="+", choices=[*FORMATS])
    parser.add_argument("--megapixels", nargs="+", type=float)
    parser.add_argument("--pictures", type=int, default=64)
    options = parser.parse_args()
    rows = ROWS
    if options.formats or options.megapixels:
        sizes = options.megapixels or [3]
        rows = tuple((kind, size) for kind in options.formats or FORMATS for size in sizes)
    _registered(HEIF_LIBRARIES)  # Pillow can then write HEIC, where the library can
    encoder = unseen.load(b32(), precision=options.precision).encoder
    peak, by = ceiling(options.precision, usable())
    operations = operations_a_picture(b32())
    print(
        f"{processor()}, {usable()} cores, {options.precision}; ceiling {peak / 1e9:.0f} G ({by})"
    )
    print("| pictures | decode | net | of the ceiling | folder | of the net | possible |")
    print("|---|---|---|---|---|---|---|")
    for kind, size in rows:
        paths = pictures(kind, size)
        if not paths:
            print(f"| {kind}, {size:g} MP | cannot be written here | | | | | |")
            continue
        count = options.pictures if size <= 3 else max(8, options.pictures // 4)
        many = [paths[i % len(paths)] for i in range(count)]
        decoded = [encoder.pixels(path) for path in paths]
        assert all(isinstance(pixels, np.ndarray) for pixels in decoded), decoded

        def folder(many: list[str] = many) -> None:
            for encoded in encoder.stream_images(many, use_cache=False):
                assert encoded.embedding is not None

        def net(decoded: list[object] = decoded, count: int = count) -> None:
            items = (decoded[i % len(decoded)] for i in range(count))
            for _ in stream(items, lambda p: (None, p), encoder.encode_pixels, encoder.batch_size):
                pass

        times: dict[str, list[float]] = {"net": [], "folder": [], "decode": []}
        for turn in range(ROUNDS + 1):
            taken = {"net": seconds(net), "folder": seconds(folder)}
            start = time.thread_time()
            for path in paths:
                encoder.pixels(path)
            taken["decode"] = (time.thread_time() - start) / len(paths)
            if turn:
                for name, value in taken.items():
                    times[name].append(value)
        medians = {name: statistics.median(values) for name, values in times.items()}
        net_cpu = medians["net"] / count * usable()
        print(
            f"| {kind}, {size:g} MP | {1000 * medians['decode']:.1f} ms | "
            f"{count / medians['net']:.1f} a second | "
            f"{count / medians['net'] * operations / peak:.0%} | "
            f"{count / medians['folder']:.1f} a second | "
            f"{medians['net'] / medians['folder']:.2f} | "
            f"{net_cpu / (net_cpu + medians['decode']):.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
