"""Seconds that may be spent, and a forecast of what the next step will take."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Budget:
    """Keeps to `seconds` by not starting what would not end in time, judged by how long the same kind of work took."""

    def __init__(self, seconds: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self.refused: list[str] = []
        """What was not started, in words."""
        self._clock_s = clock_s
        self._started_s = clock_s()
        self._seconds_per_unit: dict[str, float] = {}

    @property
    def spent_s(self) -> float:
        return self._clock_s() - self._started_s

    def allows(self, kind: str, amount: float, description: str) -> bool:
        """Whether `amount` of this kind of work, in units of the caller's, would end in time.

        A kind that was not timed yet is allowed while anything is left. `description` is kept when it is not.
        """
        forecast_s = amount * self._seconds_per_unit.get(kind, 0.0)
        is_allowed = self.spent_s < self.seconds and self.spent_s + forecast_s <= self.seconds
        if not is_allowed:
            self.refused.append(description)
        return is_allowed

    @contextmanager
    def timing(self, kind: str, amount: float) -> Iterator[None]:
        """Times what runs inside; of several, the slowest counts."""
        before_s = self.spent_s
        yield
        speed = (self.spent_s - before_s) / max(amount, 1)
        self._seconds_per_unit[kind] = max(speed, self._seconds_per_unit.get(kind, 0.0))
