"""fp16 and int8: what they cost on disk, how near they stay, and that nothing is silently worse."""

from __future__ import annotations

import io
import time
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import checkpoints
import unseen
from unseen.models import compiled
from unseen.networks.network import Input, single_output
from unseen.runtimes import graph, int8, onnx
from unseen.sources.item import Source
from unseen.system import cache


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP wide enough that its linear layers are worth 8 bits."""
    folder = tmp_path_factory.mktemp("wide")
    return checkpoints.clip(folder / "clip", "B32", width=192, heads=3)


@pytest.fixture(scope="module")
def pictures(photographs: Path) -> list[Path]:
    return sorted(photographs.rglob("*.jpg"))[::4]


@pytest.mark.parametrize(("precision", "bound"), [("fp16", 0.99999), ("int8", 0.995)])
@pytest.mark.parametrize("model", ["builtin", "shapes_clip", "wide"])
def test_real_photographs_stay_near_fp32(
    model: str,
    precision: str,
    bound: float,
    pictures: list[Path],
    request: pytest.FixtureRequest,
) -> None:
    source = model if model == "builtin" else request.getfixturevalue(model)
    exact = unseen.load(source).encode_images(pictures)
    approximate = unseen.load(source, precision=precision).encode_images(pictures)
    assert cosines(exact, approximate).min() >= bound
    if precision == "int8" and model != "builtin":  # whose net is all convolutions
        assert np.abs(exact - approximate).max() > 1e-5  # it is not fp32 after all


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("model", ["builtin", "wide"])
def test_a_lone_picture_is_as_one_of_many(
    model: str,
    precision: str,
    pictures: list[Path],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a compiled net, whose weights and, but for convolutions, graph are taken as they are."""
    monkeypatch.setenv("UNSEEN_CACHE_BYTES", "0")
    source = model if model == "builtin" else request.getfixturevalue(model)
    many = unseen.load(source, precision=precision).encode_images(pictures[:3])
    loaded = []

    def load(*args: object, **options: object) -> object:
        loaded.append((options["prepacked"], options["optimised"]))
        return network(*args, **options)

    network = onnx.OnnxNetwork
    monkeypatch.setattr(onnx, "OnnxNetwork", load)
    for path, row in zip(pictures, many, strict=False):
        alone = unseen.load(source, precision=precision).encoder.encode_one(Source("it", path))
        np.testing.assert_allclose(alone.embedding, row, atol=5e-6)
    assert loaded == [(False, model == "builtin")] * 3


def test_fp16_halves_what_is_kept(wide: Path, fresh_home: Path) -> None:
    sizes = {}
    for precision in ("fp32", "fp16", "int8"):
        unseen.load(wide, precision=precision).encode_images([np.zeros((9, 9, 3), np.uint8)])
        (folder,) = (
            path.parent
            for path in (fresh_home / "networks").glob("*/image.bin")
            if precision in path.parent.name
        )
        sizes[precision] = (folder / "image.bin").stat().st_size
    assert sizes["fp16"] < 0.52 * sizes["fp32"]
    assert sizes["int8"] < 0.5 * sizes["fp32"]  # the patches, much of so narrow a net, stay fp32


def test_a_picture_has_the_same_vector_alone_and_in_a_batch(
    wide: Path, pictures: list[Path]
) -> None:
    """The trap of dynamic quantisation: one scale for a batch makes a picture depend on others."""
    classifier = unseen.load(wide, precision="int8")
    together = classifier.encode_images(pictures[:12], batch_size=12)
    alone = np.concatenate([classifier.encode_images([p]) for p in pictures[:12]])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def product(rows: np.ndarray, weight: np.ndarray, tmp_path: Path) -> np.ndarray:
    """uint8 rows times int8 weight by the kernel that int8 networks use."""

    def body(ops: graph.OnnxOperations, _: object, x: str) -> str:
        shifted = ops.emit("Cast", x, to=2)
        return ops.emit(
            "MatMulIntegerToFloat",
            shifted,
            ops.constant(weight),
            ops._number(1.0),
            ops.constant(np.ones(weight.shape[1], dtype=np.float32)),
            ops.constant(np.array(0, dtype=np.uint8)),
            ops.constant(np.zeros(weight.shape[1], dtype=np.int8)),
            domain=graph.CONTRIBUTED,
        )

    inputs = (Input("x", "int64", (None, rows.shape[1])),)
    network = single_output("p", inputs, body, (None, weight.shape[1]))
    return onnx.OnnxNetwork(onnx.compile_network(network, tmp_path))(rows.astype(np.int64))


def test_the_bits_of_a_weight_do_not_saturate_on_this_cpu(tmp_path: Path) -> None:
    """The trap of U8S8 on AVX2 without VNNI: two products are added in 16 bits and cut."""
    top = 2 ** (int8.weight_bits() - 1) - 1
    rows = np.full((3, 512), 255, dtype=np.uint8)
    weight = np.full((512, 16), top, dtype=np.int8)
    exact = rows.astype(np.int64) @ weight.astype(np.int64)
    np.testing.assert_array_equal(product(rows, weight, tmp_path), exact)
    assert 2 * 255 * 63 <= np.iinfo(np.int16).max < 2 * 255 * 127  # why 7 bits are always right


@pytest.mark.parametrize(
    ("machine", "features", "bits"),
    [
        ("x86_64", {"AVX2": True, "AVX512VNNI": False}, 7),
        ("AMD64", {}, 7),
        ("x86_64", {"AVX512VNNI": True}, 8),
        ("arm64", {}, 8),
        ("aarch64", {}, 8),
    ],
)
def test_the_choice_is_made_by_what_the_cpu_has(
    machine: str, features: dict[str, bool], bits: int
) -> None:
    with (
        mock.patch("platform.machine", return_value=machine),
        mock.patch.dict("numpy._core._multiarray_umath.__cpu_features__", features, clear=True),
    ):
        assert int8.weight_bits() == bits


def test_seven_bits_stay_within_the_bound(
    wide: Path, pictures: list[Path], fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "weight_bits", lambda: 7)
    approximate = unseen.load(wide, precision="int8").encode_images(pictures)
    assert cosines(unseen.load(wide).encode_images(pictures), approximate).min() >= 0.995
    assert list((fresh_home / "networks").glob("*-int7-*"))


def test_outlying_channels_are_evened_out(tmp_path: Path) -> None:
    """A few channels far above the rest, as real CLIPs have: without the divisor they drown it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 64, 192)).astype(np.float32)
    x[..., :4] *= 80
    weight = rng.normal(size=(192, 192)).astype(np.float32) / 14
    weight[:, :4] /= 40
    errors = {}
    for name, ranges in {"divided": np.abs(x[0]).max(0), "as they are": np.ones(192)}.items():
        network = single_output(
            "n",
            (Input("x", "int64", (None, 64, 192)),),
            lambda ops, _, x: ops.linear(ops.emit("Cast", x, to=1), weight),
            (None, 64, 192),
        )
        recorder = lambda file, r=ranges: int8.Int8Operations(  # noqa: E731
            file, [r.astype(np.float32)], bits=8
        )
        run = onnx.OnnxNetwork(onnx.compile_network(network, tmp_path, recorder))
        rounded = np.round(x).astype(np.int64)
        errors[name] = np.abs(run(rounded) - rounded @ weight.T).mean()
    assert errors["divided"] < 0.4 * errors["as they are"]


def test_auto_takes_int8_where_it_is_near_and_fp32_where_it_is_not(
    wide: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = [np.full((40, 40, 3), 90, np.uint8)]
    chosen = unseen.load(wide, precision="auto")
    chosen.encode_images(picture)
    assert chosen.encoder.precision == "int8"

    monkeypatch.setitem(compiled.BOUNDS, "int8", 1.1)  # nothing is as near as that
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # auto is not worse, so it says nothing
        far = unseen.load(wide, precision="auto")
        rows = far.encode_images(picture)
    assert far.encoder.precision == "fp32"
    np.testing.assert_array_equal(rows, unseen.load(wide).encode_images(picture))
    # What is not used does not stay on disk, but that it was tried does.
    names = [p.name for p in (fresh_home / "networks").glob("[!.]*-int8-v*")]
    assert len(names) == 1 and "onnxruntime" in names[0]
    with pytest.warns(unseen.UnseenWarning, match=r"int8 reaches a cosine of 0\.99.*fp32 is safer"):
        unseen.load(wide, precision="int8").encode_images(picture)


def test_a_runtime_that_computes_something_else_is_refused(
    wide: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The self-test: another activation, as in the published papers' bug, is found at once."""
    emit = graph.OnnxOperations.emit

    def wrong(self: graph.OnnxOperations, operator: str, *inputs: str, **kw: object) -> str:
        return emit(self, "Tanh" if operator == "Sigmoid" else operator, *inputs, **kw)

    monkeypatch.setattr(graph.OnnxOperations, "emit", wrong)
    with pytest.raises(unseen.ModelError, match=r"image net in fp32 reaches a cosine of .*0\.9999"):
        unseen.load(wide).encode_images([np.zeros((9, 9, 3), np.uint8)])
    with pytest.raises(unseen.ModelError, match="text net in fp32"):
        unseen.load(wide).encode_texts(["a cat"])


def test_the_self_test_is_made_once(
    wide: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = [np.zeros((9, 9, 3), np.uint8)]
    unseen.load(wide).encode_images(picture)
    (record,) = (fresh_home / "networks").glob("*/check.json")
    assert f"onnxruntime-{onnx.version()}-CPUExecutionProvider" in record.parent.name
    assert '"cosine": 1.0' in record.read_text() or '"cosine": 0.99999' in record.read_text()

    def never(*args: object) -> None:
        raise AssertionError("worked out again")

    monkeypatch.setattr(compiled, "reference_outputs", never)
    unseen.load(wide).encode_images(picture)
    monkeypatch.setattr(onnx, "version", lambda: "99.0")  # another release is another runtime
    with pytest.raises(AssertionError, match="worked out again"):
        unseen.load(wide).encode_images(picture)


def test_a_first_use_compiles_the_image_net_while_labels_are_encoded(
    wide: Path, fresh_home: Path
) -> None:
    classifier = unseen.load(wide)
    classifier.encoder.begin_compiling()
    end = time.monotonic() + 60
    while not (done := list((fresh_home / "networks").glob("[!.]*-image-fp32-*/image.onnx"))):
        assert time.monotonic() < end
        time.sleep(0.01)
    before = done[0].stat().st_mtime_ns
    picture = np.zeros((9, 9, 3), np.uint8)
    assert classifier.classify(picture, ["a", "b"]).label in ("a", "b")
    assert done[0].stat().st_mtime_ns == before, "once"


def test_what_cannot_be_compiled_is_said_by_the_first_call(
    wide: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise unseen.ModelError("it cannot be compiled")

    monkeypatch.setattr(onnx, "compile_network", full)
    classifier = unseen.load(wide)
    classifier.encoder.begin_compiling()
    with pytest.raises(unseen.ModelError, match="it cannot be compiled"):
        classifier.encode_images([np.zeros((9, 9, 3), np.uint8)])


def test_prompts_of_two_precisions_are_kept_apart(wide: Path, fresh_home: Path) -> None:
    a = unseen.load(wide).encode_texts(["a photo of a cat"])
    b = unseen.load(wide, precision="fp16").encode_texts(["a photo of a cat"])
    assert np.abs(a - b).max() > 0
    np.testing.assert_array_equal(a, unseen.load(wide).encode_texts(["a photo of a cat"]))


def test_an_unknown_precision_is_refused() -> None:
    choices = "unknown precision 'int4'; choose one of: fp32, fp16, int8, int8-both, auto"
    with pytest.raises(unseen.ModelError, match=choices):
        unseen.load(precision="int4")


def test_large_numbers_do_not_become_infinite_in_fp16() -> None:
    operations = graph.HalfOperations(io.BytesIO())
    operations._parameters.name = "x.bin"  # type: ignore[misc]
    operations.constant(np.full(1024, 1e6, dtype=np.float32))
    written = operations._parameters.getvalue()  # type: ignore[attr-defined]
    assert np.frombuffer(written, dtype=np.float16).max() == np.finfo(np.float16).max


def test_remove_and_keys(fresh_home: Path) -> None:
    folder = cache.build_folder("a-1.0+x", lambda f: (f / "x").write_text("1") and None)
    assert folder.is_dir()
    cache.remove("a-1.0+x")
    cache.remove("never-there")
    assert not folder.exists()
    with pytest.raises(ValueError, match="invalid cache key"):
        cache.build_folder("../a", lambda f: None)
