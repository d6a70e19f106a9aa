"""Curves in MLflow while a training runs. An effect never costs a result: a child process writes them.

MLflow takes seconds to import and a server may be slow, hang or be dead; a thread would share Python's lock with the
training. Here an epoch costs one line in a pipe, which is never waited for.
"""

import json
import logging
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import graft
from graft.core.errors import PreemptedError
from graft.training.observer import EpochRecord, TrainingObserver

logger = logging.getLogger(__name__)

EXPERIMENT = "graft-live"
"""Not that of finished results: a live run is one training, which may never become part of any."""
STARTED_AFTER_S = 10.0
"""Trainings that end sooner have no live curve, and so no cost."""
CLOSED_WITHIN_S = 10.0
"""Longest wait for MLflow to take the last epochs when all trainings have ended."""
STOPPED_WITHIN_S = 2.0
"""The same where the training was stopped or failed."""
MAX_WAITING = 10_000
"""Messages that wait for a slow MLflow."""


class LiveCurves:
    """Writes one run in MLflow for each training, as long as it is entered.

    What fails is said once, and no more is tried.
    """

    def __init__(
        self,
        address: str | None,
        artifact_root: str | None,
        *,
        started_after_s: float = STARTED_AFTER_S,
        closed_within_s: float = CLOSED_WITHIN_S,
    ) -> None:
        """
        Args:
            address: of MLflow; None: nothing is written.
            artifact_root: see `graft.core.paths.artifact_root`.
        """
        self._settings = {"address": address, "artifact_root": artifact_root, "experiment": EXPERIMENT}
        self._started_after_s, self._closed_within_s = started_after_s, closed_within_s
        self._waiting: deque[bytes] = deque()
        self._writer: subprocess.Popen[bytes] | None = None
        self._is_given_up = address is None
        self._entered_s = 0.0

    def __enter__(self) -> Self:
        self._entered_s = time.monotonic()
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_error: object) -> None:
        self._close(self._closed_within_s if error_type is None else min(STOPPED_WITHIN_S, self._closed_within_s))

    @contextmanager
    def run(self, training: str, name: str, tags: dict[str, str]) -> Iterator[TrainingObserver]:
        """The observer of one training, whose run ends with it.

        Args:
            training: shared by no other training; one that is stopped and goes on goes on in its run.
        """
        self.send({"training": training, "name": name, "tags": tags})
        status = "FAILED"
        try:
            yield _LiveRun(self, training)
            status = "FINISHED"
        except (PreemptedError, KeyboardInterrupt):
            status = "KILLED"
            raise
        finally:
            self.send({"training": training, "status": status})

    def send(self, message: dict[str, Any]) -> None:
        """Hands a message over, or keeps it for the next time; returns within a millisecond."""
        if self._is_given_up:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._give_up(f"MLflow has left {MAX_WAITING} messages unread.")
            return
        self._waiting.append(json.dumps(message).encode() + b"\n")
        if time.monotonic() - self._entered_s >= self._started_after_s:
            self._writer = self._writer or self._started()
            self._flush()

    def _started(self) -> subprocess.Popen[bytes]:
        library = str(Path(graft.__file__).parents[1])
        path = os.pathsep.join([library, *filter(None, [os.environ.get("PYTHONPATH")])])
        writer = subprocess.Popen(
            [sys.executable, "-m", "graft.training.live_writer"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path}, bufsize=0,
        )  # fmt: skip
        assert writer.stdin is not None
        os.set_blocking(writer.stdin.fileno(), False)
        self._waiting.appendleft(json.dumps(self._settings).encode() + b"\n")
        return writer

    def _flush(self) -> None:
        """Writes as many messages as the pipe takes at once; one of less than 4096 bytes is written whole or not."""
        assert self._writer is not None
        assert self._writer.stdin is not None
        try:
            while self._waiting and self._writer.stdin.write(self._waiting[0]) is not None:
                self._waiting.popleft()
        except BrokenPipeError:
            self._give_up(self._reason())

    def _close(self, within_s: float) -> None:
        if self._writer is None or self._is_given_up:
            return
        end_s = time.monotonic() + within_s
        assert self._writer.stdin is not None
        while self._waiting and not self._is_given_up and time.monotonic() < end_s:
            self._flush()
            time.sleep(0.01)
        if self._is_given_up:
            return
        self._writer.stdin.close()
        try:
            if self._writer.wait(max(0.0, end_s - time.monotonic())) != 0:
                self._give_up(self._reason())
        except subprocess.TimeoutExpired:
            self._give_up(f"MLflow has not taken the last epochs within {within_s:g} s.")

    def _reason(self) -> str:
        """The last line of a writer that has ended."""
        assert self._writer is not None
        assert self._writer.stdout is not None
        lines = self._writer.stdout.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"the process that writes them ended with exit code {self._writer.wait()}."

    def _give_up(self, reason: str) -> None:
        self._is_given_up = True
        self._waiting.clear()
        if self._writer is not None:
            self._writer.kill()
            self._writer.wait()
        logger.warning(f"  no more live curves: {reason} The training and its results do not need them.")


class _LiveRun(TrainingObserver):
    def __init__(self, curves: LiveCurves, training: str) -> None:
        self._curves, self._training = curves, training

    def resume(self, _step: int, curve: Sequence[EpochRecord]) -> None:
        for record in curve:
            self.after_epoch(record)

    def after_epoch(self, record: EpochRecord) -> None:
        time_ms = int(1000 * time.time())
        self._curves.send({"training": self._training, "record": asdict(record), "time_ms": time_ms})
