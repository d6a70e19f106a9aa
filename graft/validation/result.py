"""What the validation found: artifacts/validation/result.json and change.json."""

from typing import ClassVar, Literal

from pydantic import Field

from graft.core.artifacts import Artifact, Link


class Expectation(Artifact):
    sentence: str
    level: Literal["error", "warning"]
    passed: bool
    observed: str
    examples: list[str] = Field(default_factory=list)
    """Up to ten: paths where the table is one of samples, class names where it is one of classes."""
    is_judged: bool = True
    """False where there was nothing to compare with, or too little: it did not fail, and says nothing."""

    @property
    def outcome(self) -> Literal["passed", "not compared", "failed", "warning"]:
        if self.passed:
            return "passed" if self.is_judged else "not compared"
        return "failed" if self.level == "error" else "warning"


class Validation(Link):
    NAME: ClassVar = "validation/result.json"

    passed: bool
    """No expectation of level error failed, those about change included."""
    expectations: list[Expectation]
    """Those about the data alone; equal data give equal bytes, whatever was accepted before (that is in Change)."""


class ChangedQuantity(Artifact):
    quantity: str
    statistic: float
    threshold: float
    num_accepted: int
    num_compared: int
    """All samples, or only those that arrived since."""
    details: str
    is_judged: bool = True
    """False where there was nothing to compare with, or too little: the statistic is then 0."""


class Change(Link):
    """Data against those of the last accepted run."""

    NAME: ClassVar = "validation/change.json"

    expectations: list[Expectation]
    quantities: list[ChangedQuantity]
