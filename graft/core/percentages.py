"""Shares (0..1) in percent, as reports, cards and claims write them."""

from graft.core.artifacts import Interval


def percent(share: float, space: str = " ") -> str:
    """
    >>> percent(0.9312)
    '93.1 %'
    """
    return f"{100 * share:.1f}{space}%"


def percent_range(interval: Interval, space: str = " ") -> str:
    """
    >>> percent_range(Interval(mean=0.93, low=0.91, high=0.95))
    '91.0 to 95.0 %'
    """
    return f"{100 * interval.low:.1f} to {percent(interval.high, space)}"


def percent_with_range(interval: Interval) -> str:
    """
    >>> percent_with_range(Interval(mean=0.93, low=0.91, high=0.95))
    '93.0% [91.0%, 95.0%]'
    """
    return f"{interval.mean:.1%} [{interval.low:.1%}, {interval.high:.1%}]"
