"""Checkpoints of a training: atomic and checksummed; the last two per seed are kept, in one folder."""

import logging
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

import graft
from graft.core.errors import ContentChangedError
from graft.core.files import fingerprint_of_code
from graft.core.tensors import checksum_path, load_tensors_and_facts, save_tensors

logger = logging.getLogger(__name__)

INTERVAL_S = 60.0
"""Time between two checkpoints, unless GRAFT_CHECKPOINT_EVERY_S sets another. Changes no result."""
NUM_KEPT = 2
PROGRESS = "progress"
BELONGS_TO = "belongs_to"
"""Key of the folder and name that a file was written for, so that files of other trainings are recognised."""
CODE = "code"
"""Key of the fingerprint of the code that wrote a checkpoint: other code may continue differently."""


class Checkpoints:
    """Checkpoints of one seed. The folder must be named after everything that the training's result depends on."""

    def __init__(self, folder: Path, name: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._name = name
        self._clock_s = clock_s
        self._interval_s = float(os.environ.get("GRAFT_CHECKPOINT_EVERY_S", INTERVAL_S))
        self._saved_s = clock_s()

    def is_due(self) -> bool:
        return self._clock_s() - self._saved_s >= self._interval_s

    def save(self, step: int, tensors: dict[str, Tensor], progress: dict[str, Any]) -> None:
        """Writes a checkpoint; on a full disk the previous one is kept, and the training continues."""
        path = self._folder / f"{self._name}-step_{step:09d}.safetensors"
        facts = {BELONGS_TO: owner_of(self._folder, self._name), CODE: _code(), PROGRESS: progress}
        try:
            save_tensors(path, tensors, facts)
        except OSError as error:
            _remove(path)
            logger.warning(
                f"  no checkpoint at step {step}: {error}. The previous one is kept, and training continues."
            )
        else:
            for old in self._found()[NUM_KEPT:]:
                _remove(old)
        self._saved_s = self._clock_s()

    def latest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and progress of the latest valid checkpoint; others are skipped with a message."""
        for path in self._found():
            try:
                tensors, facts = load_tensors_and_facts(path)
            except (ContentChangedError, OSError) as error:
                logger.warning(f"  skipping a checkpoint: {error}")
                continue
            if not is_owned(facts, self._folder, self._name):
                logger.warning(f"  skipping a checkpoint: {path} was written for another training. Delete it.")
            elif facts[CODE] != _code():
                logger.warning(f"  removing a checkpoint that another version of the code wrote: {path}")
                _remove(path)
            else:
                return tensors, facts[PROGRESS]
        return None

    def clear(self) -> None:
        """Removes all checkpoints, and what a kill left while one was written or removed."""
        for pattern in (f"{self._name}-step_*", f".{self._name}-step_*.part"):
            for path in self._folder.glob(pattern):
                path.unlink(missing_ok=True)

    def _found(self) -> list[Path]:
        """Checkpoint files, the newest first."""
        return sorted(self._folder.glob(f"{self._name}-step_*.safetensors"), reverse=True)


def owner_of(folder: Path, name: str) -> list[str]:
    """Value of BELONGS_TO."""
    return [folder.name, name]


def is_owned(facts: dict[str, Any], folder: Path, name: str) -> bool:
    return facts.get(BELONGS_TO) == owner_of(folder, name)


@cache
def _code() -> str:
    return fingerprint_of_code(Path(graft.__file__).parent)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    checksum_path(path).unlink(missing_ok=True)
