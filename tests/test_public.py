"""The public names, what importing costs, and the structure as a contract."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import unseen

# Classes in public signatures that are parts of a public object: read there, never made or given.
PARTS = {
    "Adapted",  # of CompiledLabels
    "Audit",  # of a Labelling
    "Band",  # of a Diff
    "Cache",  # of an Adapter
    "Replacement",  # of an Adapter
    "Change",  # of a Diff
    "Concept",  # of an Explanation
    "ConformalPredictor",  # of a Calibration
    "Content",  # of an Index
    "Counterfactual",  # of an Explanation
    "CurvePoint",  # of a TuneReport
    "ExecutionTarget",  # of an Encoder
    "Explainer",  # of a Classifier
    "Figure",  # of an EvaluationReport
    "Figures",  # of a TuneReport
    "Flip",  # of a Diff
    "Gate",  # of a Diff
    "Geometry",  # of an Explanation
    "Info",  # of an Index
    "Matrix",  # of an Index
    "ModelRow",  # of an Index
    "Neighbour",  # of an Explanation
    "Picture",  # of a Labelling
    "Place",  # of an Encoder
    "Projection",  # of an IndexView
    "Proposal",  # of a Labelling
    "ReadSummary",  # of labelled pictures, which a callback is given
    "RemainingError",  # of a Calibration
    "Report",  # of an Index
    "Share",  # of a TuneReport
    "StoredRows",  # of an Index
    "StoredTiles",  # of an Index
    "Score",  # of a Model
    "SelectiveClassifier",  # of a Calibration
    "Status",  # of a Labelling
    "Step",  # of an Organized
    "Tiles",  # of an Encoded
    "TunePlan",  # which a callback of tune is given
    "TuneProgress",  # the same
    "Word",  # of an Explanation
    "Writer",  # a protocol: any object with `write` and `close`
    "ZeroShotImageClassification",  # of pipeline, whose shape is that of transformers
    "ZeroShotModel",  # of unseen.transformers, whose names are those of transformers
}

HEAVY = ("numpy", "onnx", "onnxruntime", "huggingface_hub", "PIL", "tokenizers", "typer", "torch")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_names_are_few_sorted_and_there() -> None:
    assert len(unseen.__all__) <= 70
    assert unseen.__all__ == sorted(unseen.__all__)
    assert dir(unseen) == unseen.__all__
    for name in unseen.__all__:
        assert getattr(unseen, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        unseen.nonsense  # noqa: B018
    assert unseen.__version__ == version("unseen")


def test_type_checkers_see_what_is_imported() -> None:
    """The table of names, which runs, and the imports beside it, which do not, say the same."""
    tree = ast.parse(Path(unseen.__file__).read_text("utf-8"))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = {
        alias.asname: (alias.name, (node.module or "").removeprefix("unseen."))
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imports == {name: (name, module) for name, module in unseen._MODULES.items()}


def test_importing_every_module_hides_no_public_name() -> None:
    """A module that is imported becomes an attribute of its package, over a name that is there."""
    code = """
import importlib, pkgutil, types, unseen
skipped = {"unseen.__main__"}
modules = [m.name for m in pkgutil.walk_packages(unseen.__path__, "unseen.")]
for name in modules:
    if name not in skipped:
        importlib.import_module(name)
values = {name: getattr(unseen, name) for name in unseen.__all__}
print(len(modules) > 150)
print([name for name, value in values.items() if isinstance(value, types.ModuleType)])
print([name for name, value in values.items() if name[0].islower() and not callable(value)])
"""
    assert run(code).splitlines() == ["True", "[]", "[]"]


def signatures(value: Any) -> Iterator[Any]:
    """The public functions of a public name: itself, or its methods and properties."""
    if inspect.isfunction(value):
        yield value
    elif inspect.isclass(value):
        for name, member in vars(value).items():
            member = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
                yield member


def test_what_a_public_signature_names_is_public() -> None:
    classes = {}
    for name in set(unseen.__all__) - {"Model"}:  # which is read, and made by its family alone
        for function in signatures(getattr(unseen, name)):
            for text in function.__annotations__.values():
                for word in re.findall(r"[A-Za-z]\w*", str(text)):
                    thing = function.__globals__.get(word)
                    if inspect.isclass(thing) and thing.__module__.startswith("unseen."):
                        classes[word] = thing
    assert {"Encoder", "Decision", "Calibration", "Adapter", "Hit", "Model"} <= set(classes)
    hidden = {name for name, thing in classes.items() if getattr(unseen, name, None) is not thing}
    assert hidden <= PARTS


def test_the_repr_of_what_one_holds_is_a_short_line() -> None:
    clf = unseen.load(device="cpu")
    label_set = unseen.LabelSet.of([f"thing {i}" for i in range(99)])
    calibration = unseen.Calibration("m", "f", ("a", "b"), "s", True, 7, prior={"a": 1, "b": -1})
    things = [
        clf, clf.encoder, clf.compile(["cat", "dog"]),
        clf.classify("examples/cat.jpg", ["cat", "dog"]), label_set, calibration,
        unseen.Label("cat"), unseen.Scored("cat", 0.5, 0.25),
    ]  # fmt: skip
    for thing in things:
        text = repr(thing)
        assert text.startswith(f"{type(thing).__name__}(") and len(text) < 100, text
        assert "object at" not in text and "array" not in text
    assert repr(label_set) == "LabelSet('labels', 99 labels: 'thing 0', 'thing 1', 'thing 2', …)"
    assert repr(calibration) == (
        "Calibration('m', 2 labels, 7 pictures, temperature=1, multi_label=True, with a prior)"
    )
    assert repr(unseen.Label("a", threshold=0.0)) == "Label('a', threshold=0.0)"
    assert repr(unseen.Label("a", ("x",), background=True)) == (
        "Label('a', prompts=('x',), background=True)"
    )


def test_importing_loads_nothing_heavy() -> None:
    code = f"import sys, unseen; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code) == "[]"


def test_help_and_loading_a_model_need_neither_onnx_nor_the_hub() -> None:
    late = ("onnx", "onnxruntime", "huggingface_hub", "torch", "transformers")
    code = f"""
import sys, unseen
unseen.load()
import unseen.cli.app
print([m for m in {late} if m in sys.modules])
"""
    assert run(code) == "[]"


def test_classifying_never_needs_torch_transformers_or_the_hub() -> None:
    code = """
import sys, unseen
unseen.load().classify("examples/cat.jpg", ["cat", "dog"])
print([m for m in ("torch", "transformers", "huggingface_hub") if m in sys.modules])
"""
    assert run(code) == "[]"


def test_words_that_were_encoded_before_need_no_tokenizer() -> None:
    late = ("tokenizers", "unseen.runtimes.int8", "unseen.networks.vit", "importlib.resources")
    code = f"""
import sys, unseen
unseen.load().classify("examples/cat.jpg", ["cat", "dog"])
print([m for m in {late} if m in sys.modules])
"""
    run(code)
    assert run(code) == "[]"


def test_errors_have_one_root() -> None:
    for name in unseen.__all__:
        if name.endswith("Error"):
            assert issubclass(getattr(unseen, name), unseen.UnseenError)
    error = unseen.MissingExtraError("Parquet output", "pyarrow", "parquet")
    assert 'pip install "unseen[parquet]"' in str(error)
