"""The label files of a server: each is a stored set, read again when it changes."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

from unseen.errors import LabelError, UnseenError
from unseen.labels.label_set import LabelSet
from unseen.prediction.calibration import Calibration
from unseen.prediction.calibration_file import beside
from unseen.web.problems import Problem
from unseen.web.server.core.logs import LOGGER
from unseen.web.server.core.service import Service

logger = logging.getLogger(LOGGER)

SECONDS = 2.0  # between two checks


async def watch(service: Service, files: Sequence[Path]) -> None:
    """Checks the files for ever; a change is a new version, used as soon as it is compiled."""
    stamps = {file: _stamp(file) for file in files}
    while files:
        await asyncio.sleep(SECONDS)
        try:
            changed = [file for file in files if _stamp(file) != stamps[file]]
            stamps.update({file: _stamp(file) for file in changed})
            if changed and service.ready:
                await reload(service, changed)
        except Exception:  # a file that is put right must still be seen
            logger.exception("label files not checked")


async def reload(service: Service, files: Sequence[Path]) -> None:
    """Reads files into the store. One that cannot be read is logged, and its last version stays;
    so does a calibration, as long as the labels are the same."""
    for file in files:
        fields = {"file": file.name}
        try:
            loop = asyncio.get_running_loop()
            label_set = await loop.run_in_executor(None, _read, file)
            try:
                calibration = await loop.run_in_executor(None, _calibration, file)
            except LabelError as error:
                calibration = await service.label_service.calibration_of(file.stem, label_set)
                instead = "none" if calibration is None else "the one before"
                damage = {**fields, "error": str(error), "used": instead}
                logger.error("calibration not used", extra={"fields": damage})
            stored, _ = await service.label_service.put_set(file.stem, label_set, calibration)
        except (UnseenError, Problem) as error:
            logger.error("label file not used", extra={"fields": {**fields, "error": str(error)}})
            continue
        except Exception as error:  # the other files are read, and this one when it changes
            fields |= {"error": f"{type(error).__name__}: {error}"}
            logger.exception("label file not used", extra={"fields": fields})
            continue
        fields |= {"labelset": f"{stored.name}@{stored.version}", "status": stored.status}
        logger.info("label file", extra={"fields": fields})


def _read(file: Path) -> LabelSet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # duplicates are merged; the log need not say so
        return LabelSet.of(file)


def _calibration(file: Path) -> Calibration | None:
    """What `unseen calibrate` wrote beside the labels."""
    path = beside(file)
    return Calibration.load(path) if path.exists() else None


def _stamp(file: Path) -> tuple[tuple[int, int] | None, ...]:
    return tuple(_stamp_of(path) for path in (file, beside(file)))


def _stamp_of(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
