"""What is pickled answers the same in another process."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

import unseen
from unseen.encoder import Encoder
from unseen.learning.adapt import fit_adapter
from unseen.prediction.adapter import Adapter
from unseen.prediction.calibration import Calibration
from unseen.prediction.predict import Decision

LABELS = ["cat", "dog", "cup of coffee"]
CAT = Path("examples/cat.jpg").absolute()

Map = Callable[[Callable[[Any], Any], list[Any]], list[Any]]


def by_spawn(function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(function, items)


def by_joblib(function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    # With one job joblib stays in this process.
    jobs = joblib.Parallel(n_jobs=2, backend="loky")
    return list(jobs(joblib.delayed(function)(item) for item in items))


@pytest.fixture(params=[by_spawn, by_joblib])
def elsewhere(request: pytest.FixtureRequest) -> Map:
    """`map` of another process."""
    way: Map = request.param
    return way


def adapter_of(classifier: unseen.Classifier) -> Adapter:
    """What the examples teach, be it nothing."""
    rows = classifier.encode_images([CAT] * 2 + ["examples/dog.jpg"] * 2)
    compiled = classifier.compile(["cat", "dog"])
    return fit_adapter(rows, [0, 0, 1, 1], compiled)


def classified(sent: tuple[unseen.Classifier, Any, Any]) -> tuple[unseen.Prediction, str]:
    """In the other process."""
    classifier, labels, options = sent
    return classifier.classify(CAT, labels, **options), repr(classifier)


def encoded(encoder: Encoder) -> tuple[Any, Any]:
    return encoder.encode_images([CAT]), encoder.options


def decided(sent: tuple[unseen.Classifier, unseen.CompiledLabels, Decision]) -> unseen.Prediction:
    classifier, compiled, decision = sent
    stream = classifier.encoder.stream_images([CAT])
    return next(classifier.predictions(stream, compiled, decision))


def nearest(sent: tuple[unseen.Index, unseen.Classifier]) -> list[Any]:
    index, classifier = sent
    with index:
        return [e.name for e in index.view(classifier).encoded()]


def test_a_classifier_a_compiled_set_and_a_prediction(elsewhere: Map) -> None:
    options = unseen.LoadOptions(device="cpu", threads=1, exact=True)
    classifier = unseen.load(options)
    compiled = classifier.compile(LABELS)
    here = classifier.classify(CAT, compiled)
    sent = [(classifier, LABELS, {}), (classifier, compiled, {})]
    for there, shown in elsewhere(classified, sent):
        assert shown == "Classifier('builtin', fp32, cpu, exact)"
        assert [s.label for s in there.ranking] == [s.label for s in here.ranking]
        assert there.score == pytest.approx(here.score, abs=1e-5)
    # The same object by value, where nothing is computed anew.
    assert pickle.loads(pickle.dumps(here)) == here


def test_an_encoder_keeps_its_options(elsewhere: Map) -> None:
    options = unseen.LoadOptions(
        device="cpu", threads=1, limits=unseen.Limits(max_pixels=10_000_000)
    )
    encoder = unseen.load(options).encoder
    ((rows, known),) = elsewhere(encoded, [encoder])
    np.testing.assert_allclose(rows, encoder.encode_images([CAT]), atol=1e-6)
    assert known == options


def test_an_adapter_goes_with_its_classifier(elsewhere: Map, tmp_path: Path) -> None:
    adapter = adapter_of(unseen.load(device="cpu"))
    adapter.save(tmp_path / "pets.safetensors")
    adapted = unseen.load(device="cpu", adapter=tmp_path / "pets.safetensors")
    (tmp_path / "pets.safetensors").unlink()  # the other process needs no file of ours
    here = adapted.classify(CAT)
    ((there, shown),) = elsewhere(classified, [(adapted, None, {})])
    assert shown == "Classifier('builtin', fp32, cpu, adapted)"
    assert there.label == here.label
    assert there.score == pytest.approx(here.score, abs=1e-5)


def test_a_decision_with_its_calibration_and_ground(elsewhere: Map) -> None:
    classifier = unseen.load(device="cpu")
    compiled = classifier.compile(LABELS)
    from unseen.prediction.calibration import words_sha256

    calibration = Calibration(
        compiled.model,
        compiled.fingerprint,
        tuple(LABELS),
        words_sha256(compiled),
        multi_label=False,
        pictures=5,
        temperature=2.0,
    )
    decision = classifier.decision(calibration=calibration, unknown="auto")
    here = decided((classifier, compiled, decision))
    (there,) = elsewhere(decided, [(classifier, compiled, decision)])
    assert here.evidence is not None
    assert there.evidence == pytest.approx(here.evidence, abs=1e-3)
    assert there.score == pytest.approx(here.score, abs=1e-5)


def test_an_index_by_its_folder(elsewhere: Map, tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(CAT.read_bytes())
    classifier = unseen.load(device="cpu")
    with unseen.Index(tmp_path) as index:
        index.update(classifier.encoder)
        (names,) = elsewhere(nearest, [(index, classifier)])
    assert names == ["cat.jpg"]


def test_a_checkpoint_that_changed_is_refused(tmp_path: Path, shapes_clip: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in shapes_clip.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    pickled = pickle.dumps(unseen.load(folder))
    config = folder / "config.json"
    config.write_text(config.read_text("utf-8") + "\n", "utf-8")
    with pytest.raises(unseen.ModelError, match="another model here"):
        pickle.loads(pickled)


def test_what_holds_arrays_shows_none_of_them() -> None:
    classifier = unseen.load(device="cpu")
    compiled = classifier.compile(LABELS)
    assert repr(compiled) == "CompiledLabels('labels', 3 labels, 'builtin')"
    assert repr(classifier.encoder) == "Encoder('builtin', fp32, cpu)"
    assert "array" not in repr(adapter_of(classifier))
    assert "array" not in repr(classifier.decision(unknown="auto"))
