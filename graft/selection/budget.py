"""A time budget, with a forecast for the next piece of work."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TimeBudget:
    """Budget of `seconds` that refuses work expected not to end in time, judged by earlier work of the same kind."""

    def __init__(self, seconds: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self.refused: list[str] = []
        """Descriptions of the refused work."""
        self._clock_s = clock_s
        self._started_s = clock_s()
        self._seconds_per_unit: dict[str, float] = {}

    @property
    def spent_s(self) -> float:
        return self._clock_s() - self._started_s

    def allows(self, kind: str, amount: float, description: str) -> bool:
        """True if `amount` of this kind of work, in units of the caller, is expected to end in time.

        A kind that was never timed is allowed while time is left. `description` is recorded if the work is refused.
        """
        forecast_s = amount * self._seconds_per_unit.get(kind, 0.0)
        is_allowed = self.spent_s < self.seconds and self.spent_s + forecast_s <= self.seconds
        if not is_allowed:
            self.refused.append(description)
        return is_allowed

    @contextmanager
    def timing(self, kind: str, amount: float) -> Iterator[None]:
        """Context that times its work; the slowest of a kind counts for forecasts."""
        before_s = self.spent_s
        yield
        speed = (self.spent_s - before_s) / max(amount, 1)
        self._seconds_per_unit[kind] = max(speed, self._seconds_per_unit.get(kind, 0.0))
