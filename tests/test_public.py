"""The public names, what importing costs, and the structure as a contract."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import unseen

HEAVY = ("numpy", "onnx", "onnxruntime", "huggingface_hub", "PIL", "tokenizers", "typer", "torch")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_names_are_few_sorted_and_there() -> None:
    assert len(unseen.__all__) <= 40
    assert unseen.__all__ == sorted(unseen.__all__)
    assert dir(unseen) == unseen.__all__
    for name in unseen.__all__:
        assert getattr(unseen, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        unseen.nonsense  # noqa: B018
    assert unseen.__version__ == version("unseen")


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


def test_every_file_imports_only_what_stands_below_it() -> None:
    done = subprocess.run(["lint-imports"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]])
def test_lint_format_and_types(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_errors_have_one_root() -> None:
    for name in unseen.__all__:
        if name.endswith("Error"):
            assert issubclass(getattr(unseen, name), unseen.UnseenError)
    error = unseen.MissingExtraError("Parquet output", "pyarrow", "parquet")
    assert 'pip install "unseen[parquet]"' in str(error)
