"""Our maps beside Chefer's, in torch: what they mark carries more of the answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import shapes
import unseen
from other_maps import Net, chefer
from unseen.explanation.parts import OpenedPicture
from unseen.explanation.trust import curve


def test_the_gap_is_above_that_of_full_gradient_chefer(shapes_clip: Path) -> None:
    clf, net = unseen.load(shapes_clip), Net(shapes_clip)
    explainer, compiled = clf.explainer(), clf.compile(shapes.labels())
    scale, shift = clf.model.preprocess.normalisation()
    thing = shapes.Thing
    scene = shapes.Scene((thing("red", "circle", "large"), thing("blue", "star", "small")), "above")
    gaps = []
    for seed in range(8):
        picture = explainer.parts_encoder.open(shapes.draw(scene, seed))
        assert isinstance(picture, OpenedPicture)
        (parts,) = explainer.parts_encoder.parts([picture])
        pixels = np.asarray(picture.pixels) * np.array(scale) + np.array(shift)
        tensor = torch.tensor(pixels).permute(2, 0, 1)[None].float()
        for label in ("a red circle", "a blue star"):
            direction = explainer.contrast(compiled, parts.embedding, label).direction
            maps = parts.scores(direction)[0], chefer(net, tensor, torch.tensor(direction))
            ours, theirs = (
                curve(explainer.masking, picture, scores, parts.embedding, direction)
                for scores in maps
            )
            if ours is not None and theirs is not None:
                gaps.append(ours.gap - theirs.gap)
    assert len(gaps) >= 12
    assert np.mean(gaps) >= 0.2, gaps
