"""Seeds whose training collapsed, reported so that nobody takes bad luck for a property of the method. S seeds."""

from collections.abc import Sequence

import numpy as np

from graft.core.arms import BASELINE

ONE_IN = 10
"""Number of runs of which one is assumed to collapse without having been observed."""
KEPT_SHARE = 0.5
"""Share of the median seed's accuracy above guessing below which a seed has collapsed."""


def collapsed_seeds(seeds: Sequence[int], accuracy_S: Sequence[float], guessing: float) -> list[int]:
    """Seeds that lost more than half of the median seed's accuracy above guessing.

    Args:
        accuracy_S: test accuracy of each seed, 0..1.
        guessing: accuracy of always predicting the most frequent class, 0..1.
    """
    least = guessing + KEPT_SHARE * (float(np.median(accuracy_S)) - guessing)
    if least <= guessing:  # the whole arm is no better than guessing
        return []
    return [seed for seed, accuracy in zip(seeds, accuracy_S, strict=True) if accuracy < least]


def collapse_in_words(arm: str, seeds: Sequence[int], accuracy_S: Sequence[float], collapsed: Sequence[int]) -> str:
    """Sentence that names the collapsed seeds; empty if none collapsed."""
    if not collapsed:
        return ""
    of_seed = dict(zip(seeds, accuracy_S, strict=True))
    named = ", ".join(f"seed {seed} ({of_seed[seed]:.1%})" for seed in collapsed)
    return (
        f"{len(collapsed)} of {len(seeds)} {arm} runs collapsed: {named}, where the median run reaches "
        f"{np.median(accuracy_S):.1%}; more seeds (check_transfer.max_seeds) would show how often that happens."
    )


def unseen_collapse_in_words(gain_high_points: float, accuracy_S: Sequence[float], guessing: float) -> str:
    """Warning that a loss would no longer be significant if one in ten runs from scratch collapsed, which so few runs
    seldom show; empty if it would still be significant.

    Args:
        gain_high_points: upper end of the interval of the mean gain; below 0.
        accuracy_S: test accuracy (0..1) of each run from scratch, none of which collapsed.
        guessing: see `collapsed_seeds`.
    """
    cost_points = 100 * (float(np.mean(accuracy_S)) - guessing) / ONE_IN
    if gain_high_points + cost_points < 0:
        return ""
    unseen = (1 - 1 / ONE_IN) ** len(accuracy_S)
    return (
        f"This only covers runs that do not collapse: none of the {len(accuracy_S)} runs {BASELINE.how} did, but if "
        f"one in {ONE_IN} does, {unseen:.0%} of such experiments see none, and the mean {BASELINE.how} is "
        f"{cost_points:.1f} points lower, so the loss would no longer be significant."
    )
