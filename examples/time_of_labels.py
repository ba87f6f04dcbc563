"""How long each label was to be seen in videos, and where it was surest.

python time_of_labels.py "a dog,a cat,nobody" clip.mp4 …
"""

import sys
from collections import Counter

import unseen
from unseen import video

labels, *paths = sys.argv[1:]
classifier = unseen.load()
seconds: Counter[str] = Counter()
for path in paths:
    answer = video.classify(path, labels.split(","), classifier=classifier)
    if answer.error is not None:
        sys.stderr.write(f"{answer.error}\n")
    for event in answer.events:
        seconds[event.label] += event.end - event.start
        sys.stdout.write(f"{path} at {event.peak.time:.1f} s: {event.label}\n")
for label, time in seconds.most_common():
    sys.stdout.write(f"{label}: {time:.1f} s\n")
