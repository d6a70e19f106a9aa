"""What the proof says: artifacts/verdict.json. `python -m graft.transfer.verdict` writes its schema into the docs."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from graft.artifacts import ArmName, ArmResult, Artifact, Interval, Link, TrainingFinding
from graft.files import write_json

VerdictWord = Literal["positive", "negative", "equivalent", "inconclusive"]
Shipped = Literal["transfer", "scratch", "nothing"]
PartKind = Literal["class", "domain", "group"]


class ArmScore(Artifact):
    """Of all pairs of seeds that were trained."""

    accuracy: Interval
    """Of the test split."""
    accuracy_per_seed: list[float]
    num_trials: int
    """That the arm's learning rates were searched with; 0: they are those of params.yaml."""
    findings: list[TrainingFinding] = Field(default_factory=list)
    """Of the seeds that the proof added; ArmResult has those of the others."""


class PartGain(Artifact):
    """Of a part of the test split: a class, a domain or a group."""

    name: str
    num_items: int
    transfer_accuracy: float
    scratch_accuracy: float
    gain_points: Interval
    """Those of all parts of a kind hold together at `Verdict.level`."""
    verdict: VerdictWord


class AgainstConverged(Artifact):
    """The gain over a scratch arm that was trained for as long as it helped, or to a limit. Decides nothing."""

    budget_ratio: float
    """Times the training of the scratch arm that the verdict is about."""
    has_converged: bool
    convergence: str
    num_seeds: int
    scratch_accuracy: Interval
    gain_points: Interval
    """Of two-sided level alpha, for itself."""
    verdict: VerdictWord
    claim: str


class Verdict(Link):
    schema_version: Literal[2] = 2
    """docs/verdict.schema.json has all fields."""
    verdict: VerdictWord
    """positive, negative, equivalent (the whole interval of the gain within the margin) or inconclusive."""
    claim: str
    """The one sentence that the numbers support, budget and convergence of the scratch arm included."""
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
    margin_points: float
    """A gain within this, on either side of zero, does not matter."""
    seeds: list[int]
    """Trained in pairs: those of both stages, and those that were added until the verdict was decided."""
    max_seeds: int
    """Of each arm, at most."""
    num_test: int
    """Test items."""
    scores: dict[ArmName, ArmScore]
    """By arm."""
    gain_points_per_seed: list[float]
    """In the order of `seeds`."""
    parts: dict[PartKind, list[PartGain]]
    """Of classes, domains and groups with enough test items (graft.transfer.parts); empty where there is one alone."""
    seed_spread_points: float
    """Standard deviation of the gain from seed to seed."""
    smallest_detectable_points: float
    """True gain that so many seeds and items find with a probability of 80 %."""
    seeds_needed: int | None
    """In all, so that an inconclusive gain would be decided if it stayed what it is; None: none would, or it is."""
    items_needed: int | None
    """The same for test items."""
    mcnemar_p: float
    """Exact, two-sided, on what more than half of the seeds get right."""
    num_only_transfer_right: int
    """Test items that more than half of the seeds get right in this arm alone."""
    num_only_scratch_right: int
    """The same for the other arm."""
    compute_ratio: float
    """Floating-point operations of one training from scratch over those of one from the source."""
    scratch_has_converged: bool
    """With that budget."""
    against_converged: AgainstConverged | None
    """None: params say that no longer training is tried."""

    @property
    def num_seeds(self) -> int:
        return len(self.seeds)

    def findings_of(self, result: ArmResult) -> list[TrainingFinding]:
        """Of all seeds of an arm."""
        return [*result.findings, *self.scores[result.arm].findings]

    @property
    def shown_arm(self) -> ArmName:
        """Whose model is looked at more closely: the one that ships, or the transfer arm's that was refused."""
        return "scratch" if self.ships == "scratch" else "transfer"

    @property
    def is_rejected(self) -> bool:
        return self.ships == "nothing"

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
        if self.ships == "scratch":
            return f"FROM SCRATCH: {found}"
        return f"{'ACCEPTED' if self.verdict == 'positive' else self.verdict.upper()}: {found}"


if __name__ == "__main__":
    write_json(Path("docs/verdict.schema.json"), Verdict.model_json_schema(mode="serialization"))
