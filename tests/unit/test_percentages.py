"""Shares in percent."""

import doctest

from graft.core import percentages
from graft.core.artifacts import Interval


def test_the_examples_of_percentages_hold() -> None:
    found = doctest.testmod(percentages)
    assert (found.failed, found.attempted) == (0, 3)


def test_the_complement_of_an_interval_turns_its_ends() -> None:
    assert Interval(mean=0.75, low=0.5, high=0.875).complement == Interval(mean=0.25, low=0.125, high=0.5)
