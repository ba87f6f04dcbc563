"""Code of tutorials with its import line changed, in a process without torch and transformers."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import unseen
import unseen.transformers as names

CHECKPOINT = "tests/fixtures/shapes-clip"
LABELS = ["a photo of a red circle", "a photo of a blue star", "a photo of a green square"]
# Nothing of torch or transformers can be imported: what they are not needed for.
WITHOUT = """
import json, sys
for blocked in ("torch", "transformers"):
    sys.modules[blocked] = None
from PIL import Image
"""


def run(code: str, *, before: str = WITHOUT) -> Any:
    """What a script prints as JSON at its end."""
    done = subprocess.run([sys.executable, "-c", before + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def probabilities() -> list[float]:
    clf = unseen.load(CHECKPOINT, exact=True)
    prediction = clf.classify("examples/cat.jpg", LABELS, template="{}")
    return [prediction.probabilities[label] for label in LABELS]


def test_the_automatic_classes(probabilities: list[float]) -> None:
    code = f"""
from unseen.transformers import AutoModelForZeroShotImageClassification, AutoProcessor
checkpoint = {CHECKPOINT!r}
net = AutoModelForZeroShotImageClassification.from_pretrained(checkpoint)
prepare = AutoProcessor.from_pretrained(checkpoint)
names = {LABELS}
picture = Image.open(open("examples/cat.jpg", "rb"))
batch = prepare(images=picture, text=names, return_tensors="pt", padding=True)
row = net(**batch).logits_per_image[0].softmax(dim=-1).numpy()
ranked = [dict(score=s, label=n) for s, n in sorted(zip(row, names), key=lambda p: -p[0])]
assert ranked[0]["label"] == names[row.argmax()]
print(json.dumps(row.tolist()))
"""
    assert run(code) == pytest.approx(probabilities, abs=1e-4)


def test_the_classes_of_clip_by_cosines(probabilities: list[float]) -> None:
    code = f"""
from unseen.transformers import CLIPModel, CLIPProcessor
model = CLIPModel.from_pretrained({CHECKPOINT!r}).to("cpu").eval()
processor = CLIPProcessor.from_pretrained({CHECKPOINT!r})
seen = model.get_image_features(
    **processor(images=Image.open("examples/cat.jpg"), return_tensors="pt").to("cpu"))
read = model.get_text_features(**processor(text={LABELS}, return_tensors="pt", padding=True))
seen = seen / seen.norm(p=2, dim=-1, keepdim=True)
read /= read.norm(dim=-1, keepdim=True)
rows = (model.logit_scale.exp() * seen @ read.t()).softmax(dim=-1)
best = rows.topk(1)
assert rows.argmax(dim=-1).item() == best.indices[0, 0].item()
print(json.dumps(rows[0].detach().cpu().tolist()))
"""
    assert run(code) == pytest.approx(probabilities, abs=1e-4)


def test_the_pipeline_has_its_parts(probabilities: list[float]) -> None:
    code = f"""
from unseen.transformers import pipeline
pipe = pipeline(task="zero-shot-image-classification", model={CHECKPOINT!r})
batch = pipe.image_processor(Image.open("examples/cat.jpg"), return_tensors="np")
batch.update(pipe.tokenizer({LABELS}, padding=True, return_tensors="np"))
print(json.dumps(pipe.model(**batch)[0].softmax(dim=1)[0].tolist()))
"""
    assert run(code) == pytest.approx(probabilities, abs=1e-4)


def test_torch_is_imported_only_for_its_tensors() -> None:
    code = f"""
import json, sys
from unseen.transformers import AutoModel, AutoProcessor
model = AutoModel.from_pretrained({CHECKPOINT!r})
processor = AutoProcessor.from_pretrained({CHECKPOINT!r})
picture, texts = "examples/cat.jpg", ["a cat"]
arrays = model(**processor(text=texts, images=picture, return_tensors="np"))
before = "torch" in sys.modules
tensors = model(**processor(text=texts, images=picture, return_tensors="pt"))
import torch
with torch.no_grad():
    same = torch.allclose(torch.tensor(arrays.image_embeds), tensors.image_embeds)
scaled = model.logit_scale.exp() * tensors.image_embeds @ tensors.text_embeds.t()
same = same and abs(scaled.item() - tensors.logits_per_image.item()) < 1e-3
print(json.dumps([before, "transformers" in sys.modules, same]))
"""
    assert run(code, before="") == [False, False, True]


def test_importing_the_names_loads_nothing_heavy() -> None:
    code = """
import json, sys
import unseen.transformers
print(json.dumps([m for m in ("numpy", "onnxruntime", "torch", "PIL") if m in sys.modules]))
"""
    assert run(code, before="") == []


def test_type_checkers_see_every_name() -> None:
    tree = ast.parse(Path(names.__file__).read_text("utf-8"))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    assigned = {
        target.id
        for node in guarded.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert assigned | {"pipeline"} == set(names.__all__)
    for name in names.__all__:
        assert callable(getattr(names, name))


def test_the_built_in_model_is_called_alike() -> None:
    model = names.AutoModel.from_pretrained("builtin")
    processor = names.AutoProcessor.from_pretrained("builtin")
    picture = Image.open("examples/cat.jpg")
    inputs = processor(["a photo of a cat", "a photo of a dog"], picture, return_tensors="np",
                       padding=True)  # fmt: skip
    swapped = processor(picture, ["a photo of a cat", "a photo of a dog"], return_tensors="np",
                        padding=True)  # fmt: skip
    assert model(**inputs).logits_per_image.argmax().item() == 0
    assert model(**swapped).logits_per_image.argmax().item() == 0
    features = model.get_image_features(pixel_values=inputs["pixel_values"])
    assert features.norm(dim=-1).item() == pytest.approx(1, abs=1e-5)


def test_what_is_refused_names_what_to_do() -> None:
    model = names.CLIPModel.from_pretrained(CHECKPOINT)
    processor = names.CLIPProcessor.from_pretrained(CHECKPOINT)
    inputs = processor(text=LABELS, images="examples/cat.jpg", return_tensors="np", padding=True)
    with pytest.raises(
        ImportError, match=r"CLIPVisionModel is not covered.*AutoModel.*unseen\.load"
    ):
        from unseen.transformers import CLIPVisionModel  # noqa: F401
    with pytest.raises(AttributeError, match=r"'vision_model'.*unseen\.load"):
        model.vision_model  # noqa: B018
    with pytest.raises(AttributeError, match="it has logits_per_image"):
        model(**inputs).loss  # noqa: B018
    with pytest.raises(unseen.ModelError, match="output_attentions is not covered"):
        model(**inputs, output_attentions=True)
    with pytest.raises(unseen.ModelError, match="get_text_features"):
        model(input_ids=inputs["input_ids"])
    with pytest.raises(unseen.ModelError, match=r"unseen\.adapt"):
        model.train()
    assert model.train(False) is model.requires_grad_(False) is model
    with pytest.raises(unseen.LabelError, match="padding=True"):
        processor(text=["a cat", "a photo of a cat"], return_tensors="np")
    with pytest.raises(unseen.LabelError, match="truncation=True"):
        long = processor(text=["word " * 99], return_tensors="np")
        model.get_text_features(**long)
    with pytest.raises(unseen.UnseenError, match=r"return_tensors='tf'.*\"pt\""):
        processor(text=LABELS, return_tensors="tf")
    with pytest.raises(unseen.SourceError, match="text, images, or both"):
        processor(return_tensors="np")
    with pytest.raises(unseen.LabelError, match="int"):
        processor(text=["a", 1], return_tensors="np")
    with pytest.raises(unseen.ModelError, match=r"shape \(1, 3, 32, 32\)"):
        model.get_image_features(np.zeros((1, 3, 32, 32), np.float32))
    with pytest.raises(unseen.ModelError, match="not those of this model's processor"):
        model.get_image_features(inputs["pixel_values"] * 255)
    with pytest.warns(unseen.UnseenWarning, match="rounded"):
        model.get_image_features(inputs["pixel_values"] + np.float32(0.3 / 255 / 0.27))
    with pytest.raises(unseen.LabelError, match="on the right"):
        model.get_text_features(inputs["input_ids"], 1 - np.eye(3, 10, dtype=int))
    with pytest.raises(unseen.ModelError, match="HF_HOME"):
        names.AutoModel.from_pretrained(CHECKPOINT, cache_dir="x")
    with pytest.raises(unseen.ModelError, match="int8"):
        names.AutoModel.from_pretrained(CHECKPOINT, quantization_config={"load_in_8bit": True})
    with pytest.raises(unseen.ModelError, match="unknown dtype 'float8'"):
        names.AutoModel.from_pretrained(CHECKPOINT, dtype="float8")
    with pytest.raises(unseen.ImageError):
        processor(images=b"broken", return_tensors="np")


def test_half_precision_and_devices_are_those_of_load_options() -> None:
    model = names.CLIPModel.from_pretrained(
        CHECKPOINT, torch_dtype="float16", device_map="cpu", attn_implementation="sdpa"
    )
    assert model.encoder.options.precision == "fp16" and model.encoder.options.device == "cpu"
    processor = names.CLIPProcessor.from_pretrained(CHECKPOINT, use_fast=True)
    inputs = processor(images="examples/cat.jpg", return_tensors="np").to(model.device)
    half = model.get_image_features(**inputs)
    whole = model.float().get_image_features(**inputs)
    assert model.encoder.options.precision == "fp32"
    assert 1e-7 < np.abs(half - whole).max() < 0.05 * np.abs(whole).max()
    with pytest.raises(unseen.ModelError, match="CUDA"):
        model.cuda()
