"""What the tests of jobs plan: labels, and the names of the pictures that are broken."""

from __future__ import annotations

LABELS = ["a red circle", "a blue square", "a green triangle"]
BROKEN = ("04.png", "09.png")
