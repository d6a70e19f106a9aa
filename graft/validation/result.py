"""Results of the validation: artifacts/validation/result.json and change.json."""

from typing import ClassVar, Literal

from pydantic import Field

from graft.core.artifacts import Artifact, Link


class Expectation(Artifact):
    sentence: str
    level: Literal["error", "warning"]
    passed: bool
    observed: str
    examples: list[str] = Field(default_factory=list)
    """Examples, at most ten: paths for the table of samples, class names for the table of classes."""
    is_judged: bool = True
    """False if there was nothing to compare with, or too little: it did not fail, and proves nothing."""

    @property
    def outcome(self) -> Literal["passed", "not compared", "failed", "warning"]:
        if self.passed:
            return "passed" if self.is_judged else "not compared"
        return "failed" if self.level == "error" else "warning"


class Validation(Link):
    NAME: ClassVar = "validation/result.json"

    passed: bool
    """True if no expectation of level error failed, including those about change."""
    expectations: list[Expectation]
    """Expectations about the data alone; equal data give equal bytes, whatever was accepted before (see Change)."""


class ChangedQuantity(Artifact):
    quantity: str
    statistic: float
    threshold: float
    num_accepted: int
    num_compared: int
    """Number of all samples, or only of those that arrived since."""
    details: str
    is_judged: bool = True
    """False if there was nothing to compare with, or too little: the statistic is then 0."""


class Change(Link):
    """Comparison of the data with those of the last accepted run."""

    NAME: ClassVar = "validation/change.json"

    expectations: list[Expectation]
    quantities: list[ChangedQuantity]
