"""Labellings that a test leaves open are closed after it: from Python 3.13 on, sqlite3 warns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from unseen.annotation.labelling import Labelling


@pytest.fixture(autouse=True)
def closed_labellings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    opened: list[Labelling] = []
    begin = Labelling.__init__

    def remembered(self: Labelling, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        opened.append(self)

    monkeypatch.setattr(Labelling, "__init__", remembered)
    yield
    for labelling in opened:
        labelling.close()
