"""What the proof says: artifacts/verdict.json. `python -m graft.transfer.verdict` writes its schema into the docs."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from graft.core.arms import BASELINE, ArmName
from graft.core.artifacts import Artifact, Interval, Link
from graft.core.files import write_json
from graft.watch.findings import TrainingFinding

VerdictWord = Literal["positive", "negative", "equivalent", "inconclusive"]
Shipped = Literal["transfer", "baseline", "nothing"]
PartKind = Literal["class", "domain", "group"]
MAX_UNTESTED_NAMED = 5


def rests_on_runs(verdict: VerdictWord, gain: Interval) -> bool:
    """Whether the mean gain alone would have decided nothing."""
    return verdict in ("positive", "negative") and gain.low <= 0 <= gain.high


class ArmScore(Artifact):
    """Test accuracy of an arm, over all pairs of seeds that were trained."""

    accuracy: Interval
    """Mean over the seeds, 0..1."""
    accuracy_per_seed: list[float]
    shipped_seed: int
    """Seed of the model that would ship: the lowest validation loss."""
    shipped_accuracy: Interval
    """Of that one model, 0..1; the interval counts test items alone."""
    collapsed_seeds: list[int]
    """Seeds that lost more than half of what the arm's median seed has over guessing (graft.transfer.collapse)."""
    num_trials: int
    """That the arm's learning rates were searched with; 0: they are those of params.yaml."""
    findings: list[TrainingFinding] = Field(default_factory=list)
    """Of the seeds that the proof added; ArmResult has those of the others."""


class PartGain(Artifact):
    """Of a part of the test split: a class, a domain or a group."""

    name: str
    num_items: int
    num_units: int
    """Independent units among them; the items themselves where the part is a group."""
    transfer_accuracy: float
    baseline_accuracy: float
    gain_points: Interval
    """The intervals of all parts of all kinds hold together at `Verdict.level`."""
    verdict: VerdictWord


class WeakestClass(Artifact):
    """The class that the model that ships, or that was refused, recognises least (graft.transfer.weakest)."""

    name: str
    recall: Interval
    """Share of its test items that get this class, 0..1; the intervals of all classes hold together at
    `Verdict.level`."""
    num_items: int
    """Test items of this class."""
    num_units: int
    """Independent units among them."""
    untested: list[str]
    """Classes without a test item, of which nothing is known."""

    @property
    def num_missed(self) -> int:
        return round((1 - self.recall.mean) * self.num_items)

    def in_words(self, model: str = "The model") -> str:
        """What the model misses of it, of how many, and with what it may miss of others."""
        number, share = f"{self.num_items:,}", f"{100 * (1 - self.recall.mean):.1f} %"
        may_be = f"{100 * (1 - self.recall.high):.1f} to {100 * (1 - self.recall.low):.1f} %"
        groups = f" in {self.num_units:,} groups" if self.num_units < self.num_items else ""
        if self.num_missed == 0:
            its = "its only test image" if self.num_items == 1 else f"all its {number} test images"
            said = (
                f"Weakest class: none stands out. {model} misses no test image of any class; least is known of "
                f"{self.name}: {its}{groups} {'is' if self.num_items == 1 else 'are'} recognised, which leaves up to "
                f"{100 * (1 - self.recall.low):.1f} % that may be missed."
            )
        else:
            its = "its only test image" if self.num_items == 1 else f"{self.num_missed:,} of its {number} test images"
            said = f"Weakest class: {self.name}. {model} misses {its}{groups}, {share} ({may_be})."
        return " ".join([said, *self._untested_in_words()])

    def _untested_in_words(self) -> list[str]:
        if not self.untested:
            return []
        names = ", ".join(self.untested[:MAX_UNTESTED_NAMED])
        num_more = len(self.untested) - MAX_UNTESTED_NAMED
        more = f" and {num_more:,} more" if num_more > 0 else ""
        return [f"Nothing is known of {names}{more}: without a test image."]


class AgainstLonger(Artifact):
    """The gain over a baseline arm that was trained for as long as it helped, or to a limit. Decides nothing."""

    budget_ratio: float
    """Times the training of the baseline arm that the verdict is about."""
    has_converged: bool
    convergence: str
    num_seeds: int
    baseline_accuracy: Interval
    gain_points: Interval
    """Of two-sided level alpha, for itself."""
    verdict: VerdictWord
    claim: str


class Verdict(Link):
    NAME: ClassVar = "verdict.json"

    schema_version: Literal[5] = 5
    """docs/verdict.schema.json has all fields."""
    verdict: VerdictWord
    """positive, negative, equivalent (the whole interval of the gain within the margin) or inconclusive."""
    claim: str
    """The one sentence that the numbers support, budget and convergence of the baseline arm included."""
    ships: Shipped
    """Whose model is exported."""
    decision: str
    """What follows, and why."""
    tries_next: bool
    """The flow goes back to the choice of the source, without this one."""
    gain_points: Interval
    """Of two-sided level `level`, as the other intervals; 1 - alpha holds for all looks together."""
    alpha: float
    """Chance of a positive or negative verdict on arms that do not differ, at most."""
    level: float
    """Of the last look (graft.transfer.looks); alpha where there was but one."""
    num_test_uses: int
    """Verdicts that were given on this test split up to this one, itself included (test_uses.json)."""
    alpha_is_shared: bool
    """Whether `alpha` is this verdict's share of the one alpha of all verdicts on this test split."""
    alpha_of_all_uses: float
    """Chance that at least one of these verdicts is a false one, at most: the sum of their alphas, or 1."""
    test_split_choices: list[str]
    """What was chosen by results on this test split, or may have been; empty: nothing."""
    margin_points: float
    """A gain within this, on either side of zero, does not matter."""
    seeds: list[int]
    """Trained in pairs: those of both stages, and those that were added until the verdict was decided."""
    max_seeds: int
    """Of each arm, at most."""
    num_test: int
    """Test items."""
    num_units: int
    """Independent units among them: groups, clusters of near duplicates, and items that belong to none."""
    improvement: Interval
    """Probability (0..1) that a run with transfer beats one without (graft.transfer.improvement)."""
    share_of_pairs: float
    """Share of the pairs of runs that were seen in which transfer was better; ties count half."""
    shipped_gain_points: Interval
    """The same difference between the two models that would ship; the interval counts test items alone."""
    unexaggerated_points: float
    """The gain, less what gains are overestimated by that were just found (graft.transfer.spread)."""
    scores: dict[ArmName, ArmScore]
    """By arm."""
    gain_points_per_seed: list[float]
    """In the order of `seeds`."""
    weakest_class: WeakestClass
    """Of the one model that ships, or of the transfer arm's that was refused."""
    parts: dict[PartKind, list[PartGain]]
    """Of classes, domains and groups with enough test items (graft.transfer.parts); empty where there is one alone."""
    seed_spread_points: float
    """Standard deviation of the gain from seed to seed."""
    smallest_detectable_points: float
    """True gain that so many seeds and items find with a probability of 80 %."""
    seeds_needed: int | None
    """In all, so that an inconclusive gain would be decided if gain and spread stayed what they are; None: no number
    would, it is decided, or fewer than three seeds say nothing of more."""
    units_needed: int | None
    """The same for independent units of test items."""
    mcnemar_p: float
    """Exact, two-sided, on what more than half of the seeds get right."""
    num_only_transfer_right: int
    """Test items that more than half of the seeds get right in this arm alone."""
    num_only_baseline_right: int
    """The same for the other arm."""
    compute_ratio: float
    """Floating-point operations of one training from scratch over those of one from the source."""
    baseline_has_converged: bool
    """With that budget."""
    against_longer: AgainstLonger | None
    """None: params say that no longer training is tried."""

    @property
    def num_seeds(self) -> int:
        return len(self.seeds)

    @property
    def rests_on_runs(self) -> bool:
        return rests_on_runs(self.verdict, self.gain_points)

    @property
    def collapsed_seeds(self) -> set[int]:
        """Seeds of which a run of either arm collapsed."""
        return {seed for score in self.scores.values() for seed in score.collapsed_seeds}

    def findings_of(self, arm: ArmName, of_stage: list[TrainingFinding]) -> list[TrainingFinding]:
        """Findings in all seeds of an arm.

        Args:
            of_stage: those in the seeds of the arm's stage.
        """
        return [*of_stage, *self.scores[arm].findings]

    @property
    def shown_arm(self) -> ArmName:
        """Whose model is looked at more closely: the one that ships, or the transfer arm's that was refused."""
        return "baseline" if self.ships == "baseline" else "transfer"

    @property
    def is_rejected(self) -> bool:
        return self.ships == "nothing"

    @property
    def weakest_in_words(self) -> str:
        return self.weakest_class.in_words("The refused model" if self.is_rejected else "The model")

    @property
    def badge(self) -> str:
        found = {
            "positive": "positive transfer",
            "equivalent": "no difference that matters",
            "inconclusive": "no gain is shown",
            "negative": "negative transfer",
        }[self.verdict]
        if self.is_rejected:
            return f"REJECTED: {found}"
        if self.ships == "baseline":
            return f"{BASELINE.how.upper()}: {found}"
        return f"{'ACCEPTED' if self.verdict == 'positive' else self.verdict.upper()}: {found}"


if __name__ == "__main__":
    write_json(Path("docs/verdict.schema.json"), Verdict.model_json_schema(mode="serialization"))
