"""Text → token ids, as the checkpoint's own files say, by the `tokenizers` library."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, decoders, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE

from unseen.errors import LabelError, ModelError

CLIP_START, CLIP_END = "<|startoftext|>", "<|endoftext|>"
# CLIP's pattern: the special tokens (as text, once lower-cased), contractions, runs of letters,
# single digits, runs of anything else.
CLIP_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


class Tokenizer:
    """Texts → ids with the special tokens of the checkpoint. Several threads may use one."""

    def __init__(self, backend: Backend) -> None:
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        # Special tokens behind every text: a text that is cut keeps them.
        is_special = backend.encode("a").special_tokens_mask
        self._ending = len(is_special) - 1 - max(i for i, s in enumerate(is_special) if not s)

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
        self, texts: Sequence[str], context_length: int | None = None
    ) -> tuple[list[list[int]], list[bool]]:
        """Ids of each text, unpadded, at most `context_length` of them, and which texts were cut.

        A text is cut as transformers does: at its end, the special tokens kept. (The library's own
        truncation is a setting of the whole tokenizer, which a second thread would change.) Raises
        LabelError for a text that is no Unicode.
        """
        try:
            encodings = self._backend.encode_batch(list(texts))
        except TypeError:
            raise LabelError(f"{_not_unicode(texts)!r} has half a character in it.") from None
        ids = [encoding.ids for encoding in encodings]
        if context_length is None:
            return ids, [False] * len(ids)
        cut = [len(tokens) > context_length for tokens in ids]
        keep = max(context_length - self._ending, 0)
        return [
            tokens[:keep] + tokens[len(tokens) - self._ending :] if long else tokens
            for tokens, long in zip(ids, cut, strict=True)
        ], cut


def _not_unicode(texts: Sequence[str]) -> str:
    """The first text with a lone surrogate, as a badly decoded file name has."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            return text
    raise TypeError("every text must be a str")


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
    backend.add_special_tokens([AddedToken(t, normalized=False) for t in (CLIP_START, CLIP_END)])
    backend.post_processor = processors.RobertaProcessing(
        (CLIP_END, vocabulary[CLIP_END]), (CLIP_START, vocabulary[CLIP_START]), False, False
    )
    return backend


# Which files make a tokenizer, best first.
READERS: dict[tuple[str, ...], Callable[[Path], Backend]] = {
    ("tokenizer.json",): _from_json,
    ("vocab.json", "merges.txt"): _clip_bpe,
}
