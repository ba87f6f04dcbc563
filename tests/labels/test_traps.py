"""Labels that work and were not meant: a line each, once; none for label sets that are fine."""

from __future__ import annotations

import string
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

import unseen
from running import unseen as run
from unseen.errors import LabelWarning
from unseen.labels import languages, traps
from unseen.labels.label_set import LabelSet
from unseen.models import catalog
from unseen.models.model import Model
from unseen.models.tokenizers.tokenizer import TokenizerSpec

# Label sets of data sets and of everyday uses, all in English: nothing is to be said of them.
FINE = {
    "CIFAR-10": "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck",
    "VOC": "aeroplane, bicycle, boat, bottle, bus, chair, cow, dining table, motorbike, tv monitor",
    "Food-101": "baklava, beignets, bibimbap, bruschetta, caprese salad, ceviche, churros, "
    "creme brulee, croque madame, crème brûlée, escargots, foie gras, filet mignon, gnocchi, "
    "huevos rancheros, macarons, panna cotta, paella, pho, piñata, poutine, ramen, risotto, tacos",
    "Oxford pets": "Abyssinian, Basset Hound, Birman, Chihuahua, Egyptian Mau, Keeshond, "
    "Leonberger, Maine Coon, Pomeranian, Russian Blue, Saint Bernard, Samoyed, Shiba Inu, Sphynx",
    "dogs": "komondor, kuvasz, saluki, borzoi, basenji, schipperke, papillon, affenpinscher",
    "Flowers-102": "canterbury bells, sweet pea, bird of paradise, colt's foot, king protea, "
    "fritillary, prince of wales feathers, love in the mist, alpine sea holly, siam tulip",
    "EuroSAT": "annual crop land, forest, highway or road, pasture land, river, lake or sea",
    "DTD": "banded, blotchy, cobwebbed, crosshatched, honeycombed, polka-dotted, zigzagged",
    "cars": "Audi A4, BMW M3, Ferrari 458, Ford Mustang, Volkswagen Golf, Citroen C3, 4 door sedan",
    "medical": "pneumonia, normal lung, pleural effusion, cardiomegaly, atelectasis, pneumothorax",
    "UCF-101": "applying eye makeup, archery, balance beam, clean and jerk, golf swing, tai chi",
    "wildlife": "capybara, okapi, tapir, aardvark, pangolin, wildebeest, warthog, meerkat",
    "kitchen": "colander, spatula, whisk, ladle, saucepan, casserole, hand blender",
    "cities": "Los Angeles, Las Vegas, San Francisco, El Paso, Saint Louis, New Orleans",
    "art": "impressionism, cubism, art nouveau, trompe l'oeil, chiaroscuro, pointillism",
    "moderation": "nudity, violence, drugs, weapon, alcohol, safe for work, one way street",
}
OTHER = {
    "de": "Hund, Katze, Vogel, Pferd, Auto, Fahrrad, Haus, Baum, Tisch, Apfel",
    "fr": "chien, chat, oiseau, cheval, voiture, vélo, maison, arbre, table, pomme",
    "es": "perro, gato, pájaro, caballo, coche, bicicleta, casa, árbol, mesa, manzana",
    "it": "cane, gatto, uccello, cavallo, macchina, bicicletta, casa, albero, tavolo, mela",
    "pt": "cachorro, gato, pássaro, cavalo, carro, bicicleta, casa, árvore, mesa, maçã",
    "nl": "hond, kat, vogel, paard, auto, fiets, huis, boom, tafel, appel",
    "prompts": "ein Foto von einem Hund, une photo d'un chat, una foto de un perro",
    "sv": "häst, träd, sjö, båt",
    "ru": "собака, кошка, лошадь",
    "zh": "狗, 猫, 马",
    "ar": "كلب, قطة",
}


@pytest.fixture(scope="module")
def clf() -> unseen.Classifier:
    return unseen.load()


def said(clf: unseen.Classifier, labels: object, **options: object) -> list[str]:
    label_set = LabelSet.of(labels, **options)  # type: ignore[arg-type]
    return list(traps.traps(label_set, clf.model))


@pytest.mark.parametrize("labels", FINE.values(), ids=FINE)
def test_nothing_is_said_of_label_sets_that_are_fine(labels: str, clf: unseen.Classifier) -> None:
    assert said(clf, labels) == []


def test_nothing_is_said_of_the_labels_that_ship(clf: unseen.Classifier, photographs: Path) -> None:
    from unseen.label_lint.context import vocabulary
    from unseen.prediction import everyday_words

    assert said(clf, [folder.name for folder in photographs.iterdir() if folder.is_dir()]) == []
    assert said(clf, list(vocabulary())) == []
    assert said(clf, list(everyday_words.concepts())) == []


@pytest.mark.parametrize("labels", OTHER.values(), ids=OTHER)
def test_another_language_is_told(labels: str, clf: unseen.Classifier) -> None:
    (line,) = said(clf, labels)
    assert "does not read this language" in line and "--multilingual" in line


def test_the_language_of_a_model_counts() -> None:
    names = ["Hund", "Katze", "猫"]
    assert languages.foreign_labels(names, ["en"]) == names
    assert languages.foreign_labels(names, ["zh"]) == ["Hund", "Katze"]
    for several in (["en", "de"], [catalog.MANY], []):
        assert languages.foreign_labels(names, several) == []
    # One foreign word among English ones is a name; another script never is.
    assert languages.foreign_labels(["dog", "house", "gatto"], ["en"]) == []
    assert languages.foreign_labels(["dog", "house", "собака"], ["en"]) == ["собака"]


@pytest.mark.parametrize(
    "nouns", ["grúa, taladro, sillón", "théière, réglisse, évier", "maçã, pião"]
)
def test_accents_of_words_that_english_has_not_tell_a_language(nouns: str) -> None:
    """None of these is in the list of words, and English has none of them in one piece."""
    assert languages.foreign_labels(nouns.split(", "), ["en"])


@pytest.mark.parametrize(
    "names",
    [
        "Citroën, Škoda, Peugeot, Renault",
        "Nestlé, L'Oréal, Hermès, Nescafé",
        "José, Zoë, François, João",
        "crème brûlée, jalapeño, soufflé, café",
        "Bogotá, Málaga, São Paulo, Reykjavík",
    ],
)
def test_names_and_loan_words_are_no_other_language(names: str) -> None:
    assert languages.foreign_labels(names.split(", "), ["en"]) == []


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        (["a photo of a cat", "dog"], {}, "'a photo of a photo of a cat'|write 'cat'"),
        (["one cat", "two cats"], {}, "hardly count"),
        (["three cats", "dog"], {}, "hardly count"),
        (["a photo of 5 dogs", "dog"], {"template": "{}"}, "hardly count"),
        (["cat.jpg", "dog"], {}, "name of a picture"),
    ],
)
def test_what_is_said(
    labels: list[str], options: dict[str, str], words: str, clf: unseen.Classifier
) -> None:
    (line,) = said(clf, labels, **options)
    assert any(word in line for word in words.split("|")) and "\n" not in line


def test_prompts_as_they_stand_are_no_trap(clf: unseen.Classifier) -> None:
    assert said(clf, ["a photo of a cat", "a photo of a dog"], template="{}") == []
    assert said(clf, {"cat": "a photo of three cats", "dog": "ein Hund"}) == []  # own prompts


def test_a_warning_comes_once(clf: unseen.Classifier) -> None:
    with pytest.warns(LabelWarning, match="language") as caught:
        clf.compile(["Hund", "Maus", "Igel"])
    assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.compile(["Hund", "Maus", "Igel"])  # compiled already


def test_a_single_label_is_always_the_answer(clf: unseen.Classifier) -> None:
    picture = "examples/dog.jpg"
    with pytest.warns(LabelWarning, match="the only label"):
        assert clf.classify(picture, ["cat"]).ranking[0].score == 1
    with pytest.warns(LabelWarning, match="the only label"):
        list(clf.classify_many([picture] * 3, ["cat"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.classify(picture, ["cat"], multi_label=True)
        clf.classify(picture, ["cat"], background=["something else"])
        clf.classify(picture, ["cat"], unknown="auto")


def test_files_of_labels(tmp_path: Path) -> None:
    lines, table = tmp_path / "labels.txt", tmp_path / "labels.csv"
    lines.write_text("cat, dog, bird\n")
    with pytest.warns(LabelWarning, match=r"labels\.txt: each line is one label.*line of its own"):
        assert LabelSet.of(lines).names == ("cat, dog, bird",)
    for header in ("class", "Name,prompt"):
        table.write_text(f"{header}\ncat\ndog\n")
        with pytest.warns(LabelWarning, match="first line.*is taken as a label.*word label"):
            assert len(LabelSet.of(table).names) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lines.write_text("tiger, Panthera tigris\nlion, Panthera leo\na, b\nc, d\n")
        assert len(LabelSet.of(lines).names) == 4  # names with synonyms
        lines.write_text("cat, dog\nbird\n")
        assert len(LabelSet.of(lines).names) == 2
        table.write_text("label,prompt\ncat,a cat\n")
        assert LabelSet.of(table).names == ("cat",)
    with pytest.raises(unseen.LabelError, match="name of a picture, in the place of labels"):
        LabelSet.of(Path("examples/cat.jpg"))


def with_word_piece(model: Model, folder: Path, missing: str = "") -> Model:
    """The model with a tokenizer that has each character of ASCII, but one of its pieces."""
    folder.mkdir()
    characters = string.digits + string.ascii_lowercase + string.punctuation
    pieces = [piece for c in characters for piece in (c, f"##{c}") if piece != missing]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *pieces]))
    return replace(model, tokenizer=TokenizerSpec(str(folder)), fingerprint=folder.name)


def test_what_a_tokenizer_reads_of_ascii_is_remembered(
    clf: unseen.Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_HOME", str(tmp_path / "home"))
    model = with_word_piece(clf.model, tmp_path / "whole")
    assert traps.foreign_labels(["zebra", "T-shirt (2 sizes)"], model) == []
    again = replace(model, tokenizer=TokenizerSpec(str(tmp_path / "whole")))
    assert traps.foreign_labels(["zebra", "fizz"], again) == []
    assert "tokenizer" not in vars(again.tokenizer)  # its files were not read
    assert traps.foreign_labels(["zebra", "fußball"], again) == ["fußball"]  # no ß in it
    long = "z" * 101  # one word of more characters than WordPiece takes
    assert traps.foreign_labels(["zebra", long], again) == [long]


def test_a_tokenizer_without_a_letter_reads_no_word_with_it(
    clf: unseen.Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_HOME", str(tmp_path / "home"))
    model = with_word_piece(clf.model, tmp_path / "part", missing="##z")
    for _ in range(2):
        assert traps.foreign_labels(["zebra", "fizz", "cat"], model) == ["fizz"]


def test_the_command_line_says_them_and_is_silent_when_quiet() -> None:
    done = run("classify", "examples/cat.jpg", "-l", "Hund,Katze,Maus")
    assert done.stderr.count("warning:") == 1
    assert "language" in done.stderr
    quiet = run("classify", "examples/cat.jpg", "-l", "Hund,Katze,Maus", "--quiet")
    assert quiet.stderr == ""


def test_a_list_of_labels_without_commas() -> None:
    done = run("classify", "examples/cat.jpg", "-l", "cat", "dog", "fire truck", code=2)
    assert done.stderr == (
        "error: 'dog' is neither a picture nor a folder; labels have commas between them: "
        "--labels cat,dog,fire truck\n"
    )
    missing = run("classify", "examples/cat.jpg", "nowhere.jpg", "-l", "cat,dog", code=1)
    assert "there is no such file" in missing.stdout + missing.stderr
