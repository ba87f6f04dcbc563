"""What this processor can do at most, and how much of it the image net of a B/32 reaches.

python benchmarks/limits.py
python benchmarks/limits.py --threads 1

The ceiling is the best rate of a product of square matrices that fit the cache, over several sizes:
in float32 by ONNX Runtime and by numpy, in int8 by ONNX Runtime (uint8 × int8 → int32). The image
net runs in turn with them in the same run; its operations are counted by torch's own counter,
a multiplication and an addition being two. Memory bandwidth is that of a copy, read and written.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from side_by_side import b32

import unseen
from unseen.encoder import SHARE
from unseen.system.cpu import usable

SIZES = (256, 384, 512, 768)  # sides of the matrices; float32, so 0.26 to 2.4 MB each
PRODUCTS = 8  # of one run of a session, so that its own cost does not count
COPY_BYTES = 256 * 1024 * 1024
ROUNDS = 7
BATCHES = (1, 8)
PRECISIONS = ("fp32", "int8")


@dataclass(frozen=True)
class Workload:
    """Something that is run, and the operations (or bytes) that one run has."""

    name: str
    run: Callable[[], object]
    operations: float


def product_session(size: int, precision: str, threads: int) -> Workload:
    """Products of one matrix with several others, by ONNX Runtime."""
    generator = np.random.default_rng(size)
    if precision == "fp32":
        operator, kind_of_sum = "MatMul", TensorProto.FLOAT
        matrices = generator.standard_normal((PRODUCTS + 1, size, size)).astype(np.float32)
        first = matrices[0]
    else:
        operator, kind_of_sum = "MatMulInteger", TensorProto.INT32
        matrices = generator.integers(-63, 64, (PRODUCTS + 1, size, size)).astype(np.int8)
        first = generator.integers(0, 256, (size, size)).astype(np.uint8)
    nodes = [helper.make_node(operator, ["x", f"w{i}"], [f"y{i}"]) for i in range(PRODUCTS)]
    shape = [size, size]
    given = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(first.dtype), shape)
    results = [helper.make_tensor_value_info(f"y{i}", kind_of_sum, shape) for i in range(PRODUCTS)]
    weights = [numpy_helper.from_array(matrices[i + 1], f"w{i}") for i in range(PRODUCTS)]
    graph = helper.make_graph(nodes, "products", [given], results, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return Workload(
        f"{operator} {size}",
        lambda: session.run(None, {"x": first}),
        2.0 * size**3 * PRODUCTS,
    )


def product_numpy(size: int) -> Workload:
    """The same by numpy, in float32, with the threads that its BLAS takes."""
    a, b = np.random.default_rng(size).standard_normal((2, size, size)).astype(np.float32)
    into = np.empty_like(a)

    def run() -> None:
        for _ in range(PRODUCTS):
            np.matmul(a, b, out=into)

    return Workload(f"numpy {size}", run, 2.0 * size**3 * PRODUCTS)


def copy() -> Workload:
    """Memory to memory, with one thread."""
    a = np.ones(COPY_BYTES, np.uint8)
    b = np.zeros_like(a)
    return Workload("copy", lambda: np.copyto(b, a), 2.0 * COPY_BYTES)


def image_net(
    folder: Path, precision: str, threads: int, batch: int, operations: float
) -> Workload:
    """Our image net on pixels; `operations` is of one picture."""
    network = unseen.load(folder, precision=precision, threads=threads).encoder._image
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8)
    return Workload(f"image net, batch {batch}", lambda: network(pixels), operations * batch)


def shared_image_net(folder: Path, precision: str, cores: int, operations: float) -> Workload:
    """The same on each core, with a batch of its own: how a stream of pictures is encoded."""
    network = unseen.load(folder, precision=precision, threads=1).encoder._image
    shape = (SHARE, 224, 224, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pool = ThreadPoolExecutor(cores)

    def run() -> None:
        for call in [pool.submit(network, pixels) for _ in range(2 * cores)]:
            call.result()

    pictures = 2 * cores * SHARE
    return Workload(f"image net, {cores} × batch {SHARE}", run, operations * pictures)


def operations_a_picture(folder: Path) -> float:
    """Of the image net, counted by torch while transformers computes it."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model.get_image_features(pixel_values=torch.zeros(1, 3, 224, 224))
    return float(counter.get_total_flops())


def rates(workloads: list[Workload]) -> dict[str, float]:
    """Operations a second of each: the median of rounds in which all run in turn."""
    times: dict[str, list[float]] = {one.name: [] for one in workloads}
    repeats = {}
    for one in workloads:
        one.run()
        start = time.perf_counter()
        one.run()
        repeats[one.name] = max(1, round(0.2 / (time.perf_counter() - start)))
    for _ in range(ROUNDS):
        for one in workloads:
            start = time.perf_counter()
            for _ in range(repeats[one.name]):
                one.run()
            times[one.name].append((time.perf_counter() - start) / repeats[one.name])
    return {one.name: one.operations / statistics.median(times[one.name]) for one in workloads}


def ceiling(precision: str, threads: int) -> tuple[float, str]:
    """Operations a second of the best product of matrices, and which that was: what a speed is a
    share of, in the tables of other benchmarks too."""
    products = [product_session(size, precision, threads) for size in SIZES]
    if precision == "fp32" and os.environ.get("OMP_NUM_THREADS") == str(threads):
        products += [product_numpy(size) for size in SIZES]
    rate = rates(products)
    best = max(rate, key=rate.__getitem__)
    return rate[best], best


def image_nets(
    folder: Path, precision: str, threads: int, batches: Sequence[int], operations: float
) -> list[Workload]:
    """The image net with all threads for one batch, and with one thread for each of several."""
    nets = [image_net(folder, precision, threads, batch, operations) for batch in batches]
    if threads > 1:
        nets.append(shared_image_net(folder, precision, threads, operations))
    return nets


def net_alone(folder: Path, precision: str, operations: float) -> float:
    """Pictures a second of the image net without anything else: the faster of both ways."""
    nets = image_nets(folder, precision, usable(), [16], operations)
    return max(rates(nets).values()) / operations


def share(rate: float, precision: str, threads: int) -> str:
    """Of operations a second, for a line under a table: what part of the ceiling they are."""
    most, best = ceiling(precision, threads)
    return (
        f"{rate / most:.0%} of the best product in {precision}, {most / 1e9:,.0f} G a second "
        f"({best}, {threads} threads, {processor()})"
    )


def processor() -> str:
    """Its name, as the system gives it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=usable())
    threads = parser.parse_args().threads
    folder = b32()
    operations = operations_a_picture(folder)
    print(f"{processor()}, {threads} threads; {operations / 1e9:.2f} GFLOPs a picture")
    print("| | ceiling, a second | by | a second | | of the ceiling |")
    print("|---|---|---|---|---|---|")
    for precision in PRECISIONS:
        products = [product_session(size, precision, threads) for size in SIZES]
        if precision == "fp32" and os.environ.get("OMP_NUM_THREADS") == str(threads):
            products += [product_numpy(size) for size in SIZES]
        nets = image_nets(folder, precision, threads, BATCHES, operations)
        rate = rates([*products, *nets])
        best = max((one.name for one in products), key=rate.__getitem__)
        for net in nets:
            print(
                f"| {precision} | {rate[best] / 1e9:,.0f} G | {best} | "
                f"{rate[net.name] / operations:.1f} pictures | {net.name} | "
                f"{rate[net.name] / rate[best]:.0%} |"
            )
    print(f"memory, a copy: {rates([copy()])['copy'] / 1e9:.1f} GB/s read and written")


if __name__ == "__main__":
    main()
