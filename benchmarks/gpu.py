"""Image nets on a CUDA device, within ten minutes: unseen and all who run the same weights.

    python benchmarks/gpu.py                       # all nets, 9 minutes at most
    python benchmarks/gpu.py --nets B/32 --batch 64
    python benchmarks/gpu.py --dry-run             # small nets on the CPU: only that it works

Rows: unseen's torch runtime in bfloat16; transformers (attention eager, SDPA, and SDPA compiled by
torch.compile); open_clip (eager and compiled) where it has the net; and the ONNX file of unseen by
ONNX Runtime's CUDA and TensorRT where these are installed. Weights are random, of the true sizes,
the same for all. Everyone starts from uint8 pictures in host memory and ends with float32 rows
there; for the others too, pixels are normalised on the device, which is faster than what their own
processors do. All of a net are timed in turn, A B C … A B C …, and medians are printed, with the
least cosine to unseen's rows and, for a card that is known here, the part of its bfloat16 peak.
Then: a curve over batch sizes, a folder of JPEGs whose decoding overlaps the net, and what happens
when a batch does not fit the memory. What there was no time for is said.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

import unseen  # noqa: E402
from unseen.runtimes import onnx  # noqa: E402
from unseen.runtimes.torch import DTYPES, TorchNetwork  # noqa: E402

ROUNDS, WARM_UP = 15, 2
CURVE = (1, 8, 32, 128, 512)
FOLDER_PICTURES = 256
MEMORY_SHARE, MEMORY_BATCH = 0.03, 8192  # of the card, and pictures that do not fit into it
COMPILE_SECONDS = 45  # what torch.compile of one net may take
Run = Callable[[Any], Any]  # uint8 (n, side, side, 3) → float32 (n, dimension), both numpy
Embed = Callable[[torch.Tensor], torch.Tensor]

# Dense bfloat16 FLOP/s by the name that the card gives; one that is not here has no share of it.
PEAKS = {
    r"NVIDIA (H200|H100 80GB HBM3)": 989e12,
    r"NVIDIA A100.*": 312e12,
    r"NVIDIA L4": 121e12,
    r"NVIDIA GeForce RTX 4090": 165e12,
}
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
PROVIDERS = {
    "ONNX Runtime, CUDA, fp32": ("CUDAExecutionProvider", {}),
    "ONNX Runtime, TensorRT, fp16": ("TensorrtExecutionProvider", {"trt_fp16_enable": "True"}),
}


@dataclass
class Setting:
    """Where and how large: a card, or in a dry run the CPU and small nets."""

    device: str
    dry: bool
    batch: int
    rounds: int
    deadline: float
    peak: float | None = None
    left_out: list[str] = field(default_factory=list)

    @property
    def precision(self) -> str:
        return "fp32" if self.dry else "bf16"

    def has_time(self, what: str, seconds: float = 0.0) -> bool:
        """Whether there are so many seconds left; what is not done is noted."""
        if time.monotonic() + seconds < self.deadline:
            return True
        self.left_out.append(what)
        return False


@dataclass(frozen=True)
class Clip:
    """A CLIP: its shape, and open_clip's name of it."""

    shape: str  # of `checkpoints.SHAPES`
    layers: int
    width: int
    heads: int
    dimension: int
    open_clip: str

    def make(self, folder: Path, setting: Setting) -> dict[str, Embed]:
        """A checkpoint in `folder`, with next to no text net, and who else can run it."""
        import open_clip
        from transformers import CLIPModel

        import checkpoints

        text = {"hidden_size": 64, "num_attention_heads": 1, "num_hidden_layers": 1}
        shape = {"width": self.width, "heads": self.heads, "dimension": self.dimension}
        layers = self.layers
        if setting.dry:
            shape, layers = {"width": 128, "heads": 2, "dimension": 32}, 2
        checkpoints.clip(folder, self.shape, layers=layers, text=text, **shape)
        others = of_transformers(CLIPModel, folder, setting)
        if setting.dry:  # open_clip makes its nets by name alone, of the true size
            return others
        visual = open_clip.create_model(self.open_clip, precision="bf16").visual.eval()
        state = CLIPModel.from_pretrained(folder, dtype=torch.bfloat16).state_dict()
        visual.load_state_dict(to_open_clip(state, layers))
        return {**others, "open_clip": visual.to(setting.device)}


@dataclass(frozen=True)
class Siglip:
    """A SigLIP of 16-pixel patches."""

    layers: int = 12
    width: int = 768
    heads: int = 12

    def make(self, folder: Path, setting: Setting) -> dict[str, Embed]:
        """As of `Clip`; open_clip has other names for every weight, and is left out."""
        from transformers import SiglipConfig, SiglipModel

        import checkpoints
        import hf_checkpoints

        folder.mkdir()
        words = hf_checkpoints.siglip_tokenizer(folder)
        layers, width, heads = (2, 64, 2) if setting.dry else (self.layers, self.width, self.heads)
        vision = {
            "num_hidden_layers": layers,
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_attention_heads": heads,
            "patch_size": 16,
            "image_size": 224,
        }
        text = {
            "vocab_size": words,
            "hidden_size": 64,
            "intermediate_size": 64,
            "num_attention_heads": 1,
            "num_hidden_layers": 1,
            "projection_size": width,
        }
        config = SiglipConfig(vision_config=vision, text_config=text)
        checkpoints.randomise(SiglipModel(config), 1).save_pretrained(folder)
        settings = {
            "image_processor_type": "SiglipImageProcessor",
            "do_center_crop": None,
            "size": {"height": 224, "width": 224},
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
        }
        hf_checkpoints.write_processor(folder, settings)
        return of_transformers(SiglipModel, folder, setting)


@dataclass(frozen=True)
class Timm:
    """A net of timm under open_clip, by its name there; transformers does not have it."""

    name: str

    def make(self, folder: Path, setting: Setting) -> dict[str, Embed]:
        import open_clip

        import checkpoints
        import openclip_checkpoints

        folder.mkdir()
        config = open_clip.get_model_config(self.name)
        words = checkpoints.tokenizer(folder)
        config["text_cfg"] |= {"width": 48, "heads": 3, "layers": 1, "vocab_size": words}
        model = openclip_checkpoints.random_model(config, folder, whole_image_net=not setting.dry)
        openclip_checkpoints.save(folder, model, config)
        return {"open_clip": model.visual.to(setting.device, DTYPES[setting.precision])}


NETS: dict[str, Any] = {
    "B/32": Clip("B32", 12, 768, 12, 512, "ViT-B-32-quickgelu"),
    "L/14": Clip("L14", 24, 1024, 16, 768, "ViT-L-14-quickgelu"),
    "SigLIP B/16": Siglip(),
    "PE-Core-B": Timm("PE-Core-B-16"),
    "L/14-336": Clip("L14-336", 24, 1024, 16, 768, "ViT-L-14-336-quickgelu"),
}


def to_open_clip(weights: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """transformers' names and arrangement of the image net → those of open_clip's `visual`."""
    vision = {k.removeprefix("vision_model."): v for k, v in weights.items()}
    state = {
        "class_embedding": vision["embeddings.class_embedding"],
        "positional_embedding": vision["embeddings.position_embedding.weight"],
        "conv1.weight": vision["embeddings.patch_embedding.weight"],
        "proj": weights["visual_projection.weight"].T.contiguous(),
    }
    plain = {"ln_pre": "pre_layrnorm", "ln_post": "post_layernorm"}
    inner = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "attn.out_proj": "self_attn.out_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    for kind in ("weight", "bias"):
        state |= {f"{ours}.{kind}": vision[f"{theirs}.{kind}"] for ours, theirs in plain.items()}
        for i in range(layers):
            block, layer = f"transformer.resblocks.{i}", f"encoder.layers.{i}"
            for ours, theirs in inner.items():
                state[f"{block}.{ours}.{kind}"] = vision[f"{layer}.{theirs}.{kind}"]
            qkv = [vision[f"{layer}.self_attn.{p}_proj.{kind}"] for p in "qkv"]
            state[f"{block}.attn.in_proj_{kind}"] = torch.cat(qkv)
    return state


def of_transformers(kind: Any, folder: Path, setting: Setting) -> dict[str, Embed]:
    """transformers' own class, with each way to compute attention."""

    def embed(attention: str) -> Embed:
        dtype = DTYPES[setting.precision]
        model = kind.from_pretrained(folder, dtype=dtype, attn_implementation=attention)
        model = model.eval().to(setting.device)
        return lambda x: model.get_image_features(pixel_values=x).pooler_output

    return {f"transformers, {attention}": embed(attention) for attention in ("eager", "sdpa")}


def normalised(model: unseen.Model) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the pixels of a model."""
    preprocess: Any = model.preprocess
    return [*preprocess.mean], [*preprocess.std]


def theirs(embed: Embed, model: unseen.Model, setting: Setting, *, compiled: bool) -> Run:
    device = setting.device
    mean, std = (torch.tensor(c, device=device).view(1, 3, 1, 1) for c in normalised(model))

    def rows(x: torch.Tensor) -> torch.Tensor:
        x = ((x.permute(0, 3, 1, 2) / 255 - mean) / std).to(DTYPES[setting.precision])
        return torch.nn.functional.normalize(embed(x).float(), dim=-1)

    # Not in a dry run: to import what compiles takes seconds.
    on_device = torch.compile(rows) if compiled and not setting.dry else rows

    @torch.inference_mode()
    def run(pictures: Any) -> Any:
        x = torch.from_numpy(pictures)
        x = (x.pin_memory() if device == "cuda" else x).to(device, non_blocking=True)
        return on_device(x).cpu().numpy()

    return run


def subjects(name: str, folder: Path, setting: Setting) -> Iterator[tuple[str, Run]]:
    """Everyone who can run a net, unseen first."""
    others = NETS[name].make(folder, setting)
    model = unseen.load(folder, device="cpu").model
    network = model.image_network()
    yield "unseen", TorchNetwork(network, setting.device, DTYPES[setting.precision])
    for who, embed in others.items():
        yield who, theirs(embed, model, setting, compiled=False)
    for who, embed in others.items():
        if "eager" not in who and setting.has_time(f"{name}, {who}, compiled", COMPILE_SECONDS):
            yield f"{who}, compiled", theirs(embed, model, setting, compiled=True)
    wanted = {
        **PROVIDERS,
        **({"ONNX Runtime, CPU": ("CPUExecutionProvider", {})} if setting.dry else {}),
    }
    for who, (provider, options) in wanted.items():
        if provider not in onnx.available_providers():
            setting.left_out.append(f"{name}, {who}: not installed")
        elif setting.has_time(f"{name}, {who}", COMPILE_SECONDS):
            yield who, by_onnx_runtime(model, folder.parent / provider, provider, options)


def by_onnx_runtime(
    model: unseen.Model, folder: Path, provider: str, options: dict[str, str]
) -> Run:
    """unseen's ONNX file with a provider of ONNX Runtime."""
    import onnxruntime

    folder.mkdir()
    path = onnx.compile_network(model.image_network(), folder)
    providers: list[Any] = [*dict.fromkeys([provider, "CPUExecutionProvider"])]
    providers[0] = (provider, options)
    session = onnxruntime.InferenceSession(str(path), providers=providers)
    (given,) = session.get_inputs()
    return lambda pictures: session.run(None, {given.name: pictures})[0]


def operations(model: unseen.Model, side: int, folder: Path) -> float:
    """Of one picture: two a multiplication of its matrices, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    net = TorchNetwork(model.image_network(), "cpu", torch.float32)
    with FlopCounterMode(display=False) as counter:
        net(np.zeros((1, side, side, 3), dtype=np.uint8))
    return float(counter.get_total_flops())


def pictures_of(model: unseen.Model, count: int) -> Any:
    """Noise of the size that a net takes."""
    preprocess: Any = model.preprocess
    height, width = preprocess.output
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def seconds_of(
    runs: dict[str, Run], pictures: Any, setting: Setting, share: float
) -> dict[str, float]:
    """Median seconds of each, in turn; as many rounds as fit a share of the time."""
    times: dict[str, list[float]] = {who: [] for who in runs}
    end = time.monotonic() + share
    for turn in range(setting.rounds + WARM_UP):
        for who, run in runs.items():
            start = time.perf_counter()
            run(pictures)
            if turn >= WARM_UP:
                times[who].append(time.perf_counter() - start)
        if turn > WARM_UP and time.monotonic() > end:
            break
    return {who: statistics.median(taken) for who, taken in times.items()}


def measure(name: str, folder: Path, setting: Setting) -> Run:
    """The rows of a net → unseen's."""
    runs = dict(subjects(name, folder, setting))
    model = unseen.load(folder, device="cpu").model
    pictures = pictures_of(model, setting.batch)
    rows = {who: run(pictures) for who, run in runs.items()}  # compiles, too
    flop = operations(model, pictures.shape[1], folder)
    for who, seconds in seconds_of(runs, pictures, setting, 30.0).items():
        rate = len(pictures) / seconds
        cosine = float((rows[who] * rows["unseen"]).sum(1).min())
        part = f"{rate * flop / setting.peak:.0%}" if setting.peak else ""
        print(
            f"| {name} | {who} | {len(pictures)} | {rate:,.0f} | {part} | {cosine:.4f} |",
            flush=True,
        )
    return runs["unseen"]


def curve(name: str, run: Run, model: unseen.Model, setting: Setting) -> None:
    """Pictures a second at each batch size."""
    sizes = (1, 2) if setting.dry else CURVE
    cells = []
    for size in sizes:
        pictures = pictures_of(model, size)
        seconds = seconds_of({"unseen": run}, pictures, setting, 3.0)["unseen"]
        cells.append(f"{size}: {size / seconds:,.0f} ({1000 * seconds:.1f} ms)")
    print(f"{name}, pictures a second by batch: {', '.join(cells)}", flush=True)


def folder_of_jpegs(folder: Path, count: int, setting: Setting) -> list[str]:
    """Photographs of 3 megapixels, `count` of them, of which some are the same."""
    sources = sorted((ROOT / "tests" / "photographs").rglob("*.jpg"))[:16]
    size = (200, 150) if setting.dry else (2000, 1500)
    paths = []
    for number in range(min(count, len(sources))):
        path = folder / f"{number}.jpg"
        image = Image.open(sources[number]).convert("RGB").resize(size)
        image.save(path, quality=90)
        paths.append(str(path))
    return [paths[number % len(paths)] for number in range(count)]


def overlapped(name: str, folder: Path, work: Path, setting: Setting) -> None:
    """JPEGs decoded by the CPU while the card computes."""
    device = "cpu" if setting.dry else "cuda"
    count = 4 if setting.dry else FOLDER_PICTURES
    classifier = unseen.load(folder, device=device, precision="fp32" if setting.dry else "auto")
    paths = folder_of_jpegs(work, count, setting)
    encoder = classifier.encoder
    pixels = [encoder.pixels(path) for path in paths[:16]]
    encoder.encode_pixels(pixels[:2])
    start = time.perf_counter()
    rows = sum(
        one.embedding is not None
        for one in encoder.stream_images(paths, batch_size=min(64, count), use_cache=False)
    )
    rate = rows / (time.perf_counter() - start)
    start = time.perf_counter()
    for path in paths[:16]:
        encoder.pixels(path)
    decoding = len(paths[:16]) / (time.perf_counter() - start)
    print(
        f"{name}, a folder of JPEGs: {rate:,.0f} pictures a second; one thread decodes "
        f"{decoding:,.0f}, and {encoder.precision} on {encoder.target.device} has the net",
        flush=True,
    )


class _Small(TorchNetwork):
    """A device that has room for two pictures: for the dry run."""

    def _replay(self, *inputs: Any) -> Any:
        if len(inputs[0]) > 2:
            raise RuntimeError("out of memory")
        return super()._replay(*inputs)


def without_memory(name: str, folder: Path, setting: Setting) -> None:
    """A batch that does not fit: halved until it does, with the same rows."""
    model = unseen.load(folder, device="cpu").model
    pictures = pictures_of(model, 8 if setting.dry else MEMORY_BATCH)
    kind = _Small if setting.dry else TorchNetwork
    net = kind(model.image_network(), setting.device, DTYPES[setting.precision])
    if not setting.dry:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(MEMORY_SHARE)
    try:
        rows = net(pictures)
    finally:
        if not setting.dry:
            torch.cuda.set_per_process_memory_fraction(1.0)
    few = net(pictures[:2])
    cosine = float((rows[:2] * few).sum(1).min())
    print(
        f"{name}, {len(pictures):,} pictures in too little memory: all done, at most {net._most} "
        f"at once, cosine to two alone {cosine:.5f}",
        flush=True,
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--nets", nargs="+", choices=[*NETS], default=[*NETS])
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args(arguments)
    if not options.dry_run and not torch.cuda.is_available():
        sys.exit("This benchmark needs a CUDA device, and torch finds none here; or --dry-run.")
    deadline = time.monotonic() + 60 * options.minutes
    if options.dry_run:
        setting = Setting("cpu", True, 2, 1, deadline)
        print(f"a dry run on the CPU, torch {torch.__version__}: small nets, no figure counts")
    else:
        card = torch.cuda.get_device_name()
        peak = next((flops for known, flops in PEAKS.items() if re.fullmatch(known, card)), None)
        setting = Setting("cuda", False, options.batch, ROUNDS, deadline, peak)
        print(f"{card}, torch {torch.__version__}, bfloat16")
    print("| net | who | batch | pictures a second | of peak | cosine |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        for number, name in enumerate(options.nets):
            if not setting.has_time(name, COMPILE_SECONDS):
                continue
            folder = Path(work, str(number), "model")
            folder.parent.mkdir()
            run = measure(name, folder, setting)
            if number == 0:
                model = unseen.load(folder, device="cpu").model
                curve(name, run, model, setting)
                overlapped(name, folder, Path(work), setting)
                without_memory(name, folder, setting)
            del run
            if not setting.dry:
                torch.cuda.empty_cache()
    if setting.left_out:
        print(f"left out: {'; '.join(setting.left_out)}")


if __name__ == "__main__":
    main()
