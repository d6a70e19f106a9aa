"""Verdict of the proof: artifacts/verdict.json. `python -m graft.transfer.verdict` writes its schema into the docs."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from graft.core.arms import BASELINE, ArmName
from graft.core.artifacts import Artifact, Interval, Link
from graft.core.files import write_json
from graft.core.percentages import percent, percent_range
from graft.watch.findings import TrainingFinding

VerdictWord = Literal["positive", "negative", "equivalent", "inconclusive"]
ExportedArm = Literal["transfer", "baseline", "nothing"]
PartKind = Literal["class", "domain", "group"]
MAX_UNTESTED_NAMED = 5


def rests_on_runs(verdict: VerdictWord, gain: Interval) -> bool:
    """Whether the mean gain alone would have been inconclusive."""
    return verdict in ("positive", "negative") and gain.low <= 0 <= gain.high


class ArmScore(Artifact):
    """Test accuracy of an arm, over all pairs of seeds that were trained."""

    accuracy: Interval
    """Mean over the seeds, 0..1."""
    accuracy_per_seed: list[float]
    shipped_seed: int
    """Seed of the model that would be exported: the one with the lowest validation loss."""
    shipped_accuracy: Interval
    """Test accuracy of that one model, 0..1; the interval counts test items alone."""
    collapsed_seeds: list[int]
    """Seeds that lost more than half of the median seed's accuracy above guessing (graft.transfer.collapse)."""
    num_trials: int
    """Number of learning-rate trials; 0 if params.yaml was used as is."""
    findings: list[TrainingFinding] = Field(default_factory=list)
    """Findings in the seeds that the proof added; ArmResult has those of the other seeds."""


class PartGain(Artifact):
    """Gain in a part of the test split: a class, a domain or a group."""

    name: str
    num_items: int
    num_units: int
    """Independent units among them; the items themselves if the part is a group."""
    transfer_accuracy: float
    baseline_accuracy: float
    gain_points: Interval
    """Gain with its interval; the intervals of all parts of all kinds hold simultaneously at `Verdict.level`."""
    verdict: VerdictWord


class WeakestClass(Artifact):
    """Class with the lowest recall of the exported or refused model (graft.transfer.weakest)."""

    name: str
    recall: Interval
    """Share of its test items that are predicted as this class, 0..1; the intervals of all classes hold simultaneously
    at `Verdict.level`."""
    num_items: int
    """Test items of this class."""
    num_units: int
    """Independent units among them."""
    untested: list[str]
    """Classes without a test item, about which nothing is known."""

    @property
    def num_missed(self) -> int:
        return round((1 - self.recall.mean) * self.num_items)

    def in_words(self, model: str = "The model") -> str:
        """Sentences on the test images of this class that the model misses, with interval, and on untested classes."""
        number, missed = f"{self.num_items:,}", self.recall.complement
        groups = f" in {self.num_units:,} groups" if self.num_units < self.num_items else ""
        if self.num_missed == 0:
            its = "its only test image" if self.num_items == 1 else f"all its {number} test images"
            said = (
                f"Weakest class: none stands out. {model} misses no test image of any class; least is known of "
                f"{self.name}: {its}{groups} {'is' if self.num_items == 1 else 'are'} correct, so up to "
                f"{percent(missed.high)} may still be missed."
            )
        else:
            its = "its only test image" if self.num_items == 1 else f"{self.num_missed:,} of its {number} test images"
            shares = f"{percent(missed.mean)} ({percent_range(missed)})"
            said = f"Weakest class: {self.name}. {model} misses {its}{groups}, {shares}."
        return " ".join([said, *self._untested_in_words()])

    def _untested_in_words(self) -> list[str]:
        if not self.untested:
            return []
        names = ", ".join(self.untested[:MAX_UNTESTED_NAMED])
        num_more = len(self.untested) - MAX_UNTESTED_NAMED
        more = f" and {num_more:,} more" if num_more > 0 else ""
        return [f"Nothing is known about {names}{more}: no test images."]


class AgainstLonger(Artifact):
    """Gain over a baseline arm that was trained for as long as it helped, or up to a limit. It decides nothing."""

    budget_ratio: float
    """Ratio of its training length to that of the baseline arm in the verdict."""
    has_converged: bool
    convergence: str
    num_seeds: int
    baseline_accuracy: Interval
    gain_points: Interval
    """Gain with its own interval of two-sided level alpha."""
    verdict: VerdictWord
    claim: str


class Verdict(Link):
    NAME: ClassVar = "verdict.json"

    schema_version: Literal[5] = 5
    """Version of the fields; docs/verdict.schema.json has all of them."""
    verdict: VerdictWord
    """positive, negative, equivalent (the whole interval of the gain is within the margin) or inconclusive."""
    claim: str
    """Sentence that the numbers support, including budget and convergence of the baseline arm."""
    exported_arm: ExportedArm
    """Arm whose model is exported, or nothing."""
    decision: str
    """Sentence on what follows, and why."""
    tries_next: bool
    """Whether the flow goes back to the choice of the source and excludes this one."""
    gain_points: Interval
    """Mean gain with an interval of two-sided level `level`; 1 - alpha holds for all interim analyses together."""
    alpha: float
    """Largest probability of a positive or negative verdict on arms that do not differ."""
    level: float
    """Level of the last interim analysis (graft.transfer.interim_analyses); alpha if there was only one."""
    num_test_uses: int
    """Number of verdicts on this test split so far, including this one (test_uses.json)."""
    alpha_is_shared: bool
    """Whether `alpha` is this verdict's share of the one alpha of all verdicts on this test split."""
    alpha_of_all_uses: float
    """Largest probability that at least one of these verdicts is false: the sum of their alphas, at most 1."""
    test_split_choices: list[str]
    """Choices that results on this test split made, or may have made; empty if there are none."""
    margin_points: float
    """Largest gain, on either side of zero, that does not matter."""
    seeds: list[int]
    """Seeds of the pairs of runs: those of both stages, and those added until the verdict was decided."""
    max_seeds: int
    """Largest number of seeds per arm."""
    num_test: int
    """Test items."""
    num_units: int
    """Independent units among them: groups, clusters of near duplicates, and items that belong to none."""
    improvement: Interval
    """Probability (0..1) that a run with transfer beats one without (graft.transfer.improvement)."""
    share_of_pairs: float
    """Share of the observed pairs of runs in which transfer was better; ties count half."""
    shipped_gain_points: Interval
    """Gain of the two models that the arms would export; the interval counts test items alone."""
    unexaggerated_points: float
    """Gain corrected for the overestimation of gains that are only just significant
    (graft.statistics.variance_components)."""
    scores: dict[ArmName, ArmScore]
    """Test accuracy by arm."""
    gain_points_per_seed: list[float]
    """Gain of each pair of runs, in the order of `seeds`."""
    weakest_class: WeakestClass
    """Weakest class of the exported model, or of the transfer arm's refused one."""
    parts: dict[PartKind, list[PartGain]]
    """Gains of classes, domains and groups with enough test items (graft.transfer.parts); empty for a single one."""
    seed_spread_points: float
    """Standard deviation of the gain between seeds."""
    smallest_detectable_points: float
    """True gain that is found with a probability of 80 % with this number of seeds and items."""
    seeds_needed: int | None
    """Total number of seeds that would decide an inconclusive verdict if gain and variance stayed the same; None: no
    number would, it is decided, or there are fewer than three seeds."""
    units_needed: int | None
    """Total number of independent units of test items that would decide; None as for `seeds_needed`."""
    mcnemar_p: float
    """Exact, two-sided p-value, for the items that more than half of the seeds predict correctly."""
    num_only_transfer_right: int
    """Number of test items that more than half of the seeds predict correctly in this arm alone."""
    num_only_baseline_right: int
    """The same for the other arm."""
    compute_ratio: float
    """Ratio of the floating-point operations of one training from scratch to those of one from the source."""
    baseline_has_converged: bool
    """Whether the baseline arm had converged with that budget."""
    against_longer: AgainstLonger | None
    """Gain over a longer-trained baseline; None: params.yaml asks for no longer training."""

    @property
    def num_seeds(self) -> int:
        return len(self.seeds)

    @property
    def rests_on_runs(self) -> bool:
        return rests_on_runs(self.verdict, self.gain_points)

    @property
    def collapsed_seeds(self) -> set[int]:
        """Seeds whose run collapsed in either arm."""
        return {seed for score in self.scores.values() for seed in score.collapsed_seeds}

    def findings_of(self, arm: ArmName, of_stage: list[TrainingFinding]) -> list[TrainingFinding]:
        """Findings in all seeds of an arm.

        Args:
            of_stage: findings in the seeds of the arm's stage.
        """
        return [*of_stage, *self.scores[arm].findings]

    @property
    def shown_arm(self) -> ArmName:
        """Arm whose model is examined: the exported one, or transfer if the model was refused."""
        return "baseline" if self.exported_arm == "baseline" else "transfer"

    @property
    def is_rejected(self) -> bool:
        return self.exported_arm == "nothing"

    @property
    def weakest_in_words(self) -> str:
        return self.weakest_class.in_words("The refused model" if self.is_rejected else "The model")

    @property
    def badge(self) -> str:
        found = {
            "positive": "positive transfer",
            "equivalent": "no difference that matters",
            "inconclusive": "no gain shown",
            "negative": "negative transfer",
        }[self.verdict]
        if self.is_rejected:
            return f"REJECTED: {found}"
        if self.exported_arm == "baseline":
            return f"{BASELINE.how.upper()}: {found}"
        return f"{'ACCEPTED' if self.verdict == 'positive' else self.verdict.upper()}: {found}"


if __name__ == "__main__":
    write_json(Path("docs/verdict.schema.json"), Verdict.model_json_schema(mode="serialization"))
