"""Decision that follows from a verdict: which arm's model is exported, and whether another source is tried."""

from dataclasses import dataclass

from graft.core.arms import BASELINE
from graft.core.artifacts import Interval
from graft.core.choices import OnInconclusive, OnNegative
from graft.core.percentages import percent_with_range
from graft.transfer.verdict import ExportedArm, VerdictWord


@dataclass(frozen=True)
class Decision:
    exported_arm: ExportedArm
    reason: str
    tries_next: bool = False
    """Whether the flow goes back to the choice of the source and excludes this one."""


@dataclass(frozen=True)
class Policy:
    on_negative: OnNegative
    on_inconclusive: OnInconclusive
    baseline_bar: float
    """Test accuracy (0..1) that the baseline's whole interval must exceed to be exported instead of transfer."""
    may_try_next: bool
    """Whether another source is left and may still be tried."""


def alpha_per_source(alpha: float, *, on_negative: OnNegative, max_sources: int, is_shared: bool) -> float:
    """Level of the verdict on one source: each source tried is another chance of a false verdict (Bonferroni).

    Args:
        alpha: level of all verdicts that one experiment may give.
        max_sources: largest number of sources tried with `next_source`.
        is_shared: whether alpha is already shared among all verdicts on the test split. Those on further sources are
            among them, so alpha is not divided again.
    """
    tries_several = on_negative == "next_source" and not is_shared
    return alpha / max_sources if tries_several else alpha


def decide(verdict: VerdictWord, baseline_accuracy: Interval, policy: Policy) -> Decision:
    if verdict == "inconclusive" and policy.on_inconclusive == "reject":
        return Decision("nothing", "Nothing is exported without a proven gain (check_transfer.on_inconclusive).")
    if verdict != "negative":
        return Decision("transfer", "The model that started from the source is exported.")
    if policy.on_negative == "next_source":
        return _next_source(policy)
    if policy.on_negative == "baseline":
        return _baseline(baseline_accuracy, policy.baseline_bar)
    return Decision("nothing", f"Start from another source (select.candidates), or train {BASELINE.how}.")


def _next_source(policy: Policy) -> Decision:
    if policy.may_try_next:
        return Decision("nothing", "The runner-up is tried next (check_transfer.on_negative).", tries_next=True)
    return Decision("nothing", "No further source is tried (check_transfer.max_sources, select.candidates).")


def _baseline(accuracy: Interval, bar: float) -> Decision:
    found = f"its mean test accuracy of {percent_with_range(accuracy)}"
    if accuracy.low > bar:
        return Decision(
            "baseline", f"The model trained {BASELINE.how} is exported instead: {found} is above {bar:.1%}."
        )
    return Decision(
        "nothing", f"The model trained {BASELINE.how} is not exported either: {found} is not above {bar:.1%}."
    )


def choices_by_test_split(
    *,
    may_add_seeds: bool,
    on_negative: OnNegative,
    num_rejected: int,
    num_earlier: int,
    num_other_params: int,
) -> list[str]:
    """Choices that results on the test split made, or may have made; empty if there are none.

    Args:
        may_add_seeds: whether the verdict may ask for further pairs of seeds.
        on_negative: see params.check_transfer.
        num_rejected: number of sources rejected earlier on these data.
        num_earlier: number of earlier verdicts on the test split.
        num_other_params: number of these with other params.
    """
    choices = []
    if may_add_seeds:
        choices.append("how many seeds were trained, which the interval allows for")
    if on_negative == "next_source" or num_rejected:
        before = f"{num_rejected} rejected before this one" if num_rejected else "none rejected before this one"
        choices.append(f"the source, since one with a negative verdict is replaced by the next ({before})")
    if on_negative == "baseline":
        choices.append(f"which arm's model is exported, since after a negative verdict it is the one {BASELINE.how}")
    if num_earlier:
        verdicts = "the earlier verdict" if num_earlier == 1 else f"the {num_earlier} earlier verdicts"
        others = f" ({num_other_params} with other params)" if num_other_params else ""
        choices.append(f"any choice a person made after seeing {verdicts} on it{others}")
    return choices
