"""Spans in the tools that they are for, in environments of their own: Label Studio's own checks of
an interface and a prediction, and FiftyOne's importer, without its database.

They take minutes to install, and run where $UNSEEN_TEST_CLIENTS says so.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from environments import python_with
from films import counting, encode
from unseen.video.prediction import Event, Peak, VideoPrediction
from unseen.video.spans import fiftyone, label_studio

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(
        not os.environ.get("UNSEEN_TEST_CLIENTS"), reason="$UNSEEN_TEST_CLIENTS is not set"
    ),
]

LABEL_STUDIO = """
import json, sys
from label_studio_sdk.label_interface import LabelInterface
interface = LabelInterface(sys.argv[2])
for task in json.load(open(sys.argv[1])):
    assert interface.validate_task({"data": task["data"]})
    for prediction in task["predictions"]:
        assert interface.validate_prediction(prediction), prediction
print("ok")
"""
FIFTYONE = """
import json, sys
from fiftyone.core.metadata import VideoMetadata
from fiftyone.utils.data.importers import FiftyOneTemporalDetectionDatasetImporter
# What ffprobe would say, which is not there.
about = VideoMetadata(frame_rate=10.0, total_frame_count=30, duration=3.0)
VideoMetadata.build_for = staticmethod(lambda path, **options: about)
importer = FiftyOneTemporalDetectionDatasetImporter(data_path=sys.argv[1], labels_path=sys.argv[2])
importer.setup()
print(json.dumps([
    [path, [[one.label, *one.support, one.confidence] for one in label.detections]]
    for path, _, label, _ in importer
]))
"""


def predictions(folder: Path) -> list[VideoPrediction]:
    """Of two videos, in two folders."""
    paths = [encode(folder / name / "a.mp4", counting(30), rate=10) for name in ("x", "y")]
    return [
        VideoPrediction(
            str(path),
            events=(Event(str(path), label, 0.0, 1.0, 0.9, Peak(0.0, 0.9)),),
            seconds=3.0,
            rate=10.0,
        )
        for path, label in zip(paths, ("a dog", "a cat"), strict=True)
    ]


@pytest.fixture
def videos(tmp_path: Path) -> list[VideoPrediction]:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
    return predictions(tmp_path)


def interface() -> str:
    """The one that the docs show."""
    docs = (Path(__file__).parents[2] / "docs" / "video.md").read_text("utf-8")
    return docs[docs.index("<View>") : docs.index("</View>") + len("</View>")]


def test_label_studio_takes_tasks_and_interface(
    videos: list[VideoPrediction], tmp_path: Path
) -> None:
    python = python_with("label-studio-sdk", "label-studio-sdk==2.1.2")
    tasks = tmp_path / "tasks.json"
    tasks.write_text(json.dumps(label_studio(videos)))
    done = subprocess.run(
        [python, "-I", "-c", LABEL_STUDIO, tasks, interface()], capture_output=True, text=True
    )
    assert done.stdout == "ok\n", done.stderr


def test_fiftyone_imports_the_spans(videos: list[VideoPrediction], tmp_path: Path) -> None:
    python = python_with("fiftyone", "fiftyone==1.22.1")
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(fiftyone(videos)))
    done = subprocess.run(
        [python, "-I", "-c", FIFTYONE, tmp_path, labels],
        capture_output=True,
        text=True,
        env=os.environ | {"FIFTYONE_DISABLE_SERVICES": "1", "FIFTYONE_DO_NOT_TRACK": "1"},
    )
    imported = json.loads(done.stdout.splitlines()[-1])
    assert [(Path(path).parent.name, spans) for path, spans in imported] == [
        ("x", [["a dog", 1, 11, 0.9]]), ("y", [["a cat", 1, 11, 0.9]])
    ]  # fmt: skip
