"""Options that several commands share, written once."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from unseen.errors import LabelError, ModelError, SourceError
from unseen.images.limits import DEFAULT_LIMITS
from unseen.labels.templates import templates
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.sources.item import Source


def _here_or_at_the_root(context: typer.Context, value: bool) -> bool:
    """`unseen -q classify` is `unseen classify -q`."""
    return value or bool(context.find_root().params.get("quiet"))


def _with_standard_input(sources: list[str]) -> list[Any]:
    """`-` among the sources is one picture, read now: a thread that waits cannot be ended."""
    if "-" not in sources:
        return sources
    if sources.count("-") > 1:
        raise SourceError("standard input is one picture; give - once.")
    if sys.stdin.isatty():
        raise SourceError("standard input is a terminal; send a picture: unseen classify - < a.jpg")
    content = sys.stdin.buffer.read(DEFAULT_LIMITS.max_bytes + 1)
    return [Source("-", content) if source == "-" else source for source in sources]


Id = Annotated[str, typer.Argument(metavar="ID", help="A hub id or a short name.")]
Sources = Annotated[
    list[str],
    typer.Argument(
        callback=_with_standard_input,
        help="Pictures, videos, folders, globs, archives, tables, PDF, URLs, s3:// addresses; - is "
        "standard input.",
    ),
]
LabelsOrAdapters = Annotated[
    str | None,
    typer.Option(
        "--labels",
        "-l",
        help="Labels separated by commas, or a .txt, .csv, .json, .yaml or compiled file.",
        show_default="those of the adapter, or of the model",
    ),
]
Adapter = Annotated[
    Path | None, typer.Option(help="A file that `unseen adapt` made for the model.")
]
Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="builtin, a hub id (org/name[@revision]), a folder, an .onnx."
    ),
]
IndexFolder = Annotated[
    Path | None,
    typer.Argument(help="The folder of an index, or one below it.", show_default="here"),
]
IndexOption = Annotated[
    Path | None, typer.Option("--index", help="The folder of the index.", show_default="here")
]
LabelledFolder = Annotated[Path, typer.Argument(help="The folder of the pictures.")]
Labelling = Annotated[
    str,
    typer.Option(help="The name of the labelling, where a folder has several.", show_default=True),
]
LabelSource = Annotated[str, typer.Argument(help="A label file, or labels separated by commas.")]
Examples = Annotated[
    Path, typer.Argument(help="A folder with a folder a label, or a .csv of path,label.")
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")]
Template = Annotated[
    list[str] | None,
    typer.Option(
        help="A prompt with {} for the label, or a named set: simple, imagenet, action. Repeatable."
    ),
]
Concept = Annotated[
    str | None,
    typer.Option(help="What all labels are a kind of, in a word (bird): it goes into the prompts."),
]
Unknown = Annotated[
    list[str] | None, typer.Option(help="A label that means none of these. Repeatable.")
]
UnknownOrAuto = Annotated[
    list[str] | None,
    typer.Option(
        "--unknown",
        help="A label that means none of these; or auto: say unknown where there is too little "
        "evidence for any label. Repeatable.",
    ),
]
CalibrationFile = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="A file that `unseen calibrate` made for these labels.",
        show_default="the file beside the label file",
    ),
]
NoCalibration = Annotated[
    bool, typer.Option("--no-calibration", help="Ignore the calibration beside the labels.")
]
NoIndex = Annotated[
    bool, typer.Option("--no-index", help="Read the files, even if there is an index.")
]
Tiles = Annotated[
    str | None,
    typer.Option(
        metavar="TILING",
        help="Look at overlapping tiles, too, for what is small: auto, 2x2, 3x3 or pyramid.",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1, help="Pictures that the network takes at once.", show_default="the model's own"
    ),
]
Exact = Annotated[bool, typer.Option("--exact", help="Decode JPEGs in full before resizing.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads of the networks.", show_default="all that may be used"),
]
Precision = Annotated[
    str,
    typer.Option(
        help="fp32, fp16, int8, int8-both (the text net, too), or auto: the fastest that stays "
        "near fp32 here."
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", callback=_here_or_at_the_root, help="Show only warnings and errors."
    ),
]
# `main` looks for it; it stands here so that it may stand after a command as well.
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Print0 = Annotated[
    bool,
    typer.Option(
        "--print0", "-0", help="Only paths, as they are, each with a NUL behind it: for xargs -0."
    ),
]
Postgres = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A database with pgvector: postgresql://USER@HOST/NAME; its password in PGPASSWORD.",
    ),
]
PostgresTable = Annotated[
    str | None,
    typer.Option("--table", metavar="TABLE", help="Of --postgres.", show_default="unseen"),
]
OutFile = Annotated[Path, typer.Option("--output", "-o", help="The file to write.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output file.")]
AUTO = "auto"
Clusters = Annotated[
    str, typer.Option("--k", help="How many clusters; auto: as many as are well apart.")
]
NameWith = Annotated[
    str | None, typer.Option("--name-with", help="Labels, or a label file: its words name them.")
]
Html = Annotated[
    Path | None, typer.Option("--html", help="Write a page with thumbnails to this file.")
]
Commercial = Annotated[
    bool,
    typer.Option(
        "--commercial", help="Only a model whose licence is known to allow commercial use."
    ),
]

# Options that the environment has as well: how they are shown, the variable, and its value where
# that is not the option's own.
PROCESS: dict[str, tuple[Any, str, str | None]] = {
    "index_file": (
        Annotated[
            Path | None,
            typer.Option(
                help="The index, where it is kept outside of its folder.",
                show_default="in the folder, or in $UNSEEN_INDEX_HOME",
            ),
        ],
        "UNSEEN_INDEX_FILE",
        None,
    ),
    "no_cache": (
        Annotated[bool, typer.Option("--no-cache", help="Encode pictures that are cached, too.")],
        "UNSEEN_CACHE_BYTES",
        "0",
    ),
    "ignore_robots": (
        Annotated[
            bool,
            typer.Option(
                "--ignore-robots", help="Use pictures whose server refuses it (X-Robots-Tag)."
            ),
        ],
        "UNSEEN_ROBOTS",
        "ignore",
    ),
}

# How a model is loaded, for each command that loads one: a field of LoadOptions → its option.
LOADING: dict[str, Any] = {
    "model": Model,
    "revision": Revision,
    "commercial": Commercial,
    "adapter": Adapter,
    "exact": Exact,
    "threads": Threads,
    "precision": Precision,
    "device": Device,
}
# What a command is asked for, for each command that takes labels: a field of LabelOptions → its
# option.
LABELS: dict[str, Any] = {
    "labels": Annotated[list[str] | None, get_args(LabelsOrAdapters)[1]],
    "template": Template,
    "concept": Concept,
    "unknown": UnknownOrAuto,
    "calibration": CalibrationFile,
    "no_calibration": NoCalibration,
}
SET = "file, or NAME=cat,dog"  # what one of several label sets is
NO_LABELS = "an adapter changes labels, and here are none"
FLAGS = ("commercial", "exact")
RECORDED = ("model", "revision", "precision")  # and exact, which is a flag
# A command's parameter for the options that the user wrote, and what typer gives in its place.
GIVEN = "given"
WRITTEN = inspect.Parameter(
    "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=typer.Context
)

NO_OVERRIDES: Mapping[str, Any] = {}


@dataclass(frozen=True)
class LabelOptions:
    """The labels that a command was given, and how they are to be used.

    `unknown`: background labels, and "auto" among them for an answer where too little evidence
    speaks for any label. `sets`: all label sets, where there are several; `labels` is then None.
    `label_options.py` makes compiled labels of it.
    """

    labels: str | None = None
    template: list[str] | None = None
    unknown: list[str] | None = None
    calibration: Path | None = None
    no_calibration: bool = False
    sets: tuple[str, ...] = ()
    concept: str | None = None

    @property
    def background(self) -> list[str]:
        """The labels that mean none of these."""
        return unknown_argument(self.unknown)[0]

    @property
    def open_set(self) -> str | None:
        """ "auto", where `--unknown auto` was given."""
        return unknown_argument(self.unknown)[1]


NO_LABEL_OPTIONS = LabelOptions()

Command = Callable[..., None]


def loads_model(*, refused: Mapping[str, str] | None = None) -> Callable[[Command], Command]:
    """A command's parameter `load_options: LoadOptions` is shown as the options of `LOADING`.

    An option that the command itself declares (a `--model` that may be repeated) stays its own, and
    its field of `load_options` has the default. `refused`: an option that the command cannot use →
    the reason, for a ModelError of one line; `--help` does not show it. A command that has a
    parameter `given` gets the names of the options that the user wrote, the defaults included.
    """
    defaults = {name: getattr(DEFAULT_LOAD_OPTIONS, name) for name in LOADING}
    return _marked(_group("load_options", LOADING, defaults, _options_of, refused or {}))


def loads_recorded_model(
    *, refused: Mapping[str, str] | None = None
) -> Callable[[Command], Command]:
    """As `loads_model`, for a model that an index or a labelling names, with its options.

    The command's parameter is `overrides: Mapping[str, Any]`: the fields of LoadOptions that the
    user gave, and no other, for `dataclasses.replace`.
    """
    defaults = {name: False if name in FLAGS else None for name in LOADING}
    annotations = {name: _recorded(name) for name in LOADING}
    return _marked(_group("overrides", annotations, defaults, dict, refused or {}))


def takes_labels(*, several: bool = False) -> Callable[[Command], Command]:
    """A command's parameter `label_options: LabelOptions` is shown as the options of `LABELS`.

    `several`: it answers several label sets at once; another one refuses them.
    """
    defaults = {name: getattr(NO_LABEL_OPTIONS, name) for name in LABELS}
    help_text = f"{get_args(LABELS['labels'])[1].help} Repeatable: an answer for each {SET}."
    annotations = LABELS
    if several:
        annotations = LABELS | {"labels": _changed(LABELS["labels"], help=help_text)}
    make = partial(_label_options_of, several=several)
    return _group("label_options", annotations, defaults, make, with_given=False)


def takes_process_options(command: Command, *more: str) -> Command:
    """A command with `--debug`, and `more` of `PROCESS`, as its last options.

    `main` looks for `--debug`; the others are what the environment says, for this process.
    """
    declared = inspect.signature(command, eval_str=True)
    shown = {name: PROCESS[name][0] for name in more} | {"debug": Debug}
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if name == "index_file" else False,
            annotation=annotation,
        )
        for name, annotation in shown.items()
    ]

    @wraps(command)
    def run(*positional: Any, **named: Any) -> None:
        given = {name: named.pop(name, None) for name in shown}
        for name in more:
            if given[name]:
                _, variable, value = PROCESS[name]
                os.environ[variable] = value or str(given[name])
        command(*positional, **named)

    vars(run)["__signature__"] = declared.replace(
        parameters=[*declared.parameters.values(), *added]
    )
    return run


def _marked(decorate: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def run(command: Command) -> Command:
        decorated = decorate(command)
        vars(decorated)["loads_model"] = True  # for the test that walks the commands
        return decorated

    return run


def _group(
    parameter: str,
    annotations: Mapping[str, Any],
    defaults: Mapping[str, Any],
    make: Callable[[dict[str, Any]], Any],
    refused: Mapping[str, str] = NO_OVERRIDES,
    *,
    with_given: bool = True,
) -> Callable[[Command], Command]:
    """`parameter` gives way to the options; what `make` does with those that were given takes its
    place again when the command is called. `with_given`: its parameter `given` is about them."""

    def decorate(command: Command) -> Command:
        declared = inspect.signature(command, eval_str=True)
        names = [name for name in annotations if name not in declared.parameters]
        group = [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=defaults[name],
                annotation=annotations[name],
            )
            for name in names
        ]
        tells_given = with_given and GIVEN in declared.parameters
        replaced = {parameter: group} | ({GIVEN: [WRITTEN]} if tells_given else {})
        parameters = [
            option.replace(annotation=_changed(option.annotation, hidden=True))
            if option.name in refused
            else option
            for shown in declared.parameters.values()
            for option in replaced.get(shown.name, [shown])
        ]
        signature = declared.replace(parameters=parameters)

        @wraps(command)
        def run(*positional: Any, **named: Any) -> None:
            bound = signature.bind(*positional, **named)
            bound.apply_defaults()
            values = {name: bound.arguments.pop(name) for name in names}
            given = {name: value for name, value in values.items() if value != defaults[name]}
            for name in [name for name in names if name in refused and name in given]:
                raise ModelError(f"--{name} is not for this command: {refused[name]}.")
            if tells_given:
                context = bound.arguments.pop(WRITTEN.name)
                written = [name for name in names if context and _is_written(context, name)]
                bound.arguments[GIVEN] = frozenset(written or given)
            command(**bound.arguments, **{parameter: make(given)})

        vars(run)["__signature__"] = signature
        return run

    return decorate


def _is_written(context: typer.Context, name: str) -> bool:
    """Whether an option is on the command line or in the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _options_of(given: dict[str, Any]) -> LoadOptions:
    return LoadOptions(**given)


def _label_options_of(given: dict[str, Any], *, several: bool) -> LabelOptions:
    sets = given.pop("labels", None) or []
    if len(sets) > 1 and several:
        return LabelOptions(sets=tuple(sets), **given)
    if len(sets) > 1:
        raise LabelError(
            f"this command takes one label set, and --labels was given {len(sets)} times; labels "
            "of one set have commas between them, or lie in a file. unseen classify takes several."
        )
    return LabelOptions(labels=sets[0] if sets else None, **given)


def _recorded(name: str) -> Any:
    """The annotation of an option that may be left to what is recorded."""
    if name in FLAGS:
        return LOADING[name]
    if name in RECORDED:
        return _changed(LOADING[name], optional=True, show_default="as recorded")
    default = getattr(DEFAULT_LOAD_OPTIONS, name)
    shown = {} if default is None else {"show_default": default}
    return _changed(LOADING[name], optional=True, **shown)


def _changed(annotation: Any, *, optional: bool = False, **changes: Any) -> Any:
    """An annotated option with other settings."""
    kind, option = get_args(annotation)
    option = copy(option)
    for name, value in changes.items():
        setattr(option, name, value)
    return Annotated[kind | None if optional else kind, option]


def check_labels(
    labels: str | None, load_options: LoadOptions, sources: Sequence[str] = ()
) -> None:
    """LabelError, before a model is loaded, when nothing brings labels, or they went elsewhere."""
    brings_labels = load_options.adapter is not None or load_options.model.endswith(".onnx")
    if labels is None and not brings_labels:
        raise LabelError(
            "no labels were given; pass --labels cat,dog, or an --adapter that brings its own."
        )
    # `-l cat dog`, as other programs take lists: "dog" is then a source.
    words = [source for source in sources if isinstance(source, str) and _is_word(source)]
    if labels is not None and _is_word(labels) and 0 < len(words) < len(sources):
        raise LabelError(
            f"{words[0]!r} is neither a picture nor a folder; labels have commas between them: "
            f"--labels {','.join([labels, *words])}"
        )


def labels_argument(given: str) -> str | Path:
    """A file that is there is one, whatever its suffix: its name is not meant as a label."""
    return Path(given) if _is_file(given) else given


def names_argument(given: str | None) -> str | Path | None:
    """The labels that name clusters, if there are some."""
    return None if given is None else labels_argument(given)


def clusters_argument(k: str) -> int | None:
    """A number of clusters, or None for auto."""
    if k != AUTO and not (k.isascii() and k.isdecimal() and int(k) > 0):
        raise SourceError(f"--k is {k!r}; a number from 1 on, or auto.")
    return None if k == AUTO else int(k)


def _is_word(given: str) -> bool:
    """Whether this is a word or two, and no path, address or pattern."""
    return re.fullmatch(r"[^\W\d_][\w '-]*", given) is not None and not Path(given).exists()


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
