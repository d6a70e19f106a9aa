"""Numbers as the page shows them."""

from graft.core.artifacts import Interval

SMALLEST_P_SHOWN = 0.0001


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def percent_range(interval: Interval) -> str:
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}\N{NO-BREAK SPACE}%"


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
    return text.replace(" ", "\N{NO-BREAK SPACE}")
