"""Preemption by SIGTERM: progress is saved, and the process ends."""

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any, Protocol, Self

from graft.core.errors import PreemptedError


class StopSignal(Protocol):
    def is_set(self) -> bool: ...
    def asked_for(self) -> AbstractContextManager[None]:
        """Context in which `is_set` is checked after every step."""
        ...


class Preemption:
    """Context in which SIGTERM stops a training at its next step, and other work at once."""

    def __init__(self) -> None:
        self._is_requested = False
        self._is_asked_for = False
        self._handler_before: Any = None

    def __enter__(self) -> Self:
        self._handler_before = signal.signal(signal.SIGTERM, self._request)
        return self

    def __exit__(self, *_error: object) -> None:
        signal.signal(signal.SIGTERM, self._handler_before)

    @contextmanager
    def asked_for(self) -> Iterator[None]:
        """Context in which the caller checks `is_set` every few seconds."""
        self._is_asked_for = True
        try:
            yield
        finally:
            self._is_asked_for = False

    def is_set(self) -> bool:
        return self._is_requested

    def _request(self, _signal: int, _frame: FrameType | None) -> None:
        self._is_requested = True
        if not self._is_asked_for:
            raise PreemptedError("stopped by SIGTERM. What is finished is kept; the same command resumes from there.")
