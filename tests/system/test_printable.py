"""Names as text: what was stored comes back, for every name and on every system."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unseen.system.printable import escaped, named, unescaped

# Names near the rule: escapes, halves of them, backslashes before and behind.
NAMES = st.text(st.sampled_from("\\u005cdDxf89aé猫\udcff\ud800\udfff/\n"), max_size=20)


@given(NAMES | st.text(st.characters()) | st.text(st.characters(categories=["Cs", "Lu"])))
def test_every_name_comes_back(name: str) -> None:
    text = escaped(name)
    assert text.encode("utf-8").decode("utf-8") == text
    assert unescaped(text) == name


@given(st.binary())
def test_every_name_of_a_file_comes_back(name: bytes) -> None:
    text = escaped(name.decode("utf-8", "surrogateescape"))
    assert unescaped(text).encode("utf-8", "surrogateescape") == name


@pytest.mark.parametrize("name", ["a.jpg", "猫 é.png", "C:\\x\\u.jpg", "\\udc", "50%.jpg", "\\xff"])
def test_a_usual_name_stays_as_it_is(name: str) -> None:
    assert escaped(name) == name


def test_json_has_the_same_escape() -> None:
    name = "\udcff.jpg"
    assert json.dumps(name) == f'"{escaped(name)}"'


def test_an_error_names_its_picture_once_in_either_form() -> None:
    error = "p/\udcff.jpg: it is empty."
    for text in (error, escaped(error)):
        assert named("\udcff.jpg", text) == r"p/\udcff.jpg: it is empty."
