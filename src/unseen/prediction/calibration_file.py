"""Which calibration is meant: the one that is given, or that beside the label file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

from unseen.errors import LabelError, UnseenWarning
from unseen.labels import label_file
from unseen.labels.compiled import CompiledLabels
from unseen.system import safetensors_file

if TYPE_CHECKING:
    from unseen.prediction.calibration import Calibration

SUFFIX = ".calibration.json"
AUTO = "auto"  # the calibration that lies beside a label file, where it fits


@dataclass(frozen=True)
class Beside:
    """The calibration that lies beside a label file.

    Parameters
    ----------
    path : Path
        Where it lies.
    calibration : Calibration
        What it holds.
    misfit : str, optional
        Why it cannot be used with these labels; None when it can.
    """

    path: Path
    calibration: Calibration
    misfit: str | None


def beside(labels: str | Path) -> Path:
    """The path of the calibration of a label file: labels.txt → labels.calibration.json."""
    path = Path(labels)
    return path.with_name(path.stem + SUFFIX)


def find_beside(
    labels: object, compiled: CompiledLabels, *, multi_label: bool = False
) -> Beside | None:
    """The calibration beside a label file: one rule for the command line and for Python.

    Parameters
    ----------
    labels : object
        What was given as labels. A Path is a file, and so is a str that ends as label files do.
    compiled : CompiledLabels
        The same, compiled.
    multi_label : bool
        The mode to be used with it.

    Returns
    -------
    Beside or None
        None where the labels are no file, or nothing lies beside it.

    Raises
    ------
    LabelError
        If what lies there cannot be read.
    """
    suffixes = {*label_file.READERS, safetensors_file.SUFFIX}
    if isinstance(labels, str) and Path(labels).suffix.lower() in suffixes:
        labels = Path(labels)
    if not isinstance(labels, Path) or not beside(labels).exists():
        return None
    path = beside(labels)
    calibration = loaded(path)
    return Beside(path, calibration, calibration.misfit(compiled, multi_label=multi_label))


def refuse_for_tiles(
    calibration: Calibration | str | Path | None,
    labels: object,
    compiled: CompiledLabels,
    *,
    multi_label: bool = False,
) -> None:
    """Say that tiles are answered without a calibration, which was learnt of whole pictures.

    Parameters
    ----------
    calibration, labels, compiled, multi_label
        As `calibration_for` takes them. One that lies beside the label file is a warning.

    Raises
    ------
    LabelError
        If one was given.
    """
    if calibration not in (None, AUTO):
        raise LabelError(
            "a calibration cannot be combined with tiles: it was learnt of whole pictures, and the "
            "best of many tiles has other scores; leave one of them out."
        )
    neighbour = calibration and find_beside(labels, compiled, multi_label=multi_label)
    if neighbour:
        warnings.warn(
            f"{neighbour.path} is not used: it was learnt of whole pictures, not of tiles.",
            UnseenWarning,
            stacklevel=3,
        )


def calibration_for(
    calibration: Calibration | str | Path | None,
    labels: object,
    compiled: CompiledLabels,
    *,
    multi_label: bool = False,
) -> Calibration | None:
    """What the argument `calibration` of a function of the library means.

    Parameters
    ----------
    calibration : Calibration, str, Path or None
        One, its file, or ``"auto"``: that beside the label file. One that does not fit there is not
        used, with a warning.
    labels, compiled, multi_label
        As `find_beside` takes them.

    Returns
    -------
    Calibration or None

    Raises
    ------
    LabelError
        If a file cannot be read.
    """
    if calibration != AUTO:
        return loaded(calibration)
    neighbour = find_beside(labels, compiled, multi_label=multi_label)
    if neighbour is None:
        return None
    if neighbour.misfit is not None:
        warnings.warn(
            f"{neighbour.path} is not used: {neighbour.misfit}.", UnseenWarning, stacklevel=3
        )
        return None
    return neighbour.calibration


@overload
def loaded(calibration: str | Path | Calibration) -> Calibration: ...
@overload
def loaded(calibration: str | Path | Calibration | None) -> Calibration | None: ...
def loaded(calibration: str | Path | Calibration | None) -> Calibration | None:
    """A calibration as it is, or read from its file.

    Raises
    ------
    LabelError
        If the file cannot be read.
    """
    if not isinstance(calibration, (str, Path)):
        return calibration
    from unseen.prediction.calibration import Calibration  # noqa: PLC0415 - most labels have none

    return Calibration.load(calibration)
