"""A hub id or a folder → a checkpoint's files on this machine.

What is in the Hugging Face cache already is used without asking the network, so that a start is
quick and the same offline. Files come through huggingface_hub, which reads HF_HOME, HF_ENDPOINT,
HF_TOKEN and HF_HUB_OFFLINE.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.errors import ModelError, UnseenWarning
from unseen.models import table
from unseen.models.weights import FILES, OPEN_CLIP_FILES, weight_files
from unseen.system import cache

BUILTIN = "builtin"
BUILTIN_FOLDER = Path(__file__).parent.parent / "data" / "builtin"

HUB_ID = re.compile(r"(?!.*(?:--|\.\.))(?=.{3,96}$)\b[\w.-]+\b/\b[\w.-]+\b")  # the hub's rule
REVISION = re.compile(r"(?!.*\.\.)\w[\w./-]*")  # it becomes part of a path in the cache
NETWORK_SECONDS = 10.0  # for one question to the hub

# Everything but the weights that can change a result.
FACTS = (
    "config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
SHARDS = {"model.safetensors.index.json": "model-*.safetensors"} | {
    "pytorch_model.bin.index.json": "pytorch_model-*.bin"
}

HF_CONFIG, OPEN_CLIP_CONFIG = "config.json", "open_clip_config.json"
# Which weights belong to which config: a repository may hold those of several libraries.
WEIGHTS = {HF_CONFIG: FILES, OPEN_CLIP_CONFIG: OPEN_CLIP_FILES}
# The model types that are read from transformers' own format (models/families).
MODEL_TYPES = (
    "align",
    "altclip",
    "chinese_clip",
    "clip",
    "clipseg",
    "siglip",
    "siglip2",
    "unseen-builtin",
)


@dataclass(frozen=True)
class Checkpoint:
    """The files of one model, all in `folder`; or one `file`, which `unseen distil` made."""

    name: str
    folder: Path
    revision: str | None = None
    file: Path | None = None

    @property
    def commit(self) -> str | None:
        """The commit that the files are of, when they come from the hub."""
        return self.folder.name if self.folder.parent.name == "snapshots" else None

    @property
    def config_file(self) -> str:
        """The config that counts: OpenCLIP's only where transformers' is of no use."""
        if (self.folder / OPEN_CLIP_CONFIG).is_file() and not _is_ours(self.folder / HF_CONFIG):
            return OPEN_CLIP_CONFIG
        return HF_CONFIG

    def weight_files(self) -> list[Path]:
        """The files of the weights that belong to the config. Raises ModelError."""
        return weight_files(self.folder, WEIGHTS[self.config_file])


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
    model = table.resolve(model)
    folder = Path(model).expanduser()
    if model and folder.is_dir():
        return Checkpoint(model, folder)
    if model and folder.is_file() and folder.suffix.lower() == ".onnx":
        return Checkpoint(model, folder.parent, file=folder)
    if model and folder.is_file():
        raise ModelError(f"{model} is a file; give the folder that holds it and its config.json.")
    if folder.suffix.lower() == ".onnx":
        raise ModelError(f"{model}: there is no such file; `unseen distil` makes one.")
    name, _, pinned = model.partition("@")
    if not HUB_ID.fullmatch(name) or model.startswith((".", "/", "~")):
        raise ModelError(f"{model!r} is neither a folder nor a hub id (org/name).{_near(name)}")
    revision = pinned or revision
    if revision and not REVISION.fullmatch(revision):
        raise ModelError(f"{revision!r} is no revision: a branch, a tag or a commit is expected.")
    if commercial:
        _refuse_unless_commercial(name)
    folder_here = _cached(name, revision)
    if folder_here is None:
        _warn_of_licence(name)
    return Checkpoint(name, folder_here or _download(name, revision), revision)


def is_here(model: str) -> bool:
    """Whether a model can be loaded without a network."""
    return model == BUILTIN or _cached(model, None) is not None


def _is_ours(config: Path) -> bool:
    """Whether a config.json is transformers', and of a model that is read in its format."""
    try:
        return json.loads(config.read_text("utf-8")).get("model_type") in MODEL_TYPES
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _refuse_unless_commercial(name: str) -> None:
    known = table.find(name)
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
    known = table.find(name)
    if known is not None and known.commercial is False:
        warnings.warn(
            f"{name}: its licence, {known.licence}, is for research and other non-commercial use "
            "only.",
            UnseenWarning,
            stacklevel=5,  # the line that called unseen.load
        )


def _near(name: str) -> str:
    near = table.suggest(name)
    return f" Did you mean {' or '.join(near)}?" if near else " `unseen models` lists known ones."


def _cached(name: str, revision: str | None) -> Path | None:
    """The snapshot in the Hugging Face cache, if all of it is there."""
    from huggingface_hub import snapshot_download, try_to_load_from_cache  # noqa: PLC0415 - 0.2 s
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    found = (try_to_load_from_cache(name, config, revision=revision) for config in WEIGHTS)
    config = next((path for path in found if isinstance(path, str)), None)
    if config is None:
        return None
    try:
        # Asked with the files we want, as the library finds a snapshot without the rest partial.
        weights = [path.name for path in Checkpoint(name, Path(config).parent).weight_files()]
        wanted = [*FACTS, *weights]
        return Path(
            snapshot_download(name, revision=revision, local_files_only=True, allow_patterns=wanted)
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
        wanted = _wanted(at, files, _config_file(name, revision, files))
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except hub_errors.GatedRepoError:
        raise ModelError(
            f"{at}: its authors ask you to accept a licence first: open its page on the hub, "
            "accept, then run `hf auth login`."
        ) from None
    except hub_errors.RevisionNotFoundError:
        raise ModelError(f"{name}: the hub has it, but no revision {revision!r}.") from None
    except hub_errors.RepositoryNotFoundError:
        raise ModelError(
            f"{at}: the hub has no such model, or it is private (`hf auth login`).{_near(name)}"
        ) from None
    except ModelError:
        raise
    except Exception as error:  # whatever stands between here and the hub
        if isinstance(error, OSError) and error.filename:  # of the disk, not of the network
            raise ModelError(
                f"{at}: its files cannot be kept: {error.filename}: {error.strerror}. Make "
                "room, or set HF_HOME to another folder."
            ) from None
        raise ModelError(
            f"{at} is no folder here, was not downloaded before, and the hub does not give it "
            f"({_reason(error)}): connect and try again, set HF_HOME to where it was downloaded, "
            "or give the folder that holds it."
        ) from None


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
    return Checkpoint(name, Path(configs)).config_file


def _wanted(name: str, files: set[str], config_file: str) -> list[str]:
    """The facts, and one form of the weights: the first that the hub has."""
    for weights in WEIGHTS[config_file]:
        if weights in files:
            shards = [SHARDS[weights]] if weights in SHARDS else []
            return [*FACTS, weights, *shards]
    looked_for = ", ".join(WEIGHTS[config_file])
    raise ModelError(f"{name}: it has no weights that can be read ({looked_for}).")


# reading a checkpoint's facts


def read_json(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    """One of the checkpoint's JSON files; ModelError when it is missing or damaged."""
    path = checkpoint.folder / name
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{checkpoint.name}: {name} is missing in {checkpoint.folder}.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: this is no readable JSON: {error}.") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path}: a JSON object was expected.")
    return content


def read_image_processor(checkpoint: Checkpoint) -> dict[str, Any]:
    """The picture half of the processor: a file of its own, or a part of processor_config.json."""
    if not (checkpoint.folder / "preprocessor_config.json").is_file():
        whole = checkpoint.folder / "processor_config.json"
        if whole.is_file():
            part = read_json(checkpoint, whole.name).get("image_processor")
            if isinstance(part, dict):
                return part
    return read_json(checkpoint, "preprocessor_config.json")


def tokenizer_setting(checkpoint: Checkpoint, key: str) -> str | None:
    """One of the tokenizer's settings, such as its class or its padding token, if it is stated."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (checkpoint.folder / name).is_file():
            value = read_json(checkpoint, name).get(key)
            value = value.get("content") if isinstance(value, dict) else value
            if isinstance(value, str):
                return value
    return None


def fingerprint(checkpoint: Checkpoint) -> str:
    """32 hex digits of the content of every file that can change a result. Raises ModelError."""
    paths = [checkpoint.folder / name for name in FACTS]
    paths = [path for path in paths if path.is_file()] + checkpoint.weight_files()
    try:
        lines = [f"{path.name} {cache.file_sha256(path)}" for path in paths]
    except OSError as error:
        raise ModelError(f"{error.filename}: it cannot be read: {error.strerror}.") from None
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
