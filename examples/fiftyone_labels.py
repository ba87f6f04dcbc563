"""Labels for the pictures of a FiftyOne dataset, from a server of unseen.

python fiftyone_labels.py DATASET cat,dog [http://127.0.0.1:8000]
"""

import base64
import json
import sys
import urllib.request
from pathlib import Path

import fiftyone as fo

name, labels, url = [*sys.argv[1:], "http://127.0.0.1:8000"][:3]
for sample in fo.load_dataset(name).iter_samples(autosave=True, progress=True):
    picture = base64.b64encode(Path(sample.filepath).read_bytes()).decode()
    body = json.dumps({"image": picture, "labels": labels.split(",")}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/classify", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        (found,) = json.load(answer)["predictions"]
    sample["unseen"] = fo.Classification(label=found["label"], confidence=found["score"])
