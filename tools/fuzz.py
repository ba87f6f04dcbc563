"""Readers of strangers' bytes, given bytes that nobody wrote: only an UnseenError may come out.

    python tools/fuzz.py config --seconds 60
    python tools/fuzz.py all --seconds 60 --seed 7

Files of the tests' own makers are changed at random and read again. With atheris installed it
chooses the changes by what code they reach; without it they are plain: bytes flipped, cut, doubled
and spliced, and values of JSON exchanged. The process may take 6 GB and no more; an input
that ends in another error is written to `--keep`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "support")]

from unseen.errors import SourceError, UnseenError  # noqa: E402

FIXTURES = ROOT / "tests" / "fixtures"
TEXTS = ["a photo of a cat", "", "naïve café 猫 ﷺ", "a" * 300]
MEMORY = 6 << 30
STRANGE: tuple[Any, ...] = (
    *(None, True, False, "", "x", "\ud800", [], {}, [[]], {"a": {}}, ["x", 1, None]),
    *(0, -1, 1, 2, 3.5, 1e300, float("nan"), float("inf"), 10**9, -(10**18), 10**40),
)
BYTES = (
    b"\x00",
    b"\xff",
    b"\x80",
    b"\x7f",
    b"\r\n",
    b"{",
    b"[",
    b'"',
    b"\xff\xff\xff\xff",
    b"9" * 40,
)


@dataclass
class Reader:
    """A reader: `seeds` writes good files and gives those to change, `read` reads a changed one."""

    seeds: Callable[[Path], list[Path]]
    read: Callable[[Path], object]


# seeds


def _copied(*names: str) -> Callable[[Path], list[Path]]:
    def seeds(folder: Path) -> list[Path]:
        for name in names:
            (folder / Path(name).name).write_bytes((FIXTURES / name).read_bytes())
        return [folder / Path(name).name for name in names]

    return seeds


def _written(**texts: str) -> Callable[[Path], list[Path]]:
    def seeds(folder: Path) -> list[Path]:
        paths = []
        for name, text in texts.items():
            paths.append(folder / name.replace("__", "."))
            paths[-1].write_text(text, "utf-8")
        return paths

    return seeds


def _checkpoint(*names: str) -> Callable[[Path], list[Path]]:
    """shapes-clip, of which these files are changed."""

    def seeds(folder: Path) -> list[Path]:
        for path in (FIXTURES / "shapes-clip").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        return [folder / name for name in names]

    return seeds


def _open_clip(folder: Path) -> list[Path]:
    _mend()
    import openclip_checkpoints

    openclip_checkpoints.openclip(folder, "vit")
    return [folder / "open_clip_config.json"]


def _tokenizer_json(folder: Path) -> list[Path]:
    text = (ROOT / "src/unseen/data/builtin/tokenizer.json").read_text("utf-8")
    content = json.loads(text)
    vocabulary = content["model"]["vocab"]
    content["model"]["vocab"] = {w: i for w, i in vocabulary.items() if i < 110 or i % 97 == 0}
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(content), "utf-8")
    return [path]


def _sentence_pieces(folder: Path) -> list[Path]:
    _mend()
    import hf_checkpoints

    hf_checkpoints.sentence_pieces(folder / "spiece.model")
    return [folder / "spiece.model"]


def _safetensors(folder: Path) -> list[Path]:
    import numpy as np
    from safetensors.numpy import save_file

    path = folder / "model.safetensors"
    arrays = {"a": np.ones((3, 4), "f4"), "b.c": np.ones(5, "f2"), "d": np.zeros((2, 0), "i8")}
    save_file(arrays, path, {"format": "pt"})
    return [path]


def _torch(folder: Path) -> list[Path]:
    import torch

    state = {"a": torch.ones(3, 4), "b": torch.arange(5), "c": torch.ones(2).to(torch.bfloat16)}
    torch.save(state, folder / "zip.bin")
    torch.save(state, folder / "legacy.bin", _use_new_zipfile_serialization=False)
    return [folder / "zip.bin", folder / "legacy.bin"]


def _student(folder: Path) -> list[Path]:
    import lzma

    path = folder / "distilled.onnx"
    path.write_bytes(lzma.decompress((FIXTURES / "0.1.0" / "distilled.onnx.xz").read_bytes()))
    return [path]


def _pictures(folder: Path) -> list[Path]:
    import hostile

    paths = []
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "PPM"):
        paths.append(folder / f"a.{kind.lower()}")
        paths[-1].write_bytes(hostile.encoded(kind))
    return paths


def _archives(folder: Path) -> list[Path]:
    import tarfile
    import zipfile

    paths = _pictures(folder)[:3]
    facts = folder / "a.json"
    facts.write_text('{"taken": "here", "number": 3}', "utf-8")
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, path.name)
    for name, mode in (("a.tar", "w"), ("a.tgz", "w:gz")):
        with tarfile.open(folder / name, mode) as tar:
            for path in (*paths, facts):
                tar.add(path, path.name)
    return [folder / name for name in ("a.zip", "a.tar", "a.tgz")]


def _tables(folder: Path) -> list[Path]:
    import pyarrow as pa
    from pyarrow import parquet

    import hostile

    (folder / "a.png").write_bytes(hostile.encoded("PNG"))
    texts = {
        "t.csv": 'path,number\na.png,1\n"a.png",2\n',
        "t.tsv": "image\tname\na.png\tx\n",
        "t.jsonl": '{"path": "a.png", "number": 1}\n{"path": "a.png", "tags": ["x"]}\n',
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    rows = pa.table({"image": [hostile.encoded("PNG")] * 3, "name": ["a", "b", "a"]})
    parquet.write_table(rows, folder / "t.parquet")
    with (
        pa.OSFile(str(folder / "t.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, rows.schema) as out,
    ):
        out.write_table(rows)
    return [folder / name for name in (*texts, "t.parquet", "t.arrow")]


def _pdf(folder: Path) -> list[Path]:
    import hostile

    hostile.picture().save(folder / "a.pdf", save_all=True, append_images=[hostile.picture(seed=1)])
    return [folder / "a.pdf"]


def _animations(folder: Path) -> list[Path]:
    import hostile

    first, *others = (hostile.picture(seed=seed) for seed in range(3))
    paths = [folder / f"a.{suffix}" for suffix in ("gif", "webp", "png")]
    for path in paths:
        first.save(path, save_all=True, append_images=others, duration=500)
    return paths


def _job(folder: Path) -> list[Path]:
    import unseen
    from unseen.jobs.plan import plan
    from unseen.jobs.running.runner import work
    from unseen.jobs.running.session import Session

    (folder / "photos").mkdir()
    _pictures(folder / "photos")
    classifier = unseen.load(str(FIXTURES / "shapes-clip"))
    job = plan(classifier, folder / "photos", folder / "job", ["cat", "dog"], shard_pictures=4)
    work(job, Session.load(job, {"device": "cpu", "threads": 1}))
    return sorted(path for path in job.store.path.rglob("*") if path.is_file())  # type: ignore[attr-defined]


def _tuned(folder: Path) -> list[Path]:
    _safetensors(folder)
    (folder / "model.safetensors").rename(folder / "delta.safetensors")
    (folder / "tune.json").write_text('{"base": "builtin", "alpha": 0.5}', "utf-8")
    return [folder / "delta.safetensors", folder / "tune.json"]


def _results(folder: Path) -> list[Path]:
    paths = _copied("0.1.0/likely.csv", "0.1.0/other.jsonl")(folder)
    tiled = folder / "tiled.jsonl"
    ranking = [{"label": "cat", "score": 0.9, "cosine": 0.3, "tile": [0, 0, 8, 8]}]
    row = {"source": "a.jpg", "label": "cat", "ranking": ranking, "meta": {"row": 1}}
    tiled.write_text(json.dumps(row) + "\n", "utf-8")
    return [*paths, tiled]


def _forms(folder: Path) -> list[Path]:
    head = b'--x\r\nContent-Disposition: form-data; name="%s"'
    picture = head % b"image" + b'; filename="a.png"\r\n\r\n\x89PNG\r\n\r\n'
    labels = head % b"facets" + b'\r\n\r\n{"a": ["red", "blue"], "b": {"labels": ["x"]}}\r\n'
    (folder / "form").write_bytes(picture + labels + b"--x--\r\n")
    return [folder / "form"]


def _index(folder: Path) -> list[Path]:
    from unseen.index.index import Index

    (folder / "photos").mkdir()
    _pictures(folder / "photos")
    with Index(folder / "photos") as index:
        index.update(_encoder())
    return [folder / "photos" / ".unseen" / "index.sqlite"]


def _labelling(folder: Path) -> list[Path]:
    import labelled

    (folder / "photos").mkdir()
    hands = [labelled.HandLabel(f"{i}.png", ("cat", "dog")[i % 2]) for i in range(6)]
    labelling = labelled.label_by_hand(folder / "photos", hands, ["cat", "dog"])
    labelling.close()
    return [labelling.path]


def _label_store(folder: Path) -> list[Path]:
    from unseen.web.server.core.label_sets import LabelStore

    store = LabelStore(folder / "labels.sqlite", "f", 10)
    store.put("animals", {"labels": {"cat": ["a cat"], "dog": ["a dog"]}}, 2)
    store.close()
    return [folder / "labels.sqlite"]


def _encoder() -> Any:
    import unseen

    return unseen.load(str(FIXTURES / "shapes-clip")).encoder


def _mend() -> None:
    """Before transformers is imported: see there."""
    import broken_torchvision

    broken_torchvision.mend()


# readers


def _read_model(path: Path) -> None:
    from unseen.models import families, hub
    from unseen.models.checkpoint import Checkpoint

    folder = path.parent
    model = families.read(Checkpoint("fuzz", folder, config_file=hub.config_file(folder)))
    model.image_network()
    model.text_network()
    model.tokenizer.encode(TEXTS, model.context_length)


def _read_tokenizer(path: Path) -> None:
    from unseen.models.tokenizers.tokenizer import Tokenizer

    Tokenizer.from_folder(path.parent).encode(TEXTS, 77)


def _read_weights(path: Path) -> None:
    from unseen.models.weights.files import open_files

    weights = open_files([path], path.name)
    for name in weights:
        weights[name]


def _read_labels(path: Path) -> None:
    from unseen.labels.label_set import LabelSet

    LabelSet.of(str(path))


def _load(module: str, name: str) -> Callable[[Path], object]:
    """The `load` of a class."""

    def read(path: Path) -> object:
        return getattr(import_module(module), name).load(path)

    return read


def _read_keys(path: Path) -> None:
    from unseen.web.server.http import keys

    keys.read(path)


def _read_student(path: Path) -> None:
    from unseen.models import families
    from unseen.models.checkpoint import Checkpoint

    families.read(Checkpoint("fuzz", path.parent, file=path)).image_network()


def _read_picture(path: Path) -> None:
    from unseen.images.limits import Limits
    from unseen.images.open import open_image

    open_image(path, limits=Limits(max_pixels=1_000_000))


def _read_index(path: Path) -> None:
    from unseen.index.index import Index

    with Index(path.parents[1], create=False) as index:
        index.info()
        list(index.view(_encoder()).encoded())


def _read_labelling(path: Path) -> None:
    from unseen.annotation.labelling import Labelling

    with Labelling.open(path.parents[1]) as labelling:
        list(labelling.pictures())
        _ = labelling.manifest, labelling.names, labelling.status()


def _read_label_store(path: Path) -> None:
    from unseen.web.server.core.label_sets import LabelStore

    store = LabelStore(path, "f", 10)
    try:
        store.list(), store.get("animals"), store.count()
    finally:
        store.close()


def _read_sources(path: Path) -> None:
    from unseen.images.limits import Limits
    from unseen.images.open import open_image
    from unseen.sources.expand import expand

    for source in expand(path):
        with contextlib.suppress(UnseenError):
            open_image(source.content, limits=Limits(max_pixels=1_000_000))


def _read_animation(path: Path) -> None:
    from unseen.video.frames import frames_of

    for _ in frames_of(path):
        pass


def _read_job(path: Path) -> None:
    from unseen.jobs.job import FACTS, Job
    from unseen.jobs.running.status import StatusReader
    from unseen.jobs.verify import verify

    folder = next(parent for parent in path.parents if (parent / FACTS).is_file())
    job = Job.open(folder)
    StatusReader(job).read()
    verify(job)


def _read_tuned(path: Path) -> None:
    from unseen.learning.tune import model_folder

    model_folder.read_card(path.parent)
    model_folder.read_changes(path.parent)


def _read_rules(path: Path) -> None:
    from unseen.monitoring.rule_file import read_rules

    read_rules(path, labels=["cat", "dog"], sinks=["print"])


def _read_results(path: Path) -> None:
    from unseen.results.records import read

    for _ in read(path):
        pass


def _read_annotations(path: Path) -> None:
    from unseen.datasets.readers import read_annotations

    read_annotations(path, multi_label=True)


def _only_problems(read: Callable[[Path], object]) -> Callable[[Path], None]:
    """A reader of requests: a Problem is what a client is told."""

    def reading(path: Path) -> None:
        from fastapi.exceptions import RequestValidationError

        from unseen.web.problems import Problem

        try:
            read(path)
        except (Problem, RequestValidationError) as error:
            raise SourceError(str(error)) from None

    return reading


def _read_form(path: Path) -> None:
    from unseen.web.server.apis.schemas import ClassifyRequest
    from unseen.web.server.http import request_parsing

    kind, body = "multipart/form-data; boundary=x", bytearray(path.read_bytes())
    request, _ = request_parsing._form(kind, body, ClassifyRequest)
    request.decision(), request.facet_requests()


def _read_request(path: Path) -> None:
    from unseen.web.json_body import parse_json
    from unseen.web.server.apis import huggingface, label_studio, openai_api, roboflow, schemas
    from unseen.web.server.http import request_parsing

    models = {
        "classify": schemas.ClassifyRequest,
        "explain": schemas.ExplainRequest,
        "video": schemas.VideoRequest,
        "search": schemas.SearchRequest,
        "embeddings": openai_api.EmbeddingsRequest,
        "clip": roboflow.CompareRequest,
        "inputs": huggingface.HuggingFaceRequest,
        "predict": label_studio.PredictRequest,
    }
    data = parse_json(path.read_bytes())
    body = request_parsing._valid(models[path.stem], data)
    if isinstance(body, label_studio.PredictRequest):
        label_studio.choices_tags(body.label_config or "")
    elif isinstance(body, schemas.LabelsRequest):
        body.label_request()


def _requests(folder: Path) -> list[Path]:
    from unseen.web.server.apis import huggingface, label_studio, openai_api, roboflow, schemas

    facets = {"a": ["red", "blue"], "b": {"labels": {"x": {"descriptions": ["y"]}}, "top_k": 1}}
    bodies = {
        "classify": {"image": schemas.PNG, "facets": facets, "concept": "thing"},
        "explain": _example(schemas.ExplainRequest),
        "video": _example(schemas.VideoRequest),
        "search": _example(schemas.SearchRequest),
        "embeddings": _example(openai_api.EmbeddingsRequest),
        "clip": _example(roboflow.CompareRequest),
        "inputs": _example(huggingface.HuggingFaceRequest),
        "predict": _example(label_studio.PredictRequest),
    }
    for name, body in bodies.items():
        (folder / f"{name}.json").write_text(json.dumps(body), "utf-8")
    return [folder / f"{name}.json" for name in bodies]


def _example(model: Any) -> Any:
    return model.model_config["json_schema_extra"]["examples"][0]


CLIP_JSON = ("vocab.json", "merges.txt", "tokenizer_config.json")
LABELS = {
    "l__txt": "# animals\ncat\ndog\n",
    "l__csv": "label,prompt\ncat,a cat,a small cat\ndog,a dog\n",
    "l__json": '{"labels": {"cat": {"prompts": ["a cat"], "threshold": 0.3}, "dog": ["a dog"]}}',
    "l__yaml": "labels:\n  cat: {prompts: [a cat], threshold: 0.3}\n  dog:\ntemplates: a {}\n",
}
LABELS |= {
    "m__json": '{"cat": ["whiskers", "a long tail", "has fur"], "dog": ["a wet nose", "a tail"]}',
    "m__yaml": "labels:\n  cat: {descriptions: [has fur], examples: a.png}\n  dog:\nconcept: pet\n",
}
RULES = "- name: a cat\n  label: [cat, dog]\n  at_least: 0.7\n  for: 3 s\n  between: 22:00-06:00\n"
ROWS = {
    "a__csv": 'path,label\na.png,cat\nb.png,"cat; dog"\n',
    "b__jsonl": '{"path": "a.png", "label": "cat", "n": 1}\n{"path": "b.png", "label": "dog"}\n',
}
KEY = "ada:" + "0f" * 32 + "\n# a line\nbob:" + "a1" * 32 + "\n"
READERS: dict[str, Reader] = {
    "config": Reader(_checkpoint("config.json"), _read_model),
    "preprocessor": Reader(_checkpoint("preprocessor_config.json"), _read_model),
    "openclip": Reader(_open_clip, _read_model),
    "vocabulary": Reader(_checkpoint(*CLIP_JSON), _read_tokenizer),
    "tokenizer": Reader(_tokenizer_json, _read_tokenizer),
    "sentencepiece": Reader(_sentence_pieces, _read_tokenizer),
    "safetensors": Reader(_safetensors, _read_weights),
    "torch": Reader(_torch, _read_weights),
    "adapter": Reader(
        _copied("0.1.0/adapter-cache.safetensors", "0.1.0/adapter-probe.safetensors"),
        _load("unseen.prediction.adapter", "Adapter"),
    ),
    "compiled": Reader(
        _copied("0.1.0/labels-shapes.safetensors"),
        _load("unseen.labels.compiled", "CompiledLabels"),
    ),
    "calibration": Reader(
        _copied("0.1.0/groups.calibration.json", "0.1.0/em.json", "0.1.0/aps.json"),
        _load("unseen.prediction.calibration", "Calibration"),
    ),
    "labels": Reader(_written(**LABELS), _read_labels),
    "keys": Reader(_written(keys__txt=KEY), _read_keys),
    "student": Reader(_student, _read_student),
    "pictures": Reader(_pictures, _read_picture),
    "animations": Reader(_animations, _read_animation),
    "archives": Reader(_archives, _read_sources),
    "tables": Reader(_tables, _read_sources),
    "pdf": Reader(_pdf, _read_sources),
    "index": Reader(_index, _read_index),
    "labelling": Reader(_labelling, _read_labelling),
    "labelstore": Reader(_label_store, _read_label_store),
    "job": Reader(_job, _read_job),
    "tuned": Reader(_tuned, _read_tuned),
    "rules": Reader(_written(r__yaml=RULES), _read_rules),
    "results": Reader(_results, _read_results),
    "annotations": Reader(_written(**ROWS), _read_annotations),
    "forms": Reader(_forms, _only_problems(_read_form)),
    "requests": Reader(_requests, _only_problems(_read_request)),
}


# changes


def changed(content: bytes, rng: random.Random) -> bytes:
    """Another content: a value of its JSON is exchanged, or bytes are, once or several times."""
    if content[:1] in b"{[" and rng.random() < 0.7:
        with contextlib.suppress(ValueError, RecursionError):
            whole = json.loads(content)
            for _ in range(rng.choice((1, 1, 1, 2, 4))):
                _change_value(whole, rng)
            return json.dumps(whole).encode()
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        content = _change_bytes(content, rng)
    return content


def _change_value(whole: Any, rng: random.Random) -> None:
    inner = whole
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(inner[key], (dict, list)) and inner[key] and rng.random() < 0.8:
            inner = inner[key]
            continue
        what = rng.random()
        if what < 0.2:
            del inner[key]
        elif what < 0.3:
            inner[key] = [inner[key]] * rng.choice((1, 2, 1000))
        elif what < 0.4:
            inner[key] = inner[rng.choice(keys)]
        elif what < 0.5 and isinstance(inner[key], str):
            inner[key] = inner[key] * rng.choice((2, 1000))
        else:
            inner[key] = rng.choice(STRANGE)
        return


def _change_bytes(content: bytes, rng: random.Random) -> bytes:
    # Half of the changes are in the head, where formats say what follows.
    size = len(content)
    place = rng.randrange(min(size, 512) if rng.random() < 0.5 else size) if size else 0
    length = rng.choice((1, 1, 2, 4, 8, 64, 1024))
    what = rng.randrange(6)
    before, piece, after = (
        content[:place],
        content[place : place + length],
        content[place + length :],
    )
    if what == 0 and piece:
        return before + bytes([piece[0] ^ 1 << rng.randrange(8)]) + piece[1:] + after
    if what == 1:
        return before + rng.randbytes(length) + after
    if what == 2:
        return before + after
    if what == 3:
        return before + piece + piece + after
    if what == 4:
        return before + rng.choice(BYTES) + piece + after
    return before


# runs


@dataclass
class Outcome:
    """What a run met."""

    trials: int = 0
    refused: int = 0
    slowest: float = 0.0
    seconds: float = 0.0
    failures: dict[str, bytes] = field(default_factory=dict)


class Target:
    """A reader with its seeds, which tries one content after the other."""

    def __init__(self, reader: Reader, folder: Path) -> None:
        self.reader, self.outcome = reader, Outcome()
        self.seeds = [(path, path.read_bytes()) for path in reader.seeds(folder)]
        for path, _ in self.seeds:  # a seed that is refused would make every trial worthless
            self._read(path)

    def _read(self, path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.reader.read(path)

    def attempt(self, path: Path, before: bytes, content: bytes) -> BaseException | None:
        """Reads the content in the place of a seed → an error that should not be."""
        for ending in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        path.write_bytes(content)
        start, failure = time.monotonic(), None
        try:
            self._read(path)
        except UnseenError:
            self.outcome.refused += 1
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of a Rust library is no Exception
            failure = error
        finally:
            path.write_bytes(before)
        self.outcome.trials += 1
        self.outcome.slowest = max(self.outcome.slowest, time.monotonic() - start)
        if failure is not None:
            frames = traceback.extract_tb(failure.__traceback__)
            place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
            name = f"{type(failure).__name__} at {place}: {str(failure)[:100]}"
            self.outcome.failures.setdefault(name, content)
        return failure


def fuzz(name: str, *, seconds: float, trials: int | None = None, seed: int = 0) -> Outcome:
    """Changes the seeds of a reader at random for so long, or so often."""
    rng = random.Random(f"{seed} {name}")
    with tempfile.TemporaryDirectory(prefix="unseen-fuzz-") as folder:
        target = Target(READERS[name], Path(folder))
        start = time.monotonic()
        while time.monotonic() - start < seconds and target.outcome.trials != trials:
            path, before = rng.choice(target.seeds)
            target.attempt(path, before, changed(before, rng))
        target.outcome.seconds = time.monotonic() - start
    return target.outcome


def fuzz_with_atheris(name: str, seconds: float) -> None:
    """atheris chooses the changes, and ends the process at the first failure."""
    import atheris

    with tempfile.TemporaryDirectory(prefix="unseen-fuzz-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        (Path(folder) / "files").mkdir()
        with atheris.instrument_imports(include=["unseen"]):
            target = Target(READERS[name], Path(folder) / "files")
        for number, (_, content) in enumerate(target.seeds):
            (corpus / str(number)).write_bytes(content)

        def one(content: bytes) -> None:
            for path, before in target.seeds:
                if failure := target.attempt(path, before, content):
                    raise failure

        atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}", str(corpus)], one)
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("reader", choices=[*READERS, "all"])
    parser.add_argument("--seconds", type=float, default=60.0, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slow", type=float, default=10.0, help="seconds that no input may take")
    parser.add_argument("--keep", type=Path, help="folder for inputs that failed")
    parser.add_argument("--plain", action="store_true", help="without atheris, where it is there")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    if arguments.reader != "all" and not arguments.plain and find_spec("atheris"):
        fuzz_with_atheris(arguments.reader, arguments.seconds)
        return 0
    failed = False
    print("| reader | inputs | refused | slowest | other errors |\n|---|---|---|---|---|")
    for name in READERS if arguments.reader == "all" else [arguments.reader]:
        outcome = fuzz(name, seconds=arguments.seconds, seed=arguments.seed)
        print(
            f"| {name} | {outcome.trials:,} | {outcome.refused:,} | {outcome.slowest:.2f} s | "
            f"{len(outcome.failures)} |",
            flush=True,
        )
        failed |= bool(outcome.failures) or outcome.slowest > arguments.slow
        for number, (failure, content) in enumerate(outcome.failures.items()):
            print(f"  {name}: {failure}", file=sys.stderr)
            if arguments.keep:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                (arguments.keep / f"{name}-{number}").write_bytes(content)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
