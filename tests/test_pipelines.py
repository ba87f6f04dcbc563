"""`unseen.pipeline` beside `transformers.pipeline`: the same call, the same answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import shapes
import unseen

LABELS = ["a red circle", "a blue star", "a green square"]
TASK = "zero-shot-image-classification"


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    things = ("red circle", "blue star", "green square", "pink heart")
    return [shapes.draw(shapes.scene(thing), 7) for thing in things]


@pytest.fixture(scope="module")
def both(shapes_clip: Path) -> tuple[Any, Any]:
    theirs = transformers.pipeline(
        TASK,
        model=str(shapes_clip),
        image_processor=CLIPImageProcessorPil.from_pretrained(shapes_clip),
        dtype="float32",
    )
    return unseen.pipeline(TASK, model=str(shapes_clip)), theirs


def same(ours: Any, theirs: Any) -> None:
    assert [row["label"] for row in ours] == [row["label"] for row in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == {"score": pytest.approx(other["score"], abs=1e-4), "label": other["label"]}
        assert type(mine["score"]) is float


def test_the_same_answers(both: tuple[Any, Any], pictures: list[Image.Image]) -> None:
    ours, theirs = both
    for options in (
        {},
        {"hypothesis_template": "a photo of {}"},
        {"hypothesis_template": "{}"},
    ):
        for picture in pictures:
            same(
                ours(picture, candidate_labels=LABELS, **options),
                theirs(picture, candidate_labels=LABELS, **options),
            )


def test_lists_and_batches(both: tuple[Any, Any], pictures: list[Image.Image]) -> None:
    ours, theirs = both
    mine = ours(pictures, candidate_labels=LABELS, batch_size=3)
    other = theirs(pictures, candidate_labels=LABELS, batch_size=3)
    assert type(mine) is list and len(mine) == 4
    for a, b in zip(mine, other, strict=True):
        same(a, b)
    for again in (
        ours(images=pictures, candidate_labels=LABELS),
        list(ours(iter(pictures), candidate_labels=LABELS)),
    ):
        for a, b in zip(again, mine, strict=True):
            same(a, b)


def test_the_published_snippet_with_only_its_import_changed() -> None:
    """As the model pages of the hub print it; the picture and the model are on this machine."""
    snippet = """
from unseen import pipeline

pipe = pipeline("zero-shot-image-classification", model="tests/fixtures/shapes-clip")
predictions = pipe(
    "examples/cat.jpg",
    candidate_labels=["animals", "humans", "landscape"],
)
best = max(predictions, key=lambda x: x["score"])
print(f"Label with the best score: {best['label']}, Score: {best['score']}")
"""
    space: dict[str, Any] = {}
    exec(snippet, space)
    assert len(space["predictions"]) == 3 and type(space["predictions"]) is list
    assert space["best"] == space["predictions"][0]


def test_the_task_may_be_left_out_and_nothing_given_is_the_built_in() -> None:
    for cpu in ("cpu", -1, None, torch.device("cpu")):
        detector = unseen.pipeline(model="builtin", device=cpu)
        assert detector.classifier.encoder.target.is_cpu
    assert detector("examples/cat.jpg", candidate_labels=["cat", "dog"])[0]["label"] == "cat"
    assert unseen.pipeline(TASK).classifier.model.name == "builtin"


class Pictures:
    """A data set as torch and `datasets` have them: a length and places, and no iterator."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        if index >= len(self):
            raise RuntimeError("only its length says where a data set ends")
        return self.items[index]


def test_a_data_set(both: tuple[Any, Any], pictures: list[Image.Image]) -> None:
    ours, theirs = both
    mine = ours(Pictures(pictures), candidate_labels=LABELS)
    assert not isinstance(mine, list)
    for a, b in zip(mine, theirs(pictures, candidate_labels=LABELS), strict=True):
        same(a, b)
    rows = Pictures([{"image": pictures[0], "label": 1}])
    with pytest.raises(unseen.SourceError, match=r"'image', 'label'.*dataset\[\"image\"\]"):
        list(ours(rows, candidate_labels=LABELS))


def test_options_of_transformers_are_taken_or_refused_with_a_reason(
    shapes_clip: Path, both: tuple[Any, Any], pictures: list[Image.Image]
) -> None:
    name = str(shapes_clip)
    ours, _ = both
    taken = unseen.pipeline(
        TASK, model=name, tokenizer=name, image_processor=ours.image_processor, framework="pt",
        use_fast=True, trust_remote_code=True, device_map="cpu", torch_dtype=torch.bfloat16,
    )  # fmt: skip
    same(taken(pictures[0], LABELS), ours(pictures[0], LABELS))
    half = unseen.pipeline(TASK, name, dtype=torch.float16, device_map={"": "cpu"})
    assert half.classifier.options.precision == "fp16"
    again = unseen.pipeline(TASK, half.model, tokenizer=half.tokenizer)
    assert again.classifier.encoder is half.classifier.encoder
    for options, reason in (
        ({"framework": "tf"}, "no framework"),
        ({"device": 0, "device_map": "auto"}, "one of device and device_map"),
        ({"token": "x"}, "HF_TOKEN"),
        ({"config": {}}, "own config"),
        ({"model_kwargs": {"dtype": "auto"}}, "options of their own"),
        ({"tokenizer": "openai/clip-vit-base-patch32"}, "leave 'openai/clip-vit-base-patch32' out"),
        ({"image_processor": object()}, "leave object out"),
        ({"dtype": "int4"}, "unknown dtype 'int4'"),
    ):
        with pytest.raises(unseen.UnseenError, match=reason):
            unseen.pipeline(TASK, model=name, **options)


def test_what_it_refuses(both: tuple[Any, Any], pictures: list[Image.Image]) -> None:
    ours, _ = both
    with pytest.raises(unseen.UnseenError, match="text-generation"):
        unseen.pipeline("text-generation")
    with pytest.raises(unseen.LabelError, match="candidate_labels"):
        ours(pictures[0])
    with pytest.raises(unseen.SourceError, match="no picture"):
        ours(candidate_labels=LABELS)
    with pytest.raises(unseen.LabelError, match=r"\{\}"):
        ours(pictures[0], candidate_labels=LABELS, hypothesis_template="a photo")
    with pytest.raises(unseen.ImageError):
        ours([pictures[0], b"broken"], candidate_labels=LABELS)
    with pytest.raises(unseen.SourceError, match="folder"):
        ours("examples", candidate_labels=LABELS)
    for gpu in ("cuda:0", 0):
        with pytest.raises(unseen.ModelError, match="CUDA"):  # transformers has none here either
            unseen.pipeline(TASK, device=gpu)
    with pytest.raises(TypeError):
        ours(pictures[0], candidate_label=LABELS)  # a typo must not pass in silence
