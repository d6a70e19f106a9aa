"""Which samples a person should look at: artifacts/inspection.json."""

from typing import ClassVar, Literal

from graft.core.artifacts import Artifact, Link

SuspectKind = Literal["label", "outlier", "dark", "bright", "blurry"]


class SuspectList(Artifact):
    kind: SuspectKind
    num_ranked: int
    num_listed: int
    """The first of the ranking, in suspects.csv."""
    num_suspicious: int
    """Labels that are estimated to be wrong; elsewhere samples beyond 3.5 robust deviations from the median."""


class Inspection(Link):
    """A look at the training and validation samples; the test split is left alone."""

    NAME: ClassVar = "inspection.json"

    source: str
    """Whose frozen features the labels and outliers were judged by."""
    num_samples: int
    """Training and validation samples."""
    num_embedded: int
    """Of these, the ones that labels and outliers were ranked among."""
    num_folds: int
    lists: list[SuspectList]
