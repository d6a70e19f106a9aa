"""Results of all sources on this target, and the chosen one: artifacts/selection.json."""

from typing import ClassVar

from graft.core.artifacts import Artifact, Interval, Link


class TrialResult(Artifact):
    """Short fine-tuning, evaluated on held-out samples; with few samples in folds, so that each is held out."""

    num_steps: int
    num_held_out: int
    loss: Interval
    """Cross-entropy in nats per sample, with the 95 % t interval over groups."""
    accuracy: Interval
    """Accuracy, 0..1, with the 95 % t interval over groups."""


class SourceScore(Artifact):
    """Results of one source on this target; accuracies are 0..1."""

    name: str
    description: str
    domain: str
    dataset: str
    licence: str
    weights_sha256: str
    num_parameters: int
    gflops: float
    """Operations of the backbone for one image of `Selection.image_size_px`: multiply-adds times two, in 1e9."""
    probe: Interval
    """Cross-validated accuracy of the linear probe, with the 95 % corrected resampled t interval."""
    knn_accuracy: float
    """Leave-one-out accuracy of the nearest neighbour."""
    scores: dict[str, float]
    """Published transferability scores, not used in the choice (graft.selection.scores)."""
    distance: dict[str, float]
    """Distance of the target from the source's data, not used in the choice (graft.selection.distance)."""
    trial: TrialResult | None
    """Result of its last round of fine-tuning; None: it was not fine-tuned."""
    tflops_spent: float
    """Operations spent on trying this source, in 1e12."""
    dropped: str
    """Round and reason of being dropped; empty: it stayed to the end."""


class Selection(Link):
    NAME: ClassVar = "selection.json"

    chosen: str
    runner_up: str | None
    lead: Interval | None
    """Lead of the better of the chosen source and its runner-up in accuracy, -1..1: on samples held out from short
    fine-tuning, or of the probe where nothing was fine-tuned. The interval has `confidence`, and counts groups."""
    confidence: float
    is_separated: bool
    """True: that interval is above zero, or above `select.margin_points` for a lead over the default, and the lead did
    not shrink in the last round. Otherwise `select.prefer` decided."""
    reason: str
    image_size_px: int
    num_samples: int
    num_units: int
    """Number of sampling units: groups, clusters of near duplicates and single samples. Folds keep them whole, and
    intervals treat them as independent."""
    num_folds: int
    num_repeats: int
    out_of_time: list[str]
    """Work skipped because of select.budget_s; if there is any, the result depends on the machine's speed."""
    ranking: list[SourceScore]
    """Scores of the sources that were tried; the chosen one first, then those that stayed longest."""
    excluded: dict[str, str]
    """name -> why it was not tried."""

    @property
    def chosen_score(self) -> SourceScore:
        return next(score for score in self.ranking if score.name == self.chosen)
