"""Result of the inspection: artifacts/inspection.json."""

from typing import ClassVar, Literal

from graft.core.artifacts import Artifact, Link

SuspectKind = Literal["label", "outlier", "dark", "bright", "blurry"]


class SuspectList(Artifact):
    kind: SuspectKind
    num_ranked: int
    num_listed: int
    """Number of samples in suspects.csv, the first of the ranking."""
    num_suspicious: int
    """Estimated number of wrong labels; in other lists, samples more than 3.5 robust deviations from the median."""


class Inspection(Link):
    """Inspection of the training and validation samples; the test split is not used."""

    NAME: ClassVar = "inspection.json"

    source: str
    """Source whose frozen features were used to rank labels and outliers."""
    num_samples: int
    """Number of training and validation samples."""
    num_embedded: int
    """Number of these samples that labels and outliers were ranked among."""
    num_folds: int
    lists: list[SuspectList]
