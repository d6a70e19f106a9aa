"""What is known of each source on this target, and which was chosen: artifacts/selection.json."""

from typing import ClassVar

from graft.core.artifacts import Artifact, Interval, Link


class TrialResult(Artifact):
    """Short fine-tuning, looked at on held-out samples; where samples are few, in folds, so that each is held out."""

    num_steps: int
    num_held_out: int
    loss: Interval
    """Minus the log of the right class's probability, nats a sample, with the 95 % t interval over groups."""
    accuracy: Interval
    """0..1, with the 95 % t interval over groups."""


class SourceScore(Artifact):
    """What is known of one source on this target; accuracies are 0..1."""

    name: str
    description: str
    domain: str
    dataset: str
    licence: str
    weights_sha256: str
    num_parameters: int
    gflops: float
    """Of the backbone, one picture of `Selection.image_size_px`: multiply-adds times two, in 1e9."""
    probe: Interval
    """Cross-validated accuracy of the linear probe, with the 95 % corrected resampled t interval."""
    knn_accuracy: float
    """Of the nearest neighbour, leave-one-out."""
    scores: dict[str, float]
    """Published transferability scores, shown and not decided upon (graft.selection.scores)."""
    distance: dict[str, float]
    """How far the target lies from what the source saw, shown and not decided upon (graft.selection.domain)."""
    trial: TrialResult | None
    """Of the last round that it went through; None: it did not get that far."""
    tflops_spent: float
    """On looking at this source, in 1e12 floating-point operations."""
    dropped: str
    """When and why; empty for those that stayed to the end."""


class Selection(Link):
    NAME: ClassVar = "selection.json"

    chosen: str
    runner_up: str | None
    lead: Interval | None
    """Lead of the better of the chosen source and its runner-up in accuracy, -1..1: on samples held out from short
    fine-tuning, or of the probe where nothing was fine-tuned. The interval has `confidence`, and counts groups."""
    confidence: float
    is_separated: bool
    """Whether that interval lies above zero, or above `select.margin_points` where the lead is over the default, and
    the lead did not shrink in the last round. If not, `select.prefer` decided."""
    reason: str
    image_size_px: int
    num_samples: int
    num_units: int
    """Groups, clusters of near duplicates, and lone samples: what folds keep whole and intervals count."""
    num_folds: int
    num_repeats: int
    out_of_time: list[str]
    """What select.budget_s left no time for; then the result depends on the machine's speed."""
    ranking: list[SourceScore]
    """Those that stayed longest first, the chosen one on top."""
    excluded: dict[str, str]
    """name -> why it was not looked at at all."""

    @property
    def chosen_score(self) -> SourceScore:
        return next(score for score in self.ranking if score.name == self.chosen)
