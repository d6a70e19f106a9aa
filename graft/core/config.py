"""params.yaml as frozen models, one per stage; `inputs` describes a sample, `arms` holds what both arms must share."""

from typing import Annotated, Literal, TypeVar

from PIL import ImageColor
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from graft.core.choices import (
    AlphaOver,
    Augmentation,
    Auto,
    BatchNormStatistics,
    ClassBalance,
    Head,
    Method,
    Mixing,
    OnInconclusive,
    OnNegative,
    Precision,
    Preference,
    Quarantine,
    Schedule,
    View,
)

Fraction = Annotated[float, Field(ge=0, lt=1)]
PositiveInt = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
"""Seed of 31 bits: numpy, scikit-learn and optuna take at most 32, and further seeds count up from here."""
LearningRate = Annotated[float, Field(gt=0, le=1)]
Value = TypeVar("Value")


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @field_validator("*")
    @classmethod
    def _fits_into_64_bits(cls, value: object) -> object:
        if isinstance(value, int) and abs(value) >= 2**63:
            raise ValueError("more than 64 bits")
        return value


class ImageInputsParams(Section):
    """Settings of how an image becomes the network's input; see graft/modalities/image."""

    modality: Literal["image"]
    """Kind of sample. The other keys of `inputs` are those of its modality; sources of another modality are refused."""
    image_size_px: Annotated[int, Field(ge=32, le=1024)]
    """Side of the square that the network takes."""
    views: Annotated[list[View], Field(min_length=1)]
    """Training draws one per sample and step; predictions average over all (also inside the ONNX file)."""
    augmentation: Augmentation
    """See graft/modalities/image/augmentation.py."""
    num_augmented_views: Annotated[int, Field(ge=0, le=1000)]
    """Number of versions of each training sample that `augmentation` makes, in addition to the views."""

    @field_validator("views")
    @classmethod
    def _no_repeats(cls, views: list[View]) -> list[View]:
        return _without_repeats(views)

    @model_validator(mode="after")
    def _augmentation_has_views(self) -> "ImageInputsParams":
        if (self.augmentation == "none") != (self.num_augmented_views == 0):
            raise ValueError(
                f"augmentation is {self.augmentation} and num_augmented_views {self.num_augmented_views}; "
                "none goes with 0, and any other with a number of views"
            )
        return self


InputsParams = Annotated[ImageInputsParams, Field(discriminator="modality")]
"""One model per modality, distinguished by the key `modality`."""


class IngestParams(Section):
    """Settings that determine the manifest. They are here for every modality, so that those of `inputs` can change
    without reading the data again."""

    split_key: str
    """Salt of the split hash: another key gives another random split."""
    test_fraction: Annotated[float, Field(ge=0.05, le=0.5)]
    """Share of all samples. A sample's split follows from a hash of its content (or its group) and never moves."""
    validation_fraction: Annotated[float, Field(ge=0.02, le=0.4)]
    """Fraction of all samples, not of those left after the test split."""
    near_duplicate_similarity: Annotated[float, Field(gt=0, le=1)] | None
    """Samples at least this similar count as one; null: exact copies only, and nothing is decoded."""
    accept: list[Quarantine]
    """Kinds of samples that are used instead of quarantined."""
    background: str
    """Colour behind transparent parts: a name, or #rrggbb in quotes. Stored as #rrggbb."""
    max_quarantined_fraction: Fraction
    """The run stops if more files than this, and more than one, cannot be used; 0: if any cannot."""
    ignored_columns: list[str]
    """Columns of labels.csv that are not read, spelled as in the file; any other unknown column stops the run."""

    @field_validator("ignored_columns")
    @classmethod
    def _something_is_left_to_read(cls, names: list[str]) -> list[str]:
        if needed := {"path", "label"} & set(names):
            raise ValueError(
                f"{' and '.join(sorted(needed))} cannot be ignored: without path and label nothing is known"
            )
        return names

    @field_validator("background", mode="before")
    @classmethod
    def _is_a_colour(cls, value: object) -> str:
        try:
            channels = ImageColor.getrgb(value) if isinstance(value, str) else ()
        except ValueError:
            channels = ()
        if len(channels) != 3:
            raise ValueError('must be a colour, by name or in quotes by number: white, or "#808080"')
        return "#" + bytes(channels).hex()

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> "IngestParams":
        if self.test_fraction + self.validation_fraction > 0.7:
            raise ValueError("test_fraction + validation_fraction leave less than 30 % for training")
        return self


class ValidateParams(Section):
    """Calibration of the table `changes` in expectations.yaml, the file with what the data must satisfy."""

    change_alpha: Annotated[float, Field(gt=0, le=0.2)]
    """Probability that unchanged data raise any shift alarm."""
    min_psi: Annotated[float, Field(ge=0, le=1)]
    """A smaller population stability index is no shift, however many samples show it."""


class SelectParams(Section):
    """Settings of the choice of a source; graft/selection/choice.py describes the procedure."""

    candidates: Annotated[list[str], Field(min_length=1)]
    """Names from sources.yaml."""
    default: str | None
    """The candidate that is chosen unless another is clearly better; null: the strongest by the catalogue
    (graft.selection.prior) among those that the licences and limits allow."""
    prefer: Preference
    """Choice among sources that the evidence does not separate: accuracy takes the default, cheapest the one with the
    fewest operations per prediction."""
    licences: Annotated[list[str], Field(min_length=1)]
    """Sources with another licence are excluded."""
    max_parameters: Annotated[float, Field(gt=0)] | None
    """Largest backbone; larger sources are excluded. null: no limit."""
    max_gflops: Annotated[float, Field(gt=0)] | None
    """Maximum GFLOPs of the backbone for one sample of the size in `inputs`: a proxy for latency that is the same on
    every machine."""
    domain: str | None
    """Domain of the target, in the words of sources.yaml: its sources are evaluated first if time is short."""
    max_samples: Annotated[int, Field(ge=50)]
    """Maximum number of training samples used to compare the candidates (stratified)."""
    num_folds: Annotated[int, Field(ge=2, le=20)]
    """Folds of the cross-validated probe; groups and near duplicates share a fold."""
    num_repeats: PositiveInt
    """Repeats of the cross-validation, each with other folds."""
    regularisation_strength: Annotated[float, Field(gt=0)]
    """L2 penalty of the logistic probe: the inverse of scikit-learn's C."""
    max_finalists: Annotated[int, Field(ge=3)]
    """Maximum number that go from the probe into short fine-tuning; the default, the best by the probe and the best by
    nearest neighbours are among them."""
    trial_rounds: Annotated[int, Field(ge=1, le=10)]
    """Rounds of short fine-tuning; after each but the last, the worse half is dropped."""
    trial_steps: Annotated[int, Field(ge=2)]
    """Optimiser steps in the first round; each round doubles them."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    """Level of the two-sided interval of the last difference."""
    margin_points: Annotated[float, Field(ge=0, le=100)]
    """Points of accuracy that the interval must exceed, otherwise the default is chosen: a small lead after a few steps
    shows which source learns faster, not which ends higher."""
    budget_s: Annotated[float, Field(gt=0)]
    """Work that would end later is not started. If the budget binds, the choice depends on the machine's speed, and the
    result says so."""
    seed: Seed
    """Seed of folds, trials and heads."""

    @model_validator(mode="after")
    def _default_is_a_candidate(self) -> "SelectParams":
        if self.default is not None and self.default not in self.candidates:
            raise ValueError(f"default is {self.default!r}, which is not one of the candidates")
        return self


class InspectParams(Section):
    max_samples: Annotated[int, Field(ge=50)]
    """Maximum number of training and validation samples that are embedded (stratified)."""
    num_listed: PositiveInt
    """Length of each list in suspects.csv; the list of labels holds at least a tenth of the ranked samples."""


class ArmsParams(Section):
    """Settings that the transfer arm and the baseline arm share; otherwise the comparison means nothing."""

    seeds: Annotated[list[Seed], Field(min_length=2)]
    """Seeds of the first comparison; `check_transfer.max_seeds` allows more."""
    batch_size: Annotated[int, Field(ge=2)]
    """Samples per optimiser step."""
    precision: Auto | Precision
    """Precision of the network; auto measures both, forward and in training, and takes bfloat16 if clearly faster."""
    head: Head
    """See graft/networks/heads.py."""
    class_balance: ClassBalance
    """See graft/training/ingredients/balance.py."""
    mixing: Mixing
    """See graft/training/ingredients/mixing.py."""
    mixing_alpha: Annotated[float, Field(gt=0, le=10)]
    """Parameter of the beta distribution that the share of each image is drawn from."""
    label_smoothing: Fraction
    """Share of the target probability that is spread over all classes."""
    dropout: Fraction
    """Share of the features that is dropped before the head, in training only."""
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    """Decoupled weight decay of AdamW."""
    decay_norm_and_bias: bool
    """Whether weight decay also applies to norms and biases."""
    schedule: Schedule
    """Course of the learning rate over each phase."""
    warmup_fraction: Fraction
    """Share of each phase in which the learning rate rises."""
    ema_decay: Fraction
    """Decay of the moving average of the weights, which is kept at the end; 0 keeps the last weights."""
    early_stopping_patience: PositiveInt | None
    """Epochs without a lower validation loss after which training ends and its best epoch is kept; null: never."""
    max_cached_activations_gb: Annotated[float, Field(ge=0)]
    """Memory for frozen activations; if they need more, they are computed in every step. Changes the speed only."""
    search_s: Annotated[float, Field(ge=0)]
    """Seconds per arm for a search for learning rates on validation data, before its seeds are trained; 0: no search
    (graft/training/search.py)."""
    search_trials: PositiveInt | None
    """Maximum number of trials. If the seconds do not end the search first, it is reproducible and the same for both
    arms."""

    @field_validator("seeds")
    @classmethod
    def _no_repeats(cls, seeds: list[Seed]) -> list[Seed]:
        return _without_repeats(seeds)

    @model_validator(mode="after")
    def _searches_at_all(self) -> "ArmsParams":
        if self.search_trials is not None and self.search_s == 0:
            raise ValueError(f"search_trials is {self.search_trials}, but search_s is 0: nothing would be searched")
        return self


class FinetuneParams(Section):
    method: Method | Auto
    """See graft/training/methods.py."""
    num_epochs: PositiveInt | Auto
    """Length of the training."""
    probe_epochs: PositiveInt | Auto
    """Epochs of the head alone, before the blocks are trained too; lp_ft only."""
    num_trained_blocks: PositiveInt | Auto | None
    """Number of blocks counted from the output; earlier blocks stay frozen. null: all are trained."""
    backbone_learning_rate: LearningRate | Auto
    """Peak of the backbone's learning rate."""
    head_learning_rate: LearningRate
    """Peak of the head's learning rate."""
    batchnorm_statistics: BatchNormStatistics | Auto
    """Statistics that BatchNorm of trained blocks normalises by: see graft/training/recipe.py."""
    lora_rank: PositiveInt
    """Rank of the adapters; method lora only."""
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    """Factor on the learning rate from a block to the one before it."""
    l2_sp: Annotated[float, Field(ge=0, le=10)]
    """Strength of the pull towards the pretrained weights; above 0, it replaces weight decay."""
    bss: Annotated[float, Field(ge=0, le=10)]
    """Strength of batch spectral shrinkage."""
    find_rate: bool
    """Whether to print the learning rates of a range test (graft/training/rate_finder.py); changes nothing."""
    wise_ft_share: Annotated[float, Field(ge=0, le=1)]
    """Position of the kept weights on the line from the probed head (0) to the fine-tuned weights (1)."""

    @model_validator(mode="after")
    def _interpolates_from_a_trained_head(self) -> "FinetuneParams":
        if self.wise_ft_share < 1 and self.method not in ("lp_ft", "gradual_unfreeze"):
            raise ValueError(
                f"wise_ft_share is {self.wise_ft_share}, but with method {self.method} there is no trained head to "
                "interpolate from; use lp_ft or gradual_unfreeze, or set it to 1"
            )
        return self


class LongerParams(Section):
    """Longer training of the baseline: doubled repeatedly while that helps."""

    max_budget_ratio: Annotated[float, Field(ge=1, le=1000)]
    """Longest training relative to the baseline's budget; below 2, none is tried."""
    least_improvement: Annotated[float, Field(gt=0, lt=1)]
    """Relative decrease of the validation loss below which doubling the training no longer helps."""


class BaselineParams(Section):
    """Settings of the same training without the transferred thing (graft/core/arms.py)."""

    learning_rate: LearningRate
    """Peak of the baseline's learning rate."""
    compute_ratio: Annotated[float, Field(gt=0, le=100)]
    """Training FLOPs of the baseline relative to those of the transfer arm."""
    longer: LongerParams


class CheckTransferParams(Section):
    alpha: Annotated[float, Field(gt=0, lt=0.5)]
    """1 minus the confidence of the verdict, over all interim analyses together."""
    alpha_over: AlphaOver
    """Scope of alpha. verdict: each verdict has alpha to itself; test_split: all on the same test items share it."""
    max_seeds: Annotated[int, Field(ge=2, le=50)]
    """Maximum number of seeds per arm: pairs are added to arms.seeds until the verdict is decisive."""
    margin_points: Annotated[float, Field(ge=0, le=100)]
    """A gain whose whole interval is within this margin of zero does not matter."""
    on_inconclusive: OnInconclusive
    """export: the model is exported all the same. reject: it is not."""
    on_negative: OnNegative
    """Response to negative transfer. reject: nothing is exported; next_source: the flow tries the runner-up; baseline:
    the baseline arm's model is exported, if it passes baseline_bar."""
    max_sources: Annotated[int, Field(ge=2, le=10)]
    """Maximum number of sources that next_source tries; alpha is divided among them."""
    baseline_bar: Annotated[float, Field(ge=0, lt=1)] | None
    """Test accuracy that the whole interval of the baseline arm must exceed; null: the share of the most frequent
    class."""


class ExamineParams(Section):
    max_samples: Annotated[int, Field(ge=10)] | None
    """Maximum number of test samples that are corrupted (stratified); null: all."""
    num_bins: Annotated[int, Field(ge=2, le=100)]
    """Bins of the calibration error; each holds the same number of test samples."""
    seed: Seed
    """Seed of the noise and of the resampled test samples."""


class CountLabelsParams(Section):
    fractions: list[Annotated[float, Field(gt=0, lt=1)]]
    """Further training-set sizes for both arms, as fractions of the samples; empty: labels saved are not counted."""


class ExportParams(Section):
    opset: Annotated[int, Field(ge=18, le=25)]
    """Version of ONNX's operators."""
    max_probability_difference: Annotated[float, Field(gt=0, lt=0.1)]
    """Largest difference from PyTorch's probabilities; beyond it the export fails."""


class ReportParams(Section):
    num_samples_per_class: PositiveInt
    """Images of each class and split in the report."""
    num_mistakes: PositiveInt
    """Most confident mistakes in the report."""
    num_pairs: PositiveInt
    """Number of duplicates and look-alikes."""
    num_suspects: PositiveInt
    """Number of samples shown per list of the inspection."""


class Params(Section):
    inputs: InputsParams
    ingest: IngestParams
    validate_: Annotated[ValidateParams, Field(alias="validate")]
    select: SelectParams
    inspect: InspectParams
    arms: ArmsParams
    finetune: FinetuneParams
    baseline: BaselineParams
    check_transfer: CheckTransferParams
    examine: ExamineParams
    count_labels: CountLabelsParams
    export: ExportParams
    report: ReportParams


def _without_repeats(values: list[Value]) -> list[Value]:
    if len(set(values)) != len(values):
        raise ValueError(f"repeats a value: {values}")
    return values
