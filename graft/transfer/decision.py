"""What follows from a verdict."""

from dataclasses import dataclass
from typing import Literal

from graft.core.arms import BASELINE
from graft.core.artifacts import Interval
from graft.transfer.verdict import Shipped, VerdictWord

OnNegative = Literal["reject", "next_source", "baseline"]
OnInconclusive = Literal["export", "reject"]


@dataclass(frozen=True)
class Decision:
    ships: Shipped
    why: str
    tries_next: bool = False
    """Whether the flow goes back to the choice of the source, without this one."""


@dataclass(frozen=True)
class Policy:
    on_negative: OnNegative
    on_inconclusive: OnInconclusive
    baseline_bar: float
    """Test accuracy (0..1) that the baseline's whole interval must lie above, to be shipped in place of transfer."""
    may_try_next: bool
    """Another source is left, and so is a try."""


def decide(verdict: VerdictWord, baseline_accuracy: Interval, policy: Policy) -> Decision:
    if verdict == "inconclusive" and policy.on_inconclusive == "reject":
        return Decision("nothing", "Without a proven gain nothing is exported (check_transfer.on_inconclusive).")
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
    found = f"its mean test accuracy of {accuracy.mean:.1%} [{accuracy.low:.1%}, {accuracy.high:.1%}]"
    if accuracy.low > bar:
        return Decision(
            "baseline", f"The model trained {BASELINE.how} is exported instead: {found} lies above {bar:.1%}."
        )
    return Decision(
        "nothing", f"Nor is the model trained {BASELINE.how} exported: {found} does not lie above {bar:.1%}."
    )


def choices_by_test_split(
    *,
    may_add_seeds: bool,
    on_negative: OnNegative,
    num_rejected: int,
    num_earlier: int,
    num_other_params: int,
) -> list[str]:
    """What was chosen by results on the test split, or may have been; empty: nothing.

    Args:
        may_add_seeds: whether the verdict may ask for further pairs of seeds.
        on_negative: see params.check_transfer.
        num_rejected: sources that were rejected on these data before.
        num_earlier: verdicts that were given on the test split before.
        num_other_params: of these, how many were given with other params.
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
        choices.append(f"whatever a person has chosen by {verdicts} on it{others}")
    return choices
