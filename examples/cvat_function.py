"""Tags for the pictures of a CVAT task, from a server of unseen.

    cvat-cli task auto-annotate 123 --function-file cvat_function.py \
        -p labels=str:cat,dog -p url=str:http://127.0.0.1:8000

The task needs these labels, of the type tag. Written against cvat-sdk 2.80.
"""

from __future__ import annotations

import base64
import io
import json
import urllib.request

import cvat_sdk.auto_annotation as cvataa
from PIL import Image


class Tags:
    """What CVAT calls for each picture."""

    def __init__(self, labels: str, url: str = "http://127.0.0.1:8000", key: str = "") -> None:
        self._labels = [label.strip() for label in labels.split(",")]
        self._url = url
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        self.spec = cvataa.DetectionFunctionSpec(
            labels=[cvataa.label_spec(name, i, type="tag") for i, name in enumerate(self._labels)]
        )

    def detect(self, context: cvataa.DetectionFunctionContext, image: Image.Image) -> list:
        file = io.BytesIO()
        image.convert("RGB").save(file, "PNG")
        body = {"image": base64.b64encode(file.getvalue()).decode(), "labels": self._labels}
        request = urllib.request.Request(
            f"{self._url}/v1/classify", json.dumps(body).encode(), self._headers
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            (found,) = json.load(answer)["predictions"]
        if found["score"] < (context.conf_threshold or 0):
            return []
        return [cvataa.tag(self._labels.index(found["label"]))]


create = Tags
