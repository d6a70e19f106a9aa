"""Artifacts that stages pass to each other, and their files.

Everything a stage writes is a DVC output: equal inputs give equal bytes, so there is no time, host or run id in it.
Tables are parquet or CSV, single results are JSON, weights are safetensors.

The results form a chain: each names the sha256 of the artifacts it was made from (`inputs`), so whoever depends on the
last link depends on all before it. A stage in dvc.yaml therefore lists only its neighbour, and `dvc dag` is a line.

    artifacts/
    ├── manifest.parquet      one row per sample                    (graft.data.manifest)
    ├── quarantine.csv        files that cannot be used, why, and what to do
    ├── duplicates.csv        pairs of exact and near duplicates, and of look-alikes
    ├── profile.json          counts per class and split            Profile
    ├── validation/           result.json and Data Docs             Validation
    │                         change.json: compared with the last accepted run   Change
    │                         data_summary.json: for the next comparison   DataSummary
    ├── selection.json        ranked sources                        Selection
    ├── selection_scores.csv  one row per source, for the plot
    ├── inspection.json       findings of the inspection            Inspection
    ├── suspects.csv          ranked lists of samples to check
    ├── finetune/             result.json, curves.csv, search.csv, predictions.parquet   ArmResult
    ├── model/                the best seed's weights and config    ModelConfig
    ├── baseline/             the same for the other arm, including its model
    │   └── longer/           result.json, predictions.parquet of the baseline, trained as long as that helps
    │                                                               LongerTraining
    ├── verdict.json          the proof                             Verdict
    ├── pairs/                curves.csv and predictions.parquet of the seeds that the proof added
    ├── labels/               result.json, accuracies.csv, predictions.parquet: both arms with fewer labels
    │                                                               LabelsSaved
    ├── metrics.json          its numbers and those of the validation split, for `dvc metrics`
    ├── examination.json      calibration and robustness            Examination
    ├── onnx/                 model.onnx and MODEL_CARD.md, or the reason for refusing
    ├── export.json           parity                                Export
    ├── confusion.csv         label and prediction of each test item
    └── report.html
"""

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from graft.core.errors import ContentChangedError
from graft.core.files import sha256_of_file, write_json

MANIFEST = "manifest.parquet"
QUARANTINE = "quarantine.csv"
DUPLICATES = "duplicates.csv"
DATA_DOCS = "validation/data_docs/index.html"
SELECTION_SCORES = "selection_scores.csv"
SUSPECTS = "suspects.csv"
LONGER_PREDICTIONS = "baseline/longer/predictions.parquet"
PAIR_CURVES = "pairs/curves.csv"
PAIR_PREDICTIONS = "pairs/predictions.parquet"
LABEL_ACCURACIES = "labels/accuracies.csv"
LABEL_PREDICTIONS = "labels/predictions.parquet"
METRICS = "metrics.json"
CONFUSION = "confusion.csv"
ONNX_MODEL = "onnx/model.onnx"
MODEL_CARD = "onnx/MODEL_CARD.md"
REFUSAL = "onnx/REFUSED.txt"
REPORT = "report.html"

ACCEPTED_DATA = "accepted_data.json"
GIVEN_SPLITS = "splits.json"
REJECTED_SOURCES = "rejected_sources.json"
TEST_USES = "test_uses.json"
WRITTEN_BY_RUNS = ("dvc.lock", ACCEPTED_DATA, GIVEN_SPLITS, REJECTED_SOURCES, TEST_USES)
"""Committed files in the project's root that runs change and nobody edits."""


class Artifact(BaseModel):
    """A result that a stage writes as JSON.

    Numbers are rounded to 6 digits when written, so that a reader can compare files by eye.
    """

    NAME: ClassVar[str]
    """Path relative to the artifacts folder, or to the arm's folder if each arm has one."""
    EXACT: ClassVar[frozenset[str]] = frozenset()
    """Fields that keep all digits."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def save(self, path: Path) -> None:
        content = self.model_dump(mode="json")
        write_json(path, {name: value if name in self.EXACT else _rounded(value) for name, value in content.items()})

    @classmethod
    def load(cls, path: Path) -> Self:
        """
        Raises:
            ContentChangedError: the file is not what this version of Graft writes.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ContentChangedError.of_artifact(path, error) from error


class KeptInGit(Artifact):
    """A committed file in the project's root that runs add to; NAME is its name there."""

    EMPTY: ClassVar[dict[str, Any]]
    """Field values before the first run."""
    DAMAGE: ClassVar[str]
    """Predicate for the error message about a damaged file, as in "is not a list of ..."."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads the file; `EMPTY` if there is none yet.

        Raises:
            ContentChangedError: the file is not what `save` wrote.
        """
        if not path.exists():
            return cls.model_validate(cls.EMPTY)
        try:
            return super().load(path)
        except (ContentChangedError, OSError) as error:
            raise ContentChangedError(
                f"{path} {cls.DAMAGE}. Restore it with: git checkout -- {path.name}; after a merge, keep the "
                "entries of both sides."
            ) from error


class Link(Artifact):
    """An artifact that names its inputs."""

    inputs: dict[str, str]
    """Artifacts it was made from: path relative to the artifacts folder -> sha256."""

    @classmethod
    def load_verified(cls, folder: Path, name: str) -> Self:
        """Reads `folder / name` and checks that its inputs are unchanged.

        Raises:
            ContentChangedError: an input is missing or its content has changed.
        """
        link = cls.load(folder / name)
        for path, promised in link.inputs.items():
            if not (folder / path).exists() or sha256_of_file(folder / path) != promised:
                raise ContentChangedError(
                    f"{folder / path} is not the input {folder / name} was made from. Bring the artifacts back in "
                    "step with: dvc repro"
                )
        return link


class Interval(Artifact):
    """A mean over seeds and items with its two-sided interval."""

    mean: float
    low: float
    high: float

    def within(self, least: float, most: float) -> Self:
        """Clips the interval to the bounds of its quantity, which intervals from few seeds can exceed."""
        low, high = max(least, self.low), min(most, self.high)
        return self.model_copy(update={"low": low, "high": high})

    @property
    def complement(self) -> Self:
        """Interval of 1 minus the quantity."""
        return self.model_copy(update={"mean": 1 - self.mean, "low": 1 - self.high, "high": 1 - self.low})

    @property
    def in_points(self) -> str:
        return f"{self.mean:+.1f} points [{self.low:+.1f}, {self.high:+.1f}]"

    @property
    def in_points_worse(self) -> str:
        """`in_points` for a loss, with the sign dropped because the sentence names the direction."""
        return f"{-self.mean:.1f} points [{-self.high:.1f}, {-self.low:.1f}]"


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
