"""Formatting of the numbers of the page."""

from graft.core import percentages
from graft.core.artifacts import Interval

NO_BREAK = "\N{NO-BREAK SPACE}"
SMALLEST_P_SHOWN = 0.0001


def percent(share: float | None) -> str:
    return "–" if share is None else percentages.percent(share, NO_BREAK)


def percent_range(interval: Interval) -> str:
    return percentages.percent_range(interval, NO_BREAK)


def points(gain: float) -> str:
    return f"{gain:+.1f}".replace("-", "\N{MINUS SIGN}")


def points_range(interval: Interval) -> str:
    return f"{points(interval.low)} to {points(interval.high)}"


def decimals(value: float, places: int) -> str:
    return f"{value:.{places}f}".replace("-", "\N{MINUS SIGN}")


def decimals_range(interval: Interval, places: int) -> str:
    return f"{decimals(interval.low, places)} to {decimals(interval.high, places)}"


def p_value(p: float) -> str:
    text = f"p < {SMALLEST_P_SHOWN:.4f}" if p < SMALLEST_P_SHOWN else f"p = {p:.4f}"
    return text.replace(" ", NO_BREAK)
