"""Options that several commands share, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from unseen.errors import LabelError
from unseen.labels.label_set import templates


def _here_or_at_the_root(context: typer.Context, value: bool) -> bool:
    """`unseen -q classify` is `unseen classify -q`."""
    return value or bool(context.find_root().params.get("quiet"))


Id = Annotated[
    str, typer.Argument(metavar="ID", help="A hub id or a short name.", show_default=False)
]
Sources = Annotated[
    list[str],
    typer.Argument(help="Pictures, folders, globs, zip files or URLs.", show_default=False),
]
Labels = Annotated[
    str,
    typer.Option(
        "--labels",
        "-l",
        help="Labels with commas between them, or a .txt, .csv, .json, .yaml or compiled file.",
        show_default=False,
    ),
]
LabelsOrAdapters = Annotated[
    Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
    typer.Option(
        "--labels",
        "-l",
        help="Labels with commas between them, or a .txt, .csv, .json, .yaml or compiled file.",
        show_default="those of the adapter, or of the model",
    ),
]
Adapter = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="A file that `unseen adapt` made for the model.", show_default=False),
]
Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="builtin, a hub id (org/name[@revision]), a folder, an .onnx."
    ),
]
IndexModel = Annotated[
    Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
    typer.Option("--model", "-m", help="Which model's vectors.", show_default="the only one"),
]
IndexFolder = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Argument(help="The folder of an index, or one below it.", show_default="here"),
]
Revision = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Branch, tag or commit of a hub id.", show_default=False),
]
Template = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        help="A prompt with {} for the label, or a named set: simple, imagenet. Repeatable.",
        show_default=False,
    ),
]
Unknown = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(help="A label that means none of these. Repeatable.", show_default=False),
]
UnknownOrAuto = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--unknown",
        help="A label that means none of these; or auto: where too little speaks for any label. "
        "Repeatable.",
        show_default=False,
    ),
]
CalibrationFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--calibration",
        help="What unseen calibrate made of these labels.",
        show_default="the file beside the label file",
    ),
]
NoCalibration = Annotated[
    bool, typer.Option("--no-calibration", help="Leave the calibration beside the labels alone.")
]
NoIndex = Annotated[
    bool, typer.Option("--no-index", help="Look at the files, even if there is an index.")
]
BatchSize = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        min=1, help="Pictures that the network takes at once.", show_default="the model's own"
    ),
]
Exact = Annotated[bool, typer.Option("--exact", help="Decode JPEGs in full before resizing.")]
Threads = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, help="Threads of the networks.", show_default="all that may be used"),
]
Precision = Annotated[
    str, typer.Option(help="fp32, fp16, int8, or auto: the fastest that stays near fp32 here.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", callback=_here_or_at_the_root, help="Only warnings and errors are said."
    ),
]
# `main` looks for it; it stands here so that it may stand after a command as well.
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
OutFile = Annotated[Path, typer.Option("--output", "-o", help="The file to write.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Begin a file that is there already anew.")
]
Commercial = Annotated[
    bool,
    typer.Option(
        "--commercial", help="Only a model whose licence is known to allow commercial use."
    ),
]


def check_labels(labels: str | None, model: str, adapter: Path | None) -> None:
    """LabelError, before a model is loaded, when nothing brings labels."""
    if labels is None and adapter is None and not model.endswith(".onnx"):
        raise LabelError("no labels were given: --labels cat,dog, or --adapter that brings some.")


def labels_argument(given: str) -> str | Path:
    """A file that is there is one, whatever its suffix: its name is not meant as a label."""
    return Path(given) if _is_file(given) else given


def _is_file(given: str) -> bool:
    try:
        return Path(given).is_file()
    except (OSError, ValueError):  # far too long for a path
        return False


def unknown_argument(given: list[str] | None) -> tuple[list[str], str | None]:
    """Background labels, and "auto" where it is among them."""
    named = [one for one in given or () if one != "auto"]
    return named, "auto" if given and "auto" in given else None


def template_argument(given: list[str] | None) -> str | list[str] | None:
    """One template (or the name of a set) by itself, several as a list, named sets unfolded."""
    if not given or len(given) == 1:
        return given[0] if given else None
    return [template for one in given for template in templates(one)]
