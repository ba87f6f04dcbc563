"""Lets torchvision be imported beside a build of torch that its compiled part was not made for.

OpenCLIP and timm, two of the judges, import it; nothing here needs what it has compiled.
"""

from __future__ import annotations

import sys

import torch

OPERATORS = ("nms", "qnms")  # what its Python files expect to find registered


def mend() -> None:
    """Import torchvision; where that fails for want of its operators, declare them first."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        mend.library = torch.library.Library("torchvision", "DEF")  # type: ignore[attr-defined]
        for operator in OPERATORS:
            mend.library.define(  # type: ignore[attr-defined]
                f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
        import torchvision  # noqa: F401
