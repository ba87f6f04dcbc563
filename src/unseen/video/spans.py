"""Events as spans of labelling tools: tasks of Label Studio, temporal detections of FiftyOne."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

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
        What `unseen.video.classify` gave. A video goes by the name of its file, without suffix.

    Returns
    -------
    dict
        Plain data for JSON.
    """
    classes = sorted({event.label for one in predictions for event in one.events})
    return {
        "classes": classes,
        "labels": {
            Path(one.source).stem: [
                {
                    "label": classes.index(event.label),
                    "timestamps": [event.start, event.end],
                    "confidence": event.score,
                }
                for event in one.events
            ]
            for one in predictions
        },
    }
