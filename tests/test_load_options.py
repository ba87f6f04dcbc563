"""One object says how a model is loaded, and every command that loads one offers it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import unseen
from running import unseen as run
from serving import until_ready
from unseen.cli import options
from unseen.cli.app import app

CLI = Path(inspect.getfile(options)).parent
# Commands that only read facts of a checkpoint, and run no network.
READERS = {"models.py": "_card"}


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield path + name, command


COMMANDS = dict(commands(typer.main.get_command(app)))
LOADING = {name: c for name, c in COMMANDS.items() if hasattr(c.callback, "loads_model")}


def test_it_is_frozen_and_checks_the_precision() -> None:
    chosen = unseen.LoadOptions("fast", precision="int8")
    with pytest.raises(dataclasses.FrozenInstanceError):
        chosen.model = "best"  # type: ignore[misc]
    message = "unknown precision 'fp8'; choose one of: fp32, fp16, int8, int8-both, auto"
    with pytest.raises(unseen.ModelError, match=message):
        dataclasses.replace(chosen, precision="fp8")


def test_a_device_may_be_what_torch_calls_it() -> None:
    import torch

    for given, name in ((0, "cuda:0"), ("1", "cuda:1"), (-1, "cpu"), (None, "auto")):
        assert unseen.LoadOptions(device=given).device == name
    for device in ("cpu", "cuda:1"):
        assert unseen.LoadOptions(device=torch.device(device)).device == device
    assert unseen.load(device=-1).options.device == "cpu"
    with pytest.raises(unseen.ModelError, match="CUDA"):
        unseen.load(device=0)


def test_load_takes_the_object_or_its_parts(shapes_clip: Path) -> None:
    chosen = unseen.LoadOptions(str(shapes_clip), device="cpu", threads=1, exact=True)
    assert unseen.load(chosen).options == chosen
    assert unseen.load(shapes_clip, device="cpu", threads=1, exact=True).options == chosen
    with pytest.raises(unseen.ModelError, match="not both"):
        unseen.load(chosen, threads=2)


def test_every_field_that_a_command_line_can_give_is_an_option() -> None:
    fields = {field.name for field in dataclasses.fields(unseen.LoadOptions)}
    assert fields - options.LOADING.keys() == {"limits"}


@pytest.mark.parametrize("name", LOADING)
def test_a_command_that_loads_offers_all_options(name: str) -> None:
    parameters = {parameter.name: parameter for parameter in LOADING[name].params}
    assert options.LOADING.keys() <= parameters.keys()
    for option in options.LOADING.keys() - {"model"}:
        assert f"--{option}" in parameters[option].opts
    texts = {parameters["precision"].help, parameters["device"].help}
    assert texts == {
        "fp32, fp16, int8, int8-both (the text net, too), or auto: the fastest that stays "
        "near fp32 here.",
        "auto, cpu, cuda, cuda:1 or mps.",
    }


def test_no_command_loads_without_them() -> None:
    """Whatever file calls a loader belongs to a command with the group, or is one of `READERS`."""
    decorated = {Path(inspect.getfile(inspect.unwrap(c.callback))) for c in LOADING.values()}
    # What such commands call: the work of eval stands in a file of its own.
    decorated |= {CLI / "evaluation.py"}
    for file in CLI.rglob("*.py"):
        for function, call in loads(ast.parse(file.read_text("utf-8"))):
            if READERS.get(file.name) == function:
                continue
            assert file in decorated, f"{file.name}:{call.lineno} loads a model"
            assert len(call.args) == 1 and not call.keywords, f"{file.name}:{call.lineno}"


def loads(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                    "unseen.load",
                    "families.read",
                    "Encoder.load",
                    "Encoder",
                ):
                    yield function.name, node


@pytest.mark.parametrize(
    "call",
    [
        ["embed", "examples/cat.jpg", "-o", "{}/x.npy"],
        ["adapt", "tests/photographs", "-o", "{}/x.safetensors"],
        ["labels", "doctor", "cat,dog"],
    ],
)
def test_an_adapter_is_refused_where_it_means_nothing(call: list[str], tmp_path: Path) -> None:
    done = run(*[part.format(tmp_path) for part in call], "--adapter", "a.safetensors", code=2)
    assert done.stderr.startswith("error: --adapter is not for this command: ")
    assert len(done.stderr.splitlines()) == 1
    assert not [*tmp_path.iterdir()]


def test_a_revision_is_for_one_model() -> None:
    models = ["-m", "builtin", "-m", "tests/fixtures/shapes-clip"]
    done = run("eval", "tests/photographs", *models, "--revision", "main", code=2)
    assert "org/name@revision" in done.stderr


# How often a file of a checkpoint is opened, told by the interpreter itself.
AUDITED = """
import sys
def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith("config.json"):
        print("opened", arguments[0], file=sys.stderr, flush=True)
sys.addaudithook(hook)
"""
LOAD = AUDITED + "import unseen; unseen.load(sys.argv[1])"
SERVE = AUDITED + "from unseen.cli.app import main; main()"


@pytest.mark.skipif(os.name == "nt", reason="ends it by SIGTERM")
def test_serve_loads_the_model_once(shapes_clip: Path, tmp_path: Path) -> None:
    def opened(text: str) -> int:
        return sum(line.startswith("opened ") for line in text.splitlines())

    command = [sys.executable, "-c", LOAD, str(shapes_clip)]
    once = opened(subprocess.run(command, capture_output=True, text=True, check=True).stderr)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path / "log"
    arguments = ["serve", "-m", str(shapes_clip), "--port", str(port), "--threads", "1"]
    with log.open("wb") as file:
        server = subprocess.Popen([sys.executable, "-c", SERVE, *arguments], stderr=file)
    try:
        until_ready(f"http://127.0.0.1:{port}", server, log)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(40)
    assert once > 0
    assert opened(log.read_text("utf-8")) == once
