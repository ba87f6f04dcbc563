"""What a licence allows is said before the first download, and `commercial` is held to it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import unseen
from unseen.errors import ModelError, UnseenWarning
from unseen.models import catalog, hub

RESEARCH = "facebook/metaclip-b32-400m"
OPEN = "openai/clip-vit-base-patch32"
FREE = "google/siglip2-base-patch32-256"
UNKNOWN = "someone/something"


class FakeHub:
    """Stands for the hub and its cache: what was downloaded, and whether all is here already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cached = False
        self.downloads: list[tuple[str, str | None]] = []

    def in_cache(self, name: str, revision: str | None) -> Path | None:
        return self.folder if self.cached else None

    def download(self, name: str, revision: str | None) -> Path:
        self.downloads.append((name, revision))
        return self.folder


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path)
    monkeypatch.setattr(hub, "_cached", fake.in_cache)
    monkeypatch.setattr(hub, "_download", fake.download)
    monkeypatch.chdir(tmp_path)
    return fake


@pytest.mark.parametrize("model", [RESEARCH, f"{RESEARCH}@main", RESEARCH.upper()])
def test_a_research_licence_is_said_before_the_download(model: str, fake: FakeHub) -> None:
    with pytest.warns(UnseenWarning, match="CC-BY-NC-4.0, is for research") as warned:
        hub.locate(model)
    assert len(warned) == 1 and len(fake.downloads) == 1


def test_it_is_said_before_not_after(fake: FakeHub) -> None:
    with warnings.catch_warnings(), pytest.raises(UnseenWarning):
        warnings.simplefilter("error", UnseenWarning)
        hub.locate(RESEARCH)
    assert fake.downloads == []


def test_what_is_here_already_is_used_in_silence(fake: FakeHub) -> None:
    fake.cached = True
    assert hub.locate(RESEARCH).folder == fake.folder  # warnings are errors in these tests
    assert fake.downloads == []


@pytest.mark.parametrize("model", [OPEN, FREE, UNKNOWN, "fast"])
def test_of_other_licences_nothing_is_said(model: str, fake: FakeHub) -> None:
    hub.locate(model)
    assert len(fake.downloads) == 1


@pytest.mark.parametrize("cached", [False, True], ids=["absent", "cached"])
@pytest.mark.parametrize(
    ("model", "words"),
    [
        (RESEARCH, "CC-BY-NC-4.0, does not allow commercial use"),
        (RESEARCH.upper(), "does not allow commercial use"),
        (OPEN, "licence is MIT, but the model card calls any deployed use out of scope"),
        ("biomedical", "left open: its licence is MIT, but the model card names research"),
        (UNKNOWN, "not known here; read its model card, and leave commercial out"),
        (f"{UNKNOWN}@main", "not known here"),
    ],
)
def test_commercial_refuses(model: str, words: str, cached: bool, fake: FakeHub) -> None:
    fake.cached = cached
    with pytest.raises(ModelError, match=words):
        hub.locate(model, commercial=True)
    assert fake.downloads == []


@pytest.mark.parametrize("alias", [a for a in catalog.aliases() if a.name != "biomedical"])
def test_commercial_allows_what_is_known_to_allow_it(alias: catalog.Alias, fake: FakeHub) -> None:
    assert hub.locate(alias.name, commercial=True).name == alias.id
    assert fake.downloads == [(alias.id, None)]


def test_commercial_leaves_the_builtin_and_folders_alone(fake: FakeHub) -> None:
    assert hub.locate("builtin", commercial=True).folder == hub.BUILTIN_FOLDER
    (fake.folder / "mine").mkdir()
    assert hub.locate("mine", commercial=True).folder == Path("mine")
    assert fake.downloads == []


def test_a_short_name_takes_a_revision(fake: FakeHub) -> None:
    assert hub.locate("fast@v1") == hub.Checkpoint(FREE, fake.folder, "v1")
    hub.locate("fast", revision="v2")
    assert fake.downloads == [(FREE, "v1"), (FREE, "v2")]


def test_a_folder_with_a_short_name_is_given_as_a_path(fake: FakeHub) -> None:
    (fake.folder / "best").mkdir()
    assert hub.locate("best").name == catalog.resolve("best")
    assert hub.locate("./best").folder == Path("best")


def test_load_hands_it_on(fake: FakeHub) -> None:
    with pytest.raises(ModelError, match="does not allow commercial use"):
        unseen.load(RESEARCH, commercial=True)
