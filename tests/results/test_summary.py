"""What a run came to, in a line and as data."""

from __future__ import annotations

import json

from unseen.results.summary import RunSummary


def test_the_line_says_all_that_there_is() -> None:
    summary = RunSummary(pictures=120, errors=1, seconds=4.0)
    for label, count in [("cat", 60), ("dog", 50), (None, 9)]:
        for _ in range(count):
            summary.answer(label)
    summary.left_out = {"HEIC": 3, "video": 1, "other": 2}
    assert str(summary) == (
        "119 read, 9 unknown, 1 failed; cat 60, dog 50; 4.0 s, 30.0 pictures a second; "
        "left out: 3 HEIC (pip install unseen[heif]), 1 video (unseen video reads it), 2 others."
    )
    facts = json.loads(json.dumps(summary.to_dict()))
    assert facts["answers"] == {"cat": 60, "dog": 50} and facts["unknown"] == 9
    assert facts["left_out"] == summary.left_out and facts["seconds"] == 4.0


def test_few_labels_are_shown_and_none_can_steer_a_terminal() -> None:
    summary = RunSummary(pictures=8, seconds=0.01)
    for label in ["a\x1b[31m", "a\x1b[31m", *"bcdefg"]:
        summary.answer(label)
    line = str(summary)
    assert r"a\x1b[31m 2, b 1, c 1, d 1, e 1 and 2 more labels" in line
    assert line.endswith("0.0 s, 800 pictures a second.")


def test_a_run_that_had_nothing_to_do_says_so() -> None:
    assert str(RunSummary(earlier=120)) == "Nothing left to do: 120 were done before."
    line = str(RunSummary(pictures=20, earlier=1200, seconds=1.0))
    assert line == "20 read, 1,200 done before; 1.0 s, 20.0 pictures a second."
