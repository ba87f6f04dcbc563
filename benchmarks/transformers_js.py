"""An exported classifier beside transformers.js under Node: the same B/32, the same pictures.

    npm install --prefix DIR @huggingface/transformers@4.3.2
    pip install onnxscript
    python benchmarks/transformers_js.py DIR

The checkpoint has random weights and B/32's true shape. transformers.js gets it as its own users
do: config, tokenizer.json, and an ONNX file that torch.onnx made of transformers' CLIPModel. Both
sides run in fp32 on the onnxruntime-node that transformers.js brings, with one thread, and decode
with the same sharp. Timed in a fresh process: from nothing to the first answer, then each further
picture. A file of ours is made once (`unseen export`), which is not in these times.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from side_by_side import WORK, b32, photographs

import unseen
from unseen.prediction import everyday_words

SIZES = ((10, 12, 3), (100, 5, 2), (1000, 3, 1))  # labels, pictures, rounds
THEIRS = """
const start = performance.now();
const { pipeline, env, RawImage } = await import("@huggingface/transformers");
const { folder, labels, pictures } = JSON.parse(process.argv[2]);
env.allowRemoteModels = false;
env.localModelPath = folder;
const options = { dtype: "fp32", device: "cpu", session_options: { intraOpNumThreads: 1 } };
const classify = await pipeline("zero-shot-image-classification", "clip", options);
const times = [], first = [];
let last = start;
for (const picture of pictures) {
  const rows = await classify(picture, labels);
  first.push(rows[0].label);
  times.push(performance.now() - last);
  last = performance.now();
}
console.log(JSON.stringify({ times, first }));
"""
OURS = """
const start = performance.now();
const { default: ort } = await import("onnxruntime-node");
const { default: sharp } = await import("sharp");
const { model, labels, pictures } = JSON.parse(process.argv[2]);
const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1 });
const times = [], first = [];
let last = start;
for (const picture of pictures) {
  const upright = sharp(picture).rotate().flatten({ background: "#fff" }).toColourspace("srgb");
  const { data, info } = await upright.raw().toBuffer({ resolveWithObject: true });
  const image = new ort.Tensor("uint8", data, [info.height, info.width, 3]);
  const { probabilities } = await session.run({ image });
  const p = [...probabilities.data];
  first.push(labels[p.indexOf(Math.max(...p))]);
  times.push(performance.now() - last);
  last = performance.now();
}
console.log(JSON.stringify({ times, first }));
"""


def their_folder(checkpoint: Path) -> Path:
    """The checkpoint as transformers.js reads it, made once."""
    import torch
    from tokenizers import Tokenizer
    from transformers import CLIPModel, CLIPTokenizerFast

    folder = WORK / "transformers-js" / "clip"
    file = folder / "onnx" / "model.onnx"
    if file.is_file():
        return folder.parent
    file.parent.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "preprocessor_config.json"):
        (folder / name).write_bytes((checkpoint / name).read_bytes())
    tokenizer = CLIPTokenizerFast.from_pretrained(checkpoint)
    tokenizer.save_pretrained(folder)
    assert Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = CLIPModel.from_pretrained(checkpoint, attn_implementation="eager").eval()

    class Exported(torch.nn.Module):
        """With the inputs and outputs that transformers.js knows."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, pixel_values: Any, attention_mask: Any) -> Any:
            given = {"input_ids": input_ids, "attention_mask": attention_mask}
            out = self.model(pixel_values=pixel_values, **given)
            return out.logits_per_image, out.logits_per_text, out.text_embeds, out.image_embeds

    ids = torch.ones((3, 8), dtype=torch.int64)
    ids[:, -1] = model.config.text_config.eos_token_id
    names = ["input_ids", "pixel_values", "attention_mask"]
    torch.onnx.export(
        Exported(),
        (ids, torch.zeros((2, 3, 224, 224)), torch.ones_like(ids)),
        str(file),
        input_names=names,
        output_names=["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"],
        dynamic_axes={
            "input_ids": {0: "texts", 1: "length"},
            "pixel_values": {0: "pictures"},
            "attention_mask": {0: "texts", 1: "length"},
        },
        opset_version=18,
        dynamo=False,
    )
    return folder.parent


def timed(
    script: str, node_folder: Path, argument: dict[str, Any]
) -> tuple[list[float], list[str]]:
    """Milliseconds and first answers, of a fresh Node."""
    file = node_folder / "timed.mjs"
    file.write_text(script)
    command = ["node", file.name, json.dumps(argument)]
    done = subprocess.run(command, cwd=node_folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    result = json.loads(done.stdout.splitlines()[-1])
    return result["times"], result["first"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("node", type=Path, help="a folder with @huggingface/transformers installed")
    options = parser.parse_args()
    checkpoint = b32()
    folder = their_folder(checkpoint)
    words = [*everyday_words.concepts(), *everyday_words.broad_words()]
    words += [f"{word} {other}" for word in words[:30] for other in words[30:40]]
    classifier = unseen.load(str(checkpoint), exact=True)
    template = "This is a photo of {}"  # theirs
    print(f"load {os.getloadavg()[0]:.1f}; milliseconds, one thread, pictures of 3 MP")
    print("labels   first answer: theirs  ours  ratio   each further: theirs  ours  ratio   agree")
    for count, length, rounds in SIZES:
        labels, pictures = words[:count], [str(path) for path in photographs(length)]
        with tempfile.TemporaryDirectory(dir=WORK) as temporary:
            model = Path(temporary) / "x.onnx"
            classifier.export(labels, model, template=template)
            theirs: list[list[float]] = []
            ours: list[list[float]] = []
            agree = 0
            for _ in range(rounds):
                given = {"labels": labels, "pictures": pictures}
                times, answers = timed(THEIRS, options.node, {**given, "folder": str(folder)})
                theirs.append(times)
                times, own_answers = timed(OURS, options.node, {**given, "model": str(model)})
                ours.append(times)
                agree = sum(a == b for a, b in zip(answers, own_answers, strict=True))
        first = [median(times[0] for times in side) for side in (theirs, ours)]
        further = [median(t for times in side for t in times[1:]) for side in (theirs, ours)]
        print(
            f"{count:6}   {first[0]:20.0f} {first[1]:5.0f} {first[0] / first[1]:5.1f}x "
            f"{further[0]:21.0f} {further[1]:5.0f} {further[0] / further[1]:5.1f}x "
            f"{agree:4} of {len(pictures)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
