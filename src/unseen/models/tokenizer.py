"""Text → token ids, as the checkpoint's own files say, by the `tokenizers` library."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, decoders, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE

from unseen.errors import ModelError

# CLIP's pattern: contractions, runs of letters, single digits, runs of anything else.
CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
CLIP_START, CLIP_END = "<|startoftext|>", "<|endoftext|>"


class Tokenizer:
    """Texts → ids with the special tokens of the checkpoint, neither padded nor cut by itself."""

    def __init__(self, backend: Backend) -> None:
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """From the first kind of tokenizer file that the folder has; ModelError when none."""
        for names, reader in READERS.items():
            if all((folder / name).is_file() for name in names):
                try:
                    return cls(reader(folder))
                except Exception as error:  # the library raises bare Exception
                    raise ModelError(
                        f"{folder}: its tokenizer ({', '.join(names)}) cannot be read: {error}."
                    ) from None
        wanted = " or ".join(" + ".join(names) for names in READERS)
        raise ModelError(f"{folder}: no tokenizer in it; looked for {wanted}.")

    def encode(
        self, texts: Sequence[str], context_length: int
    ) -> tuple[list[list[int]], list[bool]]:
        """Ids of each text, at most `context_length`, the end token kept; and which were cut."""
        self._backend.enable_truncation(context_length)
        encodings = self._backend.encode_batch(list(texts))
        return [e.ids for e in encodings], [bool(e.overflowing) for e in encodings]


def _from_json(folder: Path) -> Backend:
    return Backend.from_file(str(folder / "tokenizer.json"))


def _clip_bpe(folder: Path) -> Backend:
    """CLIP's byte-pair encoding, as transformers' CLIPTokenizer puts it together."""
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    lines = (folder / "merges.txt").read_text("utf-8").split("\n")
    merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    backend = Backend(
        BPE(
            vocab=vocabulary,
            merges=[(left, right) for left, right in merges],
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            unk_token=CLIP_END,
            fuse_unk=False,
        )
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(t, normalized=True) for t in (CLIP_START, CLIP_END)])
    backend.post_processor = processors.RobertaProcessing(
        (CLIP_END, vocabulary[CLIP_END]), (CLIP_START, vocabulary[CLIP_START]), False, False
    )
    return backend


# Which files make a tokenizer, best first.
READERS: dict[tuple[str, ...], Callable[[Path], Backend]] = {
    ("tokenizer.json",): _from_json,
    ("vocab.json", "merges.txt"): _clip_bpe,
}
