"""The files that tokenizers are kept in → the `tokenizers` library's own object."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    normalizers,
    pre_tokenizers,
    processors,
)
from tokenizers.models import BPE, Unigram, WordPiece

CLIP_START, CLIP_END = "<|startoftext|>", "<|endoftext|>"
# CLIP's pattern: the special tokens (as text, once lower-cased), contractions, runs of letters,
# single digits, runs of anything else.
CLIP_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
SPACE = "▁"  # how SentencePiece writes one


def _from_json(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def _clip_bpe(folder: Path) -> Tokenizer:
    """CLIP's byte-pair encoding, as transformers' CLIPTokenizer puts it together."""
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    lines = (folder / "merges.txt").read_text("utf-8").split("\n")
    merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    backend = Tokenizer(
        BPE(
            vocab=vocabulary,
            merges=[(first, second) for first, second in merges],
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


def _word_piece(folder: Path) -> Tokenizer:
    """BERT's, from its list of words, as transformers' BertTokenizer puts it together."""
    words = (folder / "vocab.txt").read_text("utf-8").split("\n")
    vocabulary = {word.rstrip("\r"): index for index, word in enumerate(words) if word}
    settings = _settings(folder)
    backend = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    backend.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    return backend


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    settings: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return settings


def _t5_pieces(folder: Path) -> Tokenizer:
    """SentencePiece as T5 and SigLIP have it: the end token follows a text."""
    pieces, charsmap, unknown = _sentence_pieces(folder / "spiece.model")
    backend = _unigram(pieces, charsmap, unknown)
    end = next(index for index, (piece, _) in enumerate(pieces) if piece == "</s>")
    backend.add_special_tokens(["</s>", "<unk>"])
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", end)]
    )
    return backend


def _xlm_roberta_pieces(folder: Path) -> Tokenizer:
    """SentencePiece as XLM-RoBERTa has it, whose ids begin with four of fairseq's own."""
    pieces, charsmap, _ = _sentence_pieces(folder / "sentencepiece.bpe.model")
    special = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    backend = _unigram([*special, *pieces[3:], ("<mask>", 0.0)], charsmap, 3)
    backend.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return backend


def _unigram(pieces: list[tuple[str, float]], charsmap: bytes, unknown: int) -> Tokenizer:
    backend = Tokenizer(Unigram(pieces, unk_id=unknown, byte_fallback=False))
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    steps = [normalizers.Precompiled(charsmap)] if charsmap else []
    strip = normalizers.Strip(left=False, right=True)  # or a space at the end would be a piece
    backend.normalizer = normalizers.Sequence([*steps, strip, spaces])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    backend.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    return backend


def _sentence_pieces(path: Path) -> tuple[list[tuple[str, float]], bytes, int]:
    """A SentencePiece model → its pieces with their scores, its character map, the unknown piece.

    The few fields that are needed of sentencepiece_model.proto (google/sentencepiece), which is
    protocol buffers; their numbers are part of that format.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415

    field = descriptor_pb2.FieldDescriptorProto
    messages: dict[str, list[tuple[str, int, Any]]] = {
        "Piece": [("piece", 1, field.TYPE_STRING), ("score", 2, field.TYPE_FLOAT)],
        "Trainer": [("unk_id", 40, field.TYPE_INT32)],
        "Normalizer": [("precompiled_charsmap", 2, field.TYPE_BYTES)],
        "Model": [
            ("pieces", 1, "Piece"),
            ("trainer", 2, "Trainer"),
            ("normalizer", 3, "Normalizer"),
        ],
    }
    file = descriptor_pb2.FileDescriptorProto(name="pieces.proto", package="unseen")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for label, number, kind in fields:
            many = field.LABEL_REPEATED if label == "pieces" else field.LABEL_OPTIONAL
            added = message.field.add(name=label, number=number, label=many)
            if isinstance(kind, str):
                added.type, added.type_name = field.TYPE_MESSAGE, f".unseen.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    model = message_factory.GetMessageClass(pool.FindMessageTypeByName("unseen.Model"))()
    model.ParseFromString(path.read_bytes())
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    return pieces, model.normalizer.precompiled_charsmap, model.trainer.unk_id


# Which files make a tokenizer, best first.
READERS: dict[tuple[str, ...], Callable[[Path], Tokenizer]] = {
    ("tokenizer.json",): _from_json,
    ("vocab.json", "merges.txt"): _clip_bpe,
    ("vocab.txt",): _word_piece,
    ("spiece.model",): _t5_pieces,
    ("sentencepiece.bpe.model",): _xlm_roberta_pieces,
}
