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
    │                         data_summary.json: for the next comparison   DataSummary (graft.validation.change)
    ├── selection.json        ranked sources                        Selection
    ├── selection_scores.csv  one row a source, for the plot
    ├── inspection.json       what a look at the data found         Inspection
    ├── suspects.csv          the ranked lists of samples to look at
    ├── finetune/             result.json, curves.csv, search.csv, predictions.parquet   ArmResult
    ├── model/                the best seed's weights and config    ModelConfig
    ├── scratch/              the same of the other arm, its model included
    ├── converged/            result.json, predictions.parquet of the scratch arm, trained for as long as it helps
    │                                                               Convergence (graft.transfer.convergence)
    ├── verdict.json          the proof                             Verdict (graft.transfer.verdict)
    ├── pairs/                curves.csv and predictions.parquet of the seeds that the proof added
    ├── labels/               result.json, accuracies.csv, predictions.parquet: both arms with fewer labels
    │                                                               LabelsSaved (graft.transfer.labels_saved)
    ├── metrics.json          its numbers and those of the validation split, for `dvc metrics`
    ├── examination.json      calibration and robustness            Examination (graft.examination.result)
    ├── onnx/                 model.onnx and MODEL_CARD.md, or why there is none
    ├── export.json           parity                                Export
    ├── confusion.csv         label and prediction of each test item
    └── report.html
"""

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from graft.core.errors import ContentChangedError
from graft.core.files import sha256_of_file, write_json

ArmName = Literal["transfer", "scratch"]
ARM_FOLDERS: dict[ArmName, str] = {"transfer": "finetune", "scratch": "scratch"}
"""Below the artifacts folder."""
MODEL_FOLDERS: dict[ArmName, str] = {"transfer": "model", "scratch": "scratch/model"}
"""Of each arm's best seed."""
SuspectKind = Literal["label", "outlier", "dark", "bright", "blurry"]


class Artifact(BaseModel):
    """Numbers are rounded to 6 digits where written, so that a reader can compare files by eye."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def save(self, path: Path) -> None:
        write_json(path, _rounded(self.model_dump(mode="json")))

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
    """A file at the project's top that runs add to, and that git keeps."""

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


def hash_inputs(folder: Path, *names: str) -> dict[str, str]:
    return {name: sha256_of_file(folder / name) for name in names}


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


class Profile(Artifact):
    classes: list[str]
    """Sorted; the position is the class index everywhere, in the ONNX file too."""
    num_samples: int
    """Labelled and used."""
    num_unlabelled: int
    num_quarantined: int
    num_duplicates: int
    """Exact copies, set aside."""
    num_leaks: int
    """Near duplicates of samples in a split that ranks higher, set aside."""
    num_not_described: int
    """Files that labels.csv does not name."""
    counts: dict[str, dict[str, int]]
    """split -> class -> number of samples."""
    quarantined: dict[str, str]
    """path -> reason, the first hundred; quarantine.csv has all."""
    quarantine_codes: dict[str, int]
    """code of a reason -> number of files, the most frequent first."""
    notes: list[str] = []
    """What was read otherwise than it is written, was not read, or is odd about files that are used: a line each."""

    @property
    def num_files(self) -> int:
        """All that were described."""
        return self.num_samples + self.num_unlabelled + self.num_quarantined + self.num_duplicates + self.num_leaks


class Expectation(Artifact):
    sentence: str
    level: Literal["error", "warning"]
    passed: bool
    observed: str
    examples: list[str] = []
    """Up to ten: paths where the table is one of samples, class names where it is one of classes."""
    is_judged: bool = True
    """False where there was nothing to compare with, or too little: it did not fail, and says nothing."""

    @property
    def outcome(self) -> Literal["passed", "not compared", "failed", "warning"]:
        if self.passed:
            return "passed" if self.is_judged else "not compared"
        return "failed" if self.level == "error" else "warning"


class Validation(Link):
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

    expectations: list[Expectation]
    quantities: list[ChangedQuantity]


class Trial(Artifact):
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
    trial: Trial | None
    """Of the last round that it went through; None: it did not get that far."""
    tflops_spent: float
    """On looking at this source, in 1e12 floating-point operations."""
    dropped: str
    """When and why; empty for those that stayed to the end."""


class Selection(Link):
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


class SuspectList(Artifact):
    kind: SuspectKind
    num_ranked: int
    num_listed: int
    """The first of the ranking, in suspects.csv."""
    num_suspicious: int
    """Labels that are estimated to be wrong; elsewhere samples beyond 3.5 robust deviations from the median."""


class Inspection(Link):
    """A look at the training and validation samples; the test split is left alone."""

    source: str
    """Whose frozen features the labels and outliers were judged by."""
    num_samples: int
    """Training and validation samples."""
    num_embedded: int
    """Of these, the ones that labels and outliers were ranked among."""
    num_folds: int
    lists: list[SuspectList]


class TrainingFinding(Artifact):
    """What the watch said of a training (graft.watch.watch)."""

    seed: int
    rule: str
    step: int
    seen: str
    """With numbers."""
    cause: str
    """The likely one."""
    parameter: str
    """Of params.yaml, to change."""


class ArmResult(Link):
    arm: ArmName
    source: str
    seeds: list[int]
    num_train: int
    num_validation: int
    num_test: int
    validation_accuracy_per_seed: list[float]
    validation_loss_per_seed: list[float]
    """Of the kept weights, nats a sample."""
    majority_accuracy: float
    """Test accuracy of always answering the most frequent training class."""
    num_epochs: float
    training_tflops_per_seed: float
    """Floating-point operations of one seed's training, in 1e12."""
    num_trials: int
    """That its learning rates were searched with; 0: they are those of params.yaml."""
    has_converged: bool
    convergence: str
    recipe: str
    """As JSON with all digits (graft.training.recipe.Recipe), for further seeds."""
    settings: dict[str, float | int | str]
    findings: list[TrainingFinding] = []


class ModelConfig(Artifact):
    source: str
    architecture: str
    classes: list[str]
    image_size_px: int
    mean: list[float]
    std: list[float]
    channel_order: Literal["rgb", "bgr"]
    background: str = "#ffffff"
    """Colour that transparent parts of an image are laid on before the model sees it (`decode` of
    graft.modalities.image.reading)."""
    views: list[str]
    dropout: float
    head: Literal["linear", "mlp", "cosine"] = "linear"
    """Of graft.networks.heads."""
    seed: int
    licence: str
    """Of the source; empty where the model started from random weights."""
    weights_sha256: str
    """Of the source, before fine-tuning; empty where there was none."""


class Export(Link):
    exported: bool
    reason: str
    num_compared: int
    num_agreeing: int
    max_probability_difference: float
    onnx_sha256: str
    onnx_bytes: int
    opset: int


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
