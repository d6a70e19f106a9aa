"""What stages hand to each other, and the files it lies in.

Everything a stage writes is a DVC output: equal inputs give equal bytes, so there is no time, host or run id in it.
Tables are parquet or CSV, single results are JSON, weights are safetensors.

The results form a chain: each names the sha256 of the artifacts it was made from (`inputs`), so whoever depends on the
last link depends on all before it. That is why a stage in dvc.yaml lists only its neighbour, and `dvc dag` is a line.

    artifacts/
    ├── manifest.parquet      one row a sample                      (graft.data.manifest)
    ├── quarantine.csv        files that cannot be used, why, and what to do
    ├── duplicates.csv        pairs of exact and near duplicates, and of look-alikes
    ├── profile.json          counts a class and split              Profile
    ├── validation/           result.json and Data Docs             Validation
    │                         change.json: against the last accepted run   Change
    │                         data_summary.json: for the next comparison   DataSummary
    ├── selection.json        ranked sources                        Selection
    ├── selection_scores.csv  one row a source, for the plot
    ├── inspection.json       what a look at the data found         Inspection
    ├── suspects.csv          the ranked lists of samples to look at
    ├── finetune/             result.json, curves.csv, search.csv, predictions.parquet   ArmResult
    ├── model/                the best seed's weights and config    ModelConfig
    ├── baseline/             the same of the other arm, its model included
    │   └── longer/           result.json, predictions.parquet of the baseline, trained for as long as it helps
    │                                                               LongerTraining
    ├── verdict.json          the proof                             Verdict
    ├── pairs/                curves.csv and predictions.parquet of the seeds that the proof added
    ├── labels/               result.json, accuracies.csv, predictions.parquet: both arms with fewer labels
    │                                                               LabelsSaved
    ├── metrics.json          its numbers and those of the validation split, for `dvc metrics`
    ├── examination.json      calibration and robustness            Examination
    ├── onnx/                 model.onnx and MODEL_CARD.md, or why there is none
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
"""Files at the project's top that are committed and change with a run, though nobody edits them."""


class Artifact(BaseModel):
    """A result that a stage writes as JSON.

    Numbers are rounded to 6 digits where written, so that a reader can compare files by eye.
    """

    NAME: ClassVar[str]
    """Path below the artifacts folder, or below the arm's where each arm has one."""
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
    """A file at the project's top that runs add to, and that git keeps; NAME is its name there."""

    EMPTY: ClassVar[dict[str, Any]]
    """Its fields before the first run."""
    OTHERWISE: ClassVar[str]
    """What a damaged one is or does, as in "is not a list of ..."."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Without a file, nothing has been kept yet.

        Raises:
            ContentChangedError: the file is not what `save` wrote.
        """
        if not path.exists():
            return cls.model_validate(cls.EMPTY)
        try:
            return super().load(path)
        except (ContentChangedError, OSError) as error:
            raise ContentChangedError(
                f"{path} {cls.OTHERWISE}. Restore it with: git checkout -- {path.name}; after a merge, keep the "
                "entries of both sides."
            ) from error


class Link(Artifact):
    """An artifact that names what it was made from."""

    inputs: dict[str, str]
    """What it was made from: path below the artifacts folder -> sha256."""

    @classmethod
    def load_verified(cls, folder: Path, name: str) -> Self:
        """Reads `folder / name` and checks that its inputs are still what it was made from.

        Raises:
            ContentChangedError: an input is gone or has other bytes.
        """
        link = cls.load(folder / name)
        for path, promised in link.inputs.items():
            if not (folder / path).exists() or sha256_of_file(folder / path) != promised:
                raise ContentChangedError(
                    f"{folder / path} is not what {folder / name} was made from. Bring the artifacts in step again "
                    "with: dvc repro"
                )
        return link


class Interval(Artifact):
    """A mean over seeds and items with its two-sided interval."""

    mean: float
    low: float
    high: float

    def within(self, least: float, most: float) -> Self:
        """Without what cannot be: few seeds leave intervals that reach beyond the bounds of their quantity."""
        low, high = max(least, self.low), min(most, self.high)
        return self.model_copy(update={"low": low, "high": high})

    @property
    def in_points(self) -> str:
        return f"{self.mean:+.1f} points [{self.low:+.1f}, {self.high:+.1f}]"

    @property
    def in_points_worse(self) -> str:
        """The same of a loss, whose direction a word names: without its sign."""
        return f"{-self.mean:.1f} points [{-self.high:.1f}, {-self.low:.1f}]"


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
