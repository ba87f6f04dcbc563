"""What `from_pretrained` takes, and what it means here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unseen.encoder import Encoder
from unseen.errors import ModelError
from unseen.load_options import LoadOptions, device_name, precision_name

# Options of transformers that ask for what is done differently here → what to do instead.
REFUSED = {
    "cache_dir": "set HF_HOME to the folder of downloads",
    "token": "set HF_TOKEN, or run `hf auth login`",
    "local_files_only": "set HF_HUB_OFFLINE=1",
    "quantization_config": 'unseen.load(…, precision="int8") has networks in whole numbers',
}


def encoder_of(
    checkpoint: str | Path, revision: str | None, device: Any, dtype: Any, **refused: Any
) -> Encoder:
    """The encoder of a checkpoint; ModelError for options that are not taken."""
    for name, value in refused.items():
        if value not in (None, False):
            raise ModelError(f"from_pretrained does not take {name} here: {REFUSED[name]}.")
    options = LoadOptions(
        str(checkpoint),
        revision,
        precision=precision_name(dtype),
        device=device_name(device, none="cpu"),
    )
    return Encoder.load(options)
