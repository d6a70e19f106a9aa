"""The sentences that a comparison's numbers support."""

from graft.core.arms import BASELINE
from graft.core.artifacts import Interval
from graft.core.percentages import percent
from graft.statistics.units import MIN_UNITS
from graft.transfer.compare import MIN_SEEDS_TO_FORECAST, Comparison
from graft.transfer.longer_training import LongerTraining
from graft.transfer.verdict import rests_on_runs


def claim_of(
    comparison: Comparison, *, alpha: float, source: str, compute_ratio: float, convergence: str, remarks: list[str]
) -> str:
    """The one sentence that the numbers support.

    Args:
        remarks: sentences that must accompany the claim; empty ones are skipped.
    """
    budget = f"a model trained {BASELINE.how} with {compute_ratio:.2f} times the compute ({convergence})"
    confidence = f"at {100 * (1 - alpha):g} % confidence"
    interval = f"{comparison.gain_points.in_points} {confidence}"
    claim = {
        "positive": f"Starting from {source} beats {budget} by {interval}.",
        "negative": f"Negative transfer: starting from {source} is worse than {budget}, by "
        f"{comparison.gain_points.in_points_worse} {confidence}.",
        "equivalent": f"No difference that matters between starting from {source} and {budget}: {interval}.",
        "inconclusive": f"No difference shown between starting from {source} and {budget}: {interval}.",
    }[comparison.verdict]
    if rests_on_runs(comparison.verdict, comparison.gain_points):
        claim = _claim_on_runs(comparison, source, budget, confidence)
    more = [units_in_words(comparison), would_decide(comparison), exaggeration_in_words(comparison)]
    return " ".join(filter(None, [claim, *more, *remarks]))


def _claim_on_runs(comparison: Comparison, source: str, budget: str, confidence: str) -> str:
    is_better = comparison.verdict == "positive"
    probability = comparison.improvement
    assert probability is not None  # what the verdict rests on
    if not is_better:
        probability = probability.complement
    share = comparison.share_of_pairs if is_better else 1 - comparison.share_of_pairs
    start = "A" if is_better else "Negative transfer: a"
    return (
        f"{start} run that starts from {source} is {'better' if is_better else 'worse'} than {budget} in "
        f"{share:.0%} of the pairs of runs; the probability for a further pair is {percent_of(probability)} "
        f"{confidence}. The mean gain itself is uncertain, since runs vary widely: {comparison.gain_points.in_points}."
    )


def percent_of(probability: Interval) -> str:
    """Probability in words, "99.8 % [70.1 %, over 99.9 %]"; never 0 or 100 % for certain."""
    return f"{_cautious(probability.mean)} [{_cautious(probability.low)}, {_cautious(probability.high)}]"


def _cautious(share: float) -> str:
    return "over 99.9 %" if share > 0.999 else "under 0.1 %" if share < 0.001 else percent(share)


def units_in_words(comparison: Comparison) -> str:
    """Warning that there are too few units for a verdict; empty if there are enough."""
    if comparison.num_units >= MIN_UNITS:
        return ""
    return (
        f"That rests on only {comparison.num_units} independent groups of test items, too few for a verdict: at least "
        f"{MIN_UNITS} groups are needed, and 20 or more to detect anything but a large difference."
    )


def would_decide(comparison: Comparison) -> str:
    """Number of seeds or test items that would decide an inconclusive verdict; empty if it is decided."""
    num_seeds = len(comparison.gain_points_per_seed)
    if comparison.verdict == "inconclusive" and num_seeds < MIN_SEEDS_TO_FORECAST:
        return f"{num_seeds} seeds are too few to say how many more seeds or test items would decide."
    needed = ((comparison.seeds_needed, "seeds"), (comparison.units_needed, "independent test items or groups"))
    more = [f"{number:,} {words}" for number, words in needed if number is not None]
    return f"{' or '.join(more)} in total would decide, if gain and variance stayed the same." if more else ""


def exaggeration_in_words(comparison: Comparison) -> str:
    """Gain corrected for the overestimation that comes with few units; empty if the correction is small."""
    gain, corrected = comparison.gain_points.mean, comparison.unexaggerated_points
    if comparison.verdict not in ("positive", "negative") or abs(gain) - abs(corrected) < 0.1 * abs(gain):
        return ""
    return (
        f"Differences that are only just significant, on {comparison.num_units:,} independent test items or groups, "
        f"are overestimated on average: corrected for that, this one is about {abs(corrected):.1f} points."
    )


def trials_in_words(num_transfer: int, num_baseline: int) -> str:
    """Warning that one arm was tuned more than the other; empty if they were tuned alike."""
    if num_transfer == num_baseline:
        return ""
    return (
        f"The comparison is biased: the search for learning rates had {num_transfer} trials for transfer and "
        f"{num_baseline} for the baseline (arms.search_s ended it)."
    )


def longer_claim(comparison: Comparison, convergence: LongerTraining, accuracy: Interval) -> str:
    """Sentence on which arm is ahead if the baseline arm is trained for longer."""
    found = {
        "positive": f"transfer is ahead by {comparison.gain_points.in_points}",
        "negative": f"the baseline is ahead by {comparison.gain_points.in_points_worse}",
        "equivalent": f"the two do not differ by an amount that matters, {comparison.gain_points.in_points}",
        "inconclusive": f"no difference shown, {comparison.gain_points.in_points}",
    }[comparison.verdict]
    reached = f"a test accuracy of {accuracy.mean:.1%}"
    if convergence.chosen_ratio == 1:
        return (
            f"Training the baseline longer (up to {convergence.longest_ratio:g} times) did not lower the validation "
            f"loss; with its own budget it reaches {reached}, and {found}."
        )
    limit = "until it no longer helped" if convergence.is_flat else "up to the limit, where it still improved"
    times = "twice" if convergence.chosen_ratio == 2 else f"{convergence.chosen_ratio:g} times"
    return f"Trained {limit} ({times} as long), the baseline reaches {reached}, and {found}."
