"""Changes since the last accepted run: n samples compared, m accepted, K bins.

The population stability index of two samples is the symmetrised Kullback-Leibler divergence of their bin shares,
sum_k (p_k - q_k) ln(p_k / q_k). Without a shift it is (1/n + 1/m) times a chi-squared variable with K - 1 degrees of
freedom (Yurdakul & Naranjo 2020, "Statistical properties of the population stability index"), so most small samples
exceed a fixed limit of 0.1. The threshold here is that variable's quantile, or `min_psi` if that is larger: a shift
must be both more than chance and large enough to matter.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import chi2

from graft.core.artifacts import Artifact
from graft.core.errors import ContentChangedError
from graft.validation.result import ChangedQuantity

BINS_PER_OCTAVE = 8
"""Bins of width and height; each is 9 % wide."""
BRIGHTNESS_BINS = 50
MAX_BINS = 10
MAX_CLASS_BINS = 50
"""Numbers to which neighbouring bins (or classes, by name) are merged, with equal shares of both samples."""
MIN_PER_BIN = 5
"""Expected count per bin in the smaller sample; below it the chi-squared law fails, so more bins are merged."""
SMOOTHING = 0.5
"""Number added to each count, so that an empty bin does not make the index infinite."""
MAX_REMOVED_PER_ADDED = 0.05
"""Share of removals up to which the difference of the counts still represents the arrivals."""
NUM_NAMED = 10

Counts = dict[str, int]


class DataSummary(Artifact):
    """Summary of the usable samples; a bin is named by its lower edge."""

    NAME: ClassVar = "validation/data_summary.json"

    manifest_sha256: str
    num_samples: int
    classes: Counts
    widths: Counts
    heights: Counts
    brightness: Counts


def summarise_data(samples: pd.DataFrame, manifest_sha256: str) -> DataSummary:
    """Summarises `samples`, which needs is_usable, label, width, height (px) and brightness (0..1)."""
    usable = samples[samples["is_usable"] == 1]
    return DataSummary(
        manifest_sha256=manifest_sha256,
        num_samples=len(usable),
        classes={str(name): int(num) for name, num in usable["label"].value_counts().sort_index().items()},
        widths=_by_size(usable["width"]),
        heights=_by_size(usable["height"]),
        brightness=_by_brightness(usable["brightness"]),
    )


def load_accepted(path: Path) -> DataSummary | None:
    """Summary of the last accepted run; None if there is none.

    Raises:
        ContentChangedError: the file is not what a flow wrote.
    """
    if not path.exists():
        return None
    try:
        return DataSummary.load(path)
    except ContentChangedError as error:
        raise ContentChangedError(
            f"{path} is not the summary of an accepted run's data. Restore it with: git checkout -- {path.name}; or "
            "delete it: then the next run is not compared, and writes a new one if it is accepted."
        ) from error


def compare(
    current: DataSummary, accepted: DataSummary | None, *, alpha: float, min_psi: float
) -> list[ChangedQuantity]:
    """One entry per quantity; `alpha` is the probability that any of the four shifts is a false alarm.

    If samples were only added (or hardly any removed), only the arrivals are compared with the accepted data: otherwise
    the old images would mask a changed camera.
    """
    if accepted is None:
        return [_not_compared(name, "no accepted run yet") for name in [*CLASS_QUANTITIES, *SHIFTS]]
    new = sorted(current.classes.keys() - accepted.classes)
    missing = sorted(accepted.classes.keys() - current.classes)
    if new and len(missing) == len(accepted.classes):
        reason = "not compared: the accepted run had entirely different classes"
        others = [_not_compared(name, reason) for name in ["missing_classes", "lost_samples", *SHIFTS]]
        return [_classes("new_classes", new, current, accepted), *others]
    arrivals = _arrivals(current, accepted)
    lost = max(0.0, 1 - current.num_samples / max(accepted.num_samples, 1))
    return [
        _classes("new_classes", new, current, accepted),
        _classes("missing_classes", missing, current, accepted),
        ChangedQuantity(
            quantity="lost_samples", statistic=lost, threshold=0.0, num_accepted=accepted.num_samples,
            num_compared=current.num_samples,
            details=f"{current.num_samples:,} samples, {accepted.num_samples:,} in the accepted run",
        ),
        *(
            _shift(name, getattr(current, field), getattr(accepted, field), arrivals[field] if arrivals else None,
                   alpha=alpha / len(SHIFTS), min_psi=min_psi)
            for name, field in SHIFTS.items()
        ),
    ]  # fmt: skip


def stability_index(first: np.ndarray, second: np.ndarray) -> float:
    """Smoothed PSI of two arrays of counts over the same K bins."""
    p_K, q_K = (
        (counts + SMOOTHING) / (counts.sum() + SMOOTHING * len(counts)) for counts in (first, second)
    )  # fmt: skip
    return float(((p_K - q_K) * np.log(p_K / q_K)).sum())


def chance_threshold(num_first: int, num_second: int, num_bins: int, alpha: float) -> float:
    """Threshold that the PSI of two samples of one population exceeds with probability `alpha`."""
    return float(chi2.ppf(1 - alpha, num_bins - 1) * (1 / num_first + 1 / num_second))


def merged_bins(first: np.ndarray, second: np.ndarray, max_bins: int) -> np.ndarray:
    """Number of the merged bin (0, 1, ...) of each bin, the same for both samples.

    Shares are averaged over both samples, so that a bin which only the smaller one fills is not lost. Merging by share
    instead of picking the well-filled bins keeps the probability of a false alarm at alpha.
    """
    num_bins = int(np.clip(min(first.sum(), second.sum()) // MIN_PER_BIN, 1, max_bins))
    share = (first / first.sum() + second / second.sum()) / 2
    middle = np.cumsum(share) - share / 2
    return np.unique(np.minimum((middle * num_bins).astype(int), num_bins - 1), return_inverse=True)[1]


def _shift(
    name: str, current: Counts, accepted: Counts, arrivals: Counts | None, *, alpha: float, min_psi: float
) -> ChangedQuantity:
    compared = current if arrivals is None else arrivals
    what = "samples" if arrivals is None else "arrivals"
    num_accepted, num_compared = sum(accepted.values()), sum(compared.values())
    if current == accepted:
        return _not_compared(name, "as in the accepted run", num_accepted, num_accepted, is_judged=True)
    if min(num_accepted, num_compared) < 2 * MIN_PER_BIN:
        reason = f"not judged: {num_compared:,} {what} and {num_accepted:,} accepted are too few"
        return _not_compared(name, reason, num_accepted, num_compared)
    is_number = name != "label_share"
    bins = sorted({*compared, *accepted}, key=float if is_number else None)
    first, second = (np.array([counts.get(key, 0) for key in bins]) for counts in (compared, accepted))
    group = merged_bins(first, second, MAX_BINS if is_number else MAX_CLASS_BINS)
    first_K, second_K = np.bincount(group, first), np.bincount(group, second)
    statistic = stability_index(first_K, second_K)
    threshold = min_psi
    if len(first_K) > 1:
        threshold = max(min_psi, chance_threshold(num_compared, num_accepted, len(first_K), alpha))
    details = f"PSI {statistic:.3f}, at most {threshold:.3f}: {num_compared:,} {what} against {num_accepted:,} accepted"
    if statistic > threshold:
        details += "; " + _largest_shifts(name, bins, group, first_K / num_compared, second_K / num_accepted)
    return ChangedQuantity(
        quantity=name, statistic=statistic, threshold=threshold, num_accepted=num_accepted, num_compared=num_compared,
        details=details,
    )  # fmt: skip


def _largest_shifts(name: str, bins: list[str], group: np.ndarray, now_K: np.ndarray, before_K: np.ndarray) -> str:
    shown = np.argsort(-np.abs(now_K - before_K), kind="stable")[:3]
    names = []
    for number in shown:
        members = [key for key, its_group in zip(bins, group, strict=True) if its_group == number]
        if name == "label_share":
            label = ", ".join(members[:3]) + (f" and {len(members) - 3} more" if len(members) > 3 else "")
        else:
            label = f"from {members[0]}" + (f" to {members[-1]}" if len(members) > 1 else "")
        names.append(f"{label}: {before_K[number]:.1%} -> {now_K[number]:.1%}")
    return ", ".join(names)


def _arrivals(current: DataSummary, accepted: DataSummary) -> dict[str, Counts] | None:
    """Counts of samples added to the accepted data, per field; None if more than a few were removed."""
    arrivals: dict[str, Counts] = {}
    for field in SHIFTS.values():
        now, before = getattr(current, field), getattr(accepted, field)
        differences = {key: now.get(key, 0) - before.get(key, 0) for key in {**now, **before}}
        arrivals[field] = {key: difference for key, difference in differences.items() if difference > 0}
        num_removed = -sum(difference for difference in differences.values() if difference < 0)
        if num_removed > MAX_REMOVED_PER_ADDED * sum(arrivals[field].values()):
            return None
    return arrivals


def _classes(quantity: str, names: list[str], current: DataSummary, accepted: DataSummary) -> ChangedQuantity:
    details = "none"
    if names:
        counts = current.classes if quantity == "new_classes" else accepted.classes
        named = ", ".join(f"{name!r} ({counts[name]:,} samples)" for name in names[:NUM_NAMED])
        details = named + (f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else "")
    return ChangedQuantity(
        quantity=quantity, statistic=len(names), threshold=0.0, num_accepted=accepted.num_samples,
        num_compared=current.num_samples, details=details,
    )  # fmt: skip


def _not_compared(
    quantity: str, reason: str, num_accepted: int = 0, num_compared: int = 0, *, is_judged: bool = False
) -> ChangedQuantity:
    return ChangedQuantity(
        quantity=quantity, statistic=0.0, threshold=0.0, num_accepted=num_accepted, num_compared=num_compared,
        details=reason, is_judged=is_judged,
    )  # fmt: skip


def _by_size(sides_px: pd.Series) -> Counts:
    bins = np.floor(BINS_PER_OCTAVE * np.log2(sides_px.clip(lower=1).to_numpy("float64"))).astype(int)
    return {f"{2 ** (number / BINS_PER_OCTAVE):.1f}": count for number, count in _counted(bins)}


def _by_brightness(brightness: pd.Series) -> Counts:
    values = brightness.dropna().to_numpy("float64")
    bins = np.clip((values * BRIGHTNESS_BINS).astype(int), 0, BRIGHTNESS_BINS - 1)
    return {f"{number / BRIGHTNESS_BINS:.2f}": count for number, count in _counted(bins)}


def _counted(bins: np.ndarray) -> list[tuple[int, int]]:
    numbers, counts = np.unique(bins, return_counts=True)
    return list(zip(numbers.tolist(), counts.tolist(), strict=True))


CLASS_QUANTITIES = ["new_classes", "missing_classes", "lost_samples"]
SHIFTS: dict[str, Any] = {"label_share": "classes", "width": "widths", "height": "heights", "brightness": "brightness"}
"""Quantity -> field of the summary."""
