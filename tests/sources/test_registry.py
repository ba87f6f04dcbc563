"""The table of readers."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from unseen.results.records import RESERVED
from unseen.sources.expand import fields_of
from unseen.sources.formats import suffixes as picture_suffixes
from unseen.sources.registry import READERS, reader_of


def test_every_row_is_of_one_kind_and_leads_to_a_function() -> None:
    suffixes = [suffix for reader in READERS for suffix in reader.suffixes]
    schemes = [scheme for reader in READERS for scheme in reader.schemes]
    for names in (suffixes, schemes):
        assert len(set(names)) == len(names) and names == [name.lower() for name in names]
    # A TIFF is a picture, or several: its reader gives the file itself where it has one page.
    assert picture_suffixes() & set(suffixes) == {".tif", ".tiff"}
    assert not {"http", "https", "data", "file"} & set(schemes)
    for reader in READERS:
        file, _, function = reader.function.rpartition(".")
        assert callable(getattr(import_module(f"unseen.sources.{file}"), function))


def test_no_field_has_the_name_of_another_column_of_a_csv_file() -> None:
    for reader in READERS:
        assert not [field for field in reader.fields if RESERVED.fullmatch(field)]


def test_fields_are_known_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"")
    assert fields_of([str(path), "b.png", str(path)]) == ("member",) == fields_of(path)
    assert fields_of("b.png") == fields_of(b"") == fields_of(iter([path])) == ()
    assert reader_of("a" * 100_000 + ".zip") is None
