"""Events as spans of labelling tools: tasks of Label Studio, temporal detections of FiftyOne."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from unseen.errors import SourceError
from unseen.video.prediction import Event, VideoPrediction

USUAL_RATE = 25.0  # frames a second, of a file that does not say
CONTROL, OBJECT = "videoLabels", "video"  # names in the labelling interface


def label_studio(predictions: Iterable[VideoPrediction]) -> list[dict[str, Any]]:
    """Tasks with a prediction each, for the import of Label Studio.

    Spans are frames, counted from 1, as its tag TimelineLabels has them: the interface needs
    ``<TimelineLabels name="videoLabels" toName="video">`` and ``<Video name="video"
    value="$video">``, with the file's own ``frameRate``.

    Parameters
    ----------
    predictions : iterable of VideoPrediction
        What `unseen.video.classify` gave.

    Returns
    -------
    list of dict
        Plain data for JSON.
    """
    return [
        {
            "data": {"video": prediction.source, "frame_rate": prediction.rate or USUAL_RATE},
            "predictions": [
                {
                    "model_version": "unseen",
                    "result": [
                        _region(event, prediction.rate or USUAL_RATE) for event in prediction.events
                    ],
                }
            ],
        }
        for prediction in predictions
    ]


def _region(event: Event, rate: float) -> dict[str, Any]:
    start = math.floor(event.start * rate) + 1
    return {
        "id": event.id,
        "from_name": CONTROL,
        "to_name": OBJECT,
        "type": "timelinelabels",
        "score": event.score,
        "value": {
            "ranges": [{"start": start, "end": max(start, math.ceil(event.end * rate))}],
            "timelinelabels": [event.label],
        },
    }


def fiftyone(predictions: Sequence[VideoPrediction]) -> dict[str, Any]:
    """The `labels.json` of a FiftyOneTemporalDetectionDataset; its spans are in seconds.

    Parameters
    ----------
    predictions : sequence of VideoPrediction
        What `unseen.video.classify` gave. A video goes by its path below the folder that all are
        in, without suffix: that folder is the ``data_path`` of the import.

    Returns
    -------
    dict
        Plain data for JSON.

    Raises
    ------
    SourceError
        If two videos differ by their suffix alone.
    """
    classes = sorted({event.label for one in predictions for event in one.events})
    names = fiftyone_names([one.source for one in predictions])
    return {
        "classes": classes,
        "labels": {
            name: [
                {
                    "label": classes.index(event.label),
                    "timestamps": [event.start, event.end],
                    "confidence": event.score,
                }
                for event in one.events
            ]
            for name, one in zip(names, predictions, strict=True)
        },
    }


def fiftyone_names(sources: Sequence[str | Path]) -> list[str]:
    """What FiftyOne calls videos; SourceError where it would take two for one."""
    paths = [Path(source).absolute() for source in sources]
    if not paths:
        return []
    folder = os.path.commonpath([path.parent for path in paths])
    names = [path.relative_to(folder).with_suffix("").as_posix() for path in paths]
    for name, path in zip(names, paths, strict=True):
        if names.count(name) > 1:
            raise SourceError(
                f"{path}: FiftyOne knows a video by its name without {path.suffix}, which another "
                "one has, too; rename one of them, or write a file of each."
            )
    return names
