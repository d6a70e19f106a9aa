"""The rules: each examines a few numbers of a training and returns what is wrong with them, or None.

B batch, C channels, H height, W width, N samples, K classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, mannwhitneyu

from graft.core.finite import NO_CLASS, loss_or_worst, predicted_classes
from graft.statistics.distances import frechet_distances
from graft.watch.findings import Thresholds


def vanishing_gradients(streaks: dict[str, int], smallest: float, limits: Thresholds) -> str | None:
    """
    Args:
        streaks: block -> number of consecutive sampled steps with too small a gradient.
    """
    lost = [block for block, streak in streaks.items() if streak >= limits.vanishing_samples]
    if not lost:
        return None
    return f"gradients of block {_listed(lost)} are down to {smallest:.1e} on average"


def exploding_gradients(
    loss: float,
    first_loss: float,
    norm: float | None,
    earlier_norms: Sequence[float],
    num_classes: int,
    limits: Thresholds,
) -> str | None:
    """
    Args:
        norm: norm of all gradients; None: not sampled.
    """
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if norm is not None and not math.isfinite(norm):
        return f"the norm of the gradients is {norm}"
    growth = loss / max(math.log(num_classes), first_loss if math.isfinite(first_loss) else 0.0)
    if growth > limits.largest_loss_growth:
        return f"the loss is {loss:.3g}, {growth:.0f} times that of the beginning"
    if norm is not None and len(earlier_norms) >= limits.growth_samples:
        median = float(np.median(earlier_norms))
        if norm > limits.largest_gradient_growth * median:
            return f"the norm of the gradients is {norm:.3g}, {norm / median:.0f} times what it was"
    return None


def validation_loss_not_finite(loss: float) -> str | None:
    """Divergence that no training loss shows: in the last step of an epoch, or in the moving average of weights."""
    return None if math.isfinite(loss) else f"the validation loss is {loss}"


def dead_activations(dead_shares: dict[str, float], limits: Thresholds) -> str | None:
    """
    Args:
        dead_shares: layer -> share of dead channels, 0..1.
    """
    layer = max(dead_shares, key=dead_shares.__getitem__, default=None)
    if layer is None or dead_shares[layer] < limits.dead_share:
        return None
    num_dead = sum(share >= limits.dead_share for share in dead_shares.values())
    return (
        f"{dead_shares[layer]:.0%} of the channels of {layer} give one value for every image "
        f"({num_dead} of {len(dead_shares)} layers with {limits.dead_share:.0%} or more)"
    )


@dataclass(frozen=True)
class EpochLosses:
    """Losses of an epoch."""

    train_loss: float
    validation_loss: float
    validation_error: float
    """Standard error of the validation loss over samples."""


def loss_not_decreasing(epochs: Sequence[EpochLosses], num_classes: int, limits: Thresholds) -> str | None:
    """Every later epoch is at least as high as the first, since a jump of the loss in one epoch may be recovered."""
    if len(epochs) < 2:
        return None
    first, lowest = epochs[0].train_loss, min(loss_or_worst(epoch.train_loss) for epoch in epochs[1:])
    guessing = math.log(num_classes)
    has_fallen = lowest < (1 - limits.smallest_loss_fall) * first and lowest < guessing
    if has_fallen or lowest < limits.still_guessing * guessing:
        return None
    return f"mean training loss {first:.4f} in the first epoch and never below {lowest:.4f} in {len(epochs) - 1} more"


def overfitting(epochs: Sequence[EpochLosses], limits: Thresholds) -> str | None:
    number, best = min(enumerate(epochs), key=lambda numbered: loss_or_worst(numbered[1].validation_loss))
    since, last = epochs[number + 1 :], epochs[-1]
    if len(since) < limits.overfitting_epochs or any(epoch.train_loss >= best.train_loss for epoch in since):
        return None
    rise = last.validation_loss - best.validation_loss
    least = max(limits.overfitting_rise * best.validation_loss, limits.overfitting_errors * last.validation_error)
    if not rise >= least:  # also true for NaN, which is a finding of another rule
        return None
    return (
        f"validation loss rose from {best.validation_loss:.3f} in epoch {number + 1} to {last.validation_loss:.3f}, "
        f"training loss fell from {best.train_loss:.3f} to {last.train_loss:.3f}"
    )


def head_learns_nothing(probabilities_NK: np.ndarray, labels_N: np.ndarray, limits: Thresholds) -> str | None:
    """The accuracy is not above that of the majority class, and the probabilities rank no class.

    Exact binomial test of the accuracy, Mann and Whitney's test of each class's probability, Bonferroni over classes.
    """
    counts_K = np.bincount(labels_N, minlength=probabilities_NK.shape[1])
    present = np.flatnonzero(counts_K)
    if len(present) < 2:
        return None
    predicted_N = predicted_classes(probabilities_NK)
    num_right = int((predicted_N == labels_N).sum())
    majority = counts_K.max() / len(labels_N)
    if binomtest(num_right, len(labels_N), majority, alternative="greater").pvalue < limits.nothing_learned_p:
        return None
    for k in present:
        inside, outside = probabilities_NK[labels_N == k, k], probabilities_NK[labels_N != k, k]
        ranked = mannwhitneyu(inside, outside, alternative="greater")
        if ranked.pvalue < limits.nothing_learned_p / len(present):
            return None
    most_predicted = np.bincount(predicted_N[predicted_N != NO_CLASS], minlength=1).max() / len(labels_N)
    return (
        f"validation accuracy {num_right / len(labels_N):.1%} where the largest class alone gives {majority:.1%}, "
        f"{most_predicted:.0%} of the predictions are one class, and no class is ranked above the others"
    )


def prediction_imbalance(probabilities_NK: np.ndarray, labels_N: np.ndarray, limits: Thresholds) -> str | None:
    """The class predicted far too often or too rarely, if the difference is significant and large.

    McNemar's exact test of each class (the same samples are predicted and labelled, so only disagreements count),
    Bonferroni over classes.
    """
    predicted_N = predicted_classes(probabilities_NK)
    num_classes = probabilities_NK.shape[1]
    found = []
    for k in range(num_classes):
        num_more = int(((predicted_N == k) & (labels_N != k)).sum())
        num_less = int(((predicted_N != k) & (labels_N == k)).sum())
        if num_more == num_less:
            continue
        p_value = binomtest(num_more, num_more + num_less).pvalue * num_classes
        predicted, labelled = (predicted_N == k).sum(), (labels_N == k).sum()
        factor = max(predicted, labelled) / max(min(predicted, labelled), 0.5)
        if p_value < limits.imbalance_p and factor >= limits.imbalance_factor:
            found.append((p_value, k, int(predicted), int(labelled)))
    if not found:
        return None
    p_value, k, num_predicted, num_labelled = min(found)
    return (
        f"class {k} is predicted {num_predicted} times in {len(labels_N)} and is the label of {num_labelled} "
        f"(p = {p_value:.1e})"
    )


def inputs_out_of_range(
    inputs_BCHW: np.ndarray, mean: Sequence[float], std: Sequence[float], limits: Thresholds
) -> str | None:
    """Inputs cannot be images 0..255 that were normalised by (image / 255 - mean) / std."""
    darkest_C, brightest_C = -np.array(mean) / std, (1 - np.array(mean)) / std
    lowest_C, highest_C = inputs_BCHW.min(axis=(0, 2, 3)), inputs_BCHW.max(axis=(0, 2, 3))
    if not np.isfinite(inputs_BCHW).all():
        return "inputs are not all finite numbers"
    range_C = brightest_C - darkest_C
    slack_C = limits.outside_range * range_C
    expected = f"normalised images are in {darkest_C.min():.3g} to {brightest_C.max():.3g}"
    seen = f"inputs are in {lowest_C.min():.3g} to {highest_C.max():.3g}, {expected}"
    if (lowest_C < darkest_C - slack_C).any() or (highest_C > brightest_C + slack_C).any():
        return seen
    if (highest_C - lowest_C < limits.smallest_input_range * range_C).all():
        return seen
    for brightest in (1.0, 255.0):  # exactly the range of images without normalisation
        is_whole = lowest_C.min() >= 0 and 0.8 * brightest <= highest_C.max() <= brightest
        if is_whole and np.abs(range_C - brightest).min() > slack_C.max():
            return f"{seen}: they look like images in 0 to {brightest:.0f}"
    return None


def inputs_unlike_the_source(shift: float, limits: Thresholds) -> str | None:
    if shift <= limits.preprocessing_deviations:
        return None
    return f"inputs are {shift:.1f} standard deviations from the statistics of the source's first BatchNorm"


def unchanged_tensors(names: Sequence[str], without_gradient: Sequence[str], num_steps: int) -> str | None:
    if not names:
        return None
    how = f"{len(without_gradient)} without a gradient" if without_gradient else "though they have gradients"
    return f"{len(names)} of the trainable tensors did not change in {num_steps} steps, {how}: {_listed(names)}"


def drift(source: list[list[float]], now: list[list[float]]) -> float:
    """Median over channels of the Frechet distance, in the source's standard deviations.

    Args:
        source: means and standard deviations of the channels, as `now`.
    """
    return float(np.median(frechet_distances(*np.array(now), *np.array(source))))


def batchnorm_drift(drifts: dict[str, float], limits: Thresholds) -> str | None:
    """
    Args:
        drifts: trained layer -> distance of its statistics from the source's.
    """
    far = [name for name, distance in drifts.items() if not distance <= limits.drift_deviations]
    if not far:
        return None
    worst = max(far, key=lambda name: loss_or_worst(drifts[name]))
    return f"the statistics of {len(far)} BatchNorms left the source's, {worst} by {drifts[worst]:.1f} deviations"


def frozen_batchnorms_moved(names: Sequence[str]) -> str | None:
    return f"the statistics of {len(names)} frozen BatchNorms changed: {_listed(names)}" if names else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
