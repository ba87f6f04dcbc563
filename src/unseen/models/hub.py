"""A hub id or a folder → a checkpoint's files on this machine.

What is in the Hugging Face cache already is used without asking the network, so that a start is
quick and the same offline. Files come through huggingface_hub, which reads HF_HOME, HF_ENDPOINT,
HF_TOKEN and HF_HUB_OFFLINE.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

from unseen.errors import ModelError, UnseenWarning
from unseen.models import catalog, families
from unseen.models.checkpoint import FACTS, HF_CONFIG, OPEN_CLIP_CONFIG, WEIGHTS, Checkpoint
from unseen.system.regular_file import read_text

BUILTIN = "builtin"
BUILTIN_FOLDER = Path(__file__).parent.parent / "data" / "builtin"

HUB_ID = re.compile(r"(?!.*(?:--|\.\.))(?=.{3,96}$)\b[\w.-]+\b/\b[\w.-]+\b")  # the hub's rule
REVISION = re.compile(r"(?!.*\.\.)\w[\w./-]*")  # it becomes part of a path in the cache
NETWORK_SECONDS = 10.0  # for one question to the hub

# The keys of a config.json that describe a tower; the last two are those of early checkpoints.
TOWER_CONFIGS = ("vision_config", "text_config", "vision_config_dict", "text_config_dict")

SHARDS = {"model.safetensors.index.json": "model-*.safetensors"} | {
    "pytorch_model.bin.index.json": "pytorch_model-*.bin"
}


def locate(model: str, *, revision: str | None = None, commercial: bool = False) -> Checkpoint:
    """`builtin`, a local folder, an ONNX file of `unseen distil`, `org/name` or `org/name@revision`
    → its files, fetched if need be.

    A short name (`fast`) stands for its id, `./fast` for a folder of that name. A licence for
    research only is warned of before a download; `commercial` refuses every hub id whose licence
    is not known to allow commercial use, downloaded or not. Local folders are not checked: what
    is in them is yours to know. Raises ModelError: not there, no network, not allowed.
    """
    if model == BUILTIN:
        return Checkpoint(BUILTIN, BUILTIN_FOLDER)
    model = catalog.resolve(model)
    folder = Path(model).expanduser()
    is_distilled = folder.suffix.lower() == families.DISTILLED_SUFFIX
    if model and folder.is_dir():
        return Checkpoint(model, folder, config_file=config_file(folder))
    if model and folder.is_file() and is_distilled:
        return Checkpoint(model, folder.parent, file=folder)
    if model and folder.is_file():
        raise ModelError(f"{model} is a file; give the folder that holds it and its config.json.")
    if is_distilled:
        raise ModelError(f"{model}: there is no such file; `unseen distil` makes one.")
    name, _, pinned = model.partition("@")
    if not HUB_ID.fullmatch(name) or model.startswith((".", "/", "~")):
        raise ModelError(f"{model!r} is neither a folder nor a hub id (org/name).{_hint(name)}")
    revision = pinned or revision
    if revision and not REVISION.fullmatch(revision):
        raise ModelError(f"invalid revision {revision!r}: give a branch, a tag or a commit.")
    if commercial:
        _refuse_unless_commercial(name)
    snapshot = _cached(name, revision)
    if snapshot is None:
        _warn_of_licence(name)
        snapshot = _download(name, revision)
    return Checkpoint(name, snapshot, revision, config_file=config_file(snapshot))


def is_here(model: str) -> bool:
    """Whether a model can be loaded without a network."""
    if model == BUILTIN:
        return True
    name, _, pinned = model.partition("@")
    if not HUB_ID.fullmatch(name):  # the path of a folder that is gone
        return False
    return _cached(name, pinned or None) is not None


def config_file(folder: Path) -> str:
    """The config that counts in a folder: OpenCLIP's only where transformers' is of no use."""
    if (folder / OPEN_CLIP_CONFIG).is_file() and not _is_supported(folder / HF_CONFIG):
        return OPEN_CLIP_CONFIG
    return HF_CONFIG


def _is_supported(config: Path) -> bool:
    """Whether a config.json is transformers', of a family in the registry, and describes a tower.

    Some repositories in OpenCLIP's format have a stub with a model type and code of their own.
    """
    try:
        stated = json.loads(read_text(config))
        has_tower = any(isinstance(stated.get(key), dict) for key in TOWER_CONFIGS)
        return has_tower and families.of_model_type(stated.get("model_type")) is not None
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _refuse_unless_commercial(name: str) -> None:
    known = catalog.find(name)
    if known is None:
        raise ModelError(
            f"{name}: its licence is not known here; read its model card, and leave commercial "
            "out when that allows your use."
        )
    if known.commercial is False:
        raise ModelError(f"{name}: its licence, {known.licence}, does not allow commercial use.")
    if known.commercial is None:
        raise ModelError(
            f"{name}: commercial use is left open: its licence is {known.licence}, but "
            f"{known.note}. Read both, and leave commercial out when they allow your use."
        )


def _warn_of_licence(name: str) -> None:
    known = catalog.find(name)
    if known is not None and known.commercial is False:
        warnings.warn(
            f"{name}: its licence, {known.licence}, is for research and other non-commercial use "
            "only.",
            UnseenWarning,
            stacklevel=5,  # the line that called unseen.load
        )


def _hint(name: str) -> str:
    similar = catalog.suggest(name)
    return (
        f" Did you mean {' or '.join(similar)}?"
        if similar
        else " `unseen models` lists known ones."
    )


def _cached(name: str, revision: str | None) -> Path | None:
    """The snapshot in the Hugging Face cache, if all of it is there."""
    from huggingface_hub import snapshot_download, try_to_load_from_cache  # noqa: PLC0415 - 0.2 s
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    paths = (try_to_load_from_cache(name, config, revision=revision) for config in WEIGHTS)
    config = next((path for path in paths if isinstance(path, str)), None)
    if config is None:
        return None
    try:
        # Asked with the files we need, as the library finds a snapshot without the rest partial.
        folder = Path(config).parent
        weights = Checkpoint(name, folder, config_file=config_file(folder)).weight_files()
        patterns = [*FACTS, *(path.name for path in weights)]
        return Path(
            snapshot_download(
                name, revision=revision, local_files_only=True, allow_patterns=patterns
            )
        )
    except (OSError, ValueError, HfHubHTTPError, ModelError):
        return None


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415
    from huggingface_hub import errors as hub_errors  # noqa: PLC0415

    at = f"{name}@{revision}" if revision else name
    try:
        info = HfApi().model_info(name, revision=revision, timeout=NETWORK_SECONDS)
        files = {s.rfilename for s in info.siblings or ()}
        patterns = _patterns(at, files, _config_file(name, revision, files))
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except hub_errors.GatedRepoError:
        raise ModelError(
            f"{at}: its authors ask you to accept a licence first: open its page on the hub, "
            "accept, then run `hf auth login`."
        ) from None
    except hub_errors.RevisionNotFoundError:
        raise ModelError(f"{name}: the hub has it, but no revision {revision!r}.") from None
    except hub_errors.RepositoryNotFoundError:
        raise ModelError(
            f"{at}: the hub has no such model, or it is private (`hf auth login`).{_hint(name)}"
        ) from None
    except ModelError:
        raise
    except Exception as error:  # whatever stands between here and the hub
        if isinstance(error, OSError) and error.filename:  # of the disk, not of the network
            raise ModelError(
                f"{at}: its files cannot be kept: {error.filename}: {error.strerror}. Make "
                "room, or set HF_HOME to another folder."
            ) from None
        similar = [] if catalog.find(name) else catalog.suggest(name)
        slip = f" is not a known model; did you mean {' or '.join(similar)}? It" if similar else ""
        raise ModelError(
            f"{at}{slip} is not a folder here, was not downloaded before, and the hub does not "
            f"give it ({_reason(error)}): connect and try again, set HF_HOME to where it was "
            "downloaded, or give the folder that holds it."
        ) from None


def files(name: str, patterns: list[str]) -> Path:
    """The snapshot folder of a hub id with those of its files that fit the patterns.

    Those in the cache are used without asking the network. Raises ModelError: no such id, no
    network.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415

    try:
        folder = Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
        if any((folder / pattern).is_file() for pattern in patterns):
            return folder
    except (OSError, ValueError, LocalEntryNotFoundError):
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # whatever stands between here and the hub
        raise ModelError(f"{name}: the hub does not give its files ({_reason(error)}).") from None


def _reason(error: Exception) -> str:
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled  # noqa: PLC0415

    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, HfHubHTTPError):
        return f"it answers {error.response.status_code}"
    return type(error).__name__


def _config_file(name: str, revision: str | None, files: set[str]) -> str:
    """The config that counts of a repository with these files: both are looked at if need be."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    if OPEN_CLIP_CONFIG not in files:
        return HF_CONFIG
    configs = snapshot_download(name, revision=revision, allow_patterns=[*WEIGHTS])
    return config_file(Path(configs))


def _patterns(name: str, files: set[str], config: str) -> list[str]:
    """The facts, and one form of the weights: the first that the hub has."""
    for weights in WEIGHTS[config]:
        if weights in files:
            shards = [SHARDS[weights]] if weights in SHARDS else []
            return [*FACTS, weights, *shards]
    looked_for = ", ".join(WEIGHTS[config])
    raise ModelError(f"{name}: it has no weights that can be read ({looked_for}).")
