"""What the proof says: artifacts/verdict.json."""

from typing import Literal

from pydantic import Field

from graft.artifacts import ArmName, ArmResult, Artifact, Interval, Link, TrainingFinding

VerdictWord = Literal["positive", "negative", "equivalent", "inconclusive"]


class ArmScore(Artifact):
    """Of all pairs of seeds that were trained."""

    accuracy: Interval
    """Of the test split."""
    accuracy_per_seed: list[float]
    findings: list[TrainingFinding] = Field(default_factory=list)
    """Of the seeds that the proof added; ArmResult has those of the others."""


class PartGain(Artifact):
    """Of a part of the test split, as a class."""

    name: str
    num_items: int
    transfer_accuracy: float
    scratch_accuracy: float
    gain_points: Interval
    """All parts' hold together at `Verdict.level`."""
    verdict: VerdictWord


class Verdict(Link):
    verdict: VerdictWord
    is_rejected: bool
    """Negative, or inconclusive where params say that this is not enough."""
    claim: str
    """The one sentence that the numbers support, budget and convergence of the scratch arm included."""
    gain_points: Interval
    """Of two-sided level `level`, as the other intervals; 1 - alpha holds for all looks together."""
    alpha: float
    level: float
    """Of the last look (graft.transfer.looks); alpha where there was but one."""
    margin_points: float
    seeds: list[int]
    """Trained in pairs: those of both stages, and those that were added until the verdict was decided."""
    max_seeds: int
    num_test: int
    scores: dict[ArmName, ArmScore]
    gain_points_per_seed: list[float]
    by_class: list[PartGain]
    """Of classes with enough test items (graft.transfer.parts)."""
    seed_spread_points: float
    """Standard deviation of the gain from seed to seed."""
    smallest_detectable_points: float
    """True gain that so many seeds and items find with a probability of 80 %."""
    seeds_needed: int | None
    """In all, so that an inconclusive gain would be decided if it stayed what it is; None: none would, or it is."""
    items_needed: int | None
    """The same for test items."""
    mcnemar_p: float
    num_only_transfer_right: int
    num_only_scratch_right: int
    compute_ratio: float
    scratch_has_converged: bool

    @property
    def num_seeds(self) -> int:
        return len(self.seeds)

    def findings_of(self, result: ArmResult) -> list[TrainingFinding]:
        """Of all seeds of an arm."""
        return [*result.findings, *self.scores[result.arm].findings]

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
        return f"{'ACCEPTED' if self.verdict == 'positive' else self.verdict.upper()}: {found}"
