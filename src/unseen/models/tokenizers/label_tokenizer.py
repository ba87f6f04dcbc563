"""The tokenizer of a model that knows a list of labels, and no other texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from unseen.errors import LabelError
from unseen.models.serialization import PickledFields

SHOWN = 8  # labels that an error names


@dataclass(frozen=True)
class LabelTokenizer(PickledFields):
    """Texts → indices of labels. `name` is that of the model, for errors."""

    name: str
    labels: tuple[str, ...]

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {label: index for index, label in enumerate(self.labels)}

    def encode(
        self, texts: Sequence[str], context_length: int | None = None
    ) -> tuple[list[list[int]], list[bool]]:
        """One id a text; nothing is ever cut. Raises LabelError for any other text."""
        for text in texts:
            if text not in self._indices:
                raise LabelError(self._unknown(text))
        return [[self._indices[text]] for text in texts], [False] * len(texts)

    def token_id(self, token: str) -> int | None:
        """The index of a label."""
        return self._indices.get(token)

    def _unknown(self, text: str) -> str:
        known = [repr(label) for label in self.labels]
        more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
        import difflib  # noqa: PLC0415 - for a mistake alone

        similar = difflib.get_close_matches(text, self.labels, 1)
        hint = f" Did you mean {similar[0]!r}?" if similar else ""
        return (
            f"{text[:80]!r} is not a label of {self.name}, which was trained on "
            f"{', '.join(known[:SHOWN])}{more}, and knows no other words.{hint}"
        )
