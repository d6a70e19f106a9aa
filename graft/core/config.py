"""params.yaml as frozen models, one per stage; `inputs` says what a sample is, `arms` what both arms must share."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from PIL import ImageColor
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from graft.core.errors import ParamsError
from graft.core.yaml_files import read_yaml, shown

Fraction = Annotated[float, Field(ge=0, lt=1)]
PositiveInt = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
"""numpy, scikit-learn and optuna take 32 bits at most, and further seeds count up from here."""
LearningRate = Annotated[float, Field(gt=0, le=1)]
Quarantine = Literal["wrong_extension", "animated", "deep", "cmyk", "transparent"]
Method = Literal["linear_probe", "partial", "full", "lp_ft", "gradual_unfreeze", "lora"]
"""Those of graft/training/methods.py."""
Preference = Literal["accuracy", "cheapest"]
"""That of graft/selection/elimination.py."""
Auto = Literal["auto"]
"""In place of a setting that follows from the data: graft/training/defaults.py."""
View = Literal["identity", "flip_horizontal", "flip_vertical", "rotate_180"]
Value = TypeVar("Value")
MOVED = {
    "scratch": "baseline",
    "converge": "baseline.longer",
    "check_transfer.scratch_bar": "check_transfer.baseline_bar",
    "arms.image_size_px": "inputs.image_size_px",
    "arms.views": "inputs.views",
    "arms.augmentation": "inputs.augmentation",
    "arms.num_augmented_views": "inputs.num_augmented_views",
}
"""Keys of older versions of params.yaml -> where they are now."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*")
    @classmethod
    def _fits_into_64_bits(cls, value: object) -> object:
        if isinstance(value, int) and abs(value) >= 2**63:
            raise ValueError("more than 64 bits")
        return value


class ImageInputsParams(Section):
    """The way from an image to what the network takes; see graft/modalities/image."""

    modality: Literal["image"]
    image_size_px: Annotated[int, Field(ge=32, le=1024)]
    views: Annotated[list[View], Field(min_length=1)]
    """Training draws one per sample and step; predictions average over all (also inside the ONNX file)."""
    augmentation: Literal["none", "photos", "inspection", "documents"]
    """See graft/modalities/image/augmentation.py."""
    num_augmented_views: Annotated[int, Field(ge=0, le=1000)]
    """Versions of each training sample that `augmentation` makes, besides the views."""

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
"""One model per modality, told apart by `modality`."""


class IngestParams(Section):
    """What decides over the manifest, and so stays here for every modality: the other settings of `inputs` may change
    without reading the data anew."""

    split_key: str
    """Salt of the split hash: another key gives another random split."""
    test_fraction: Annotated[float, Field(ge=0.05, le=0.5)]
    validation_fraction: Annotated[float, Field(ge=0.02, le=0.4)]
    """Of all samples, not of what the test split leaves."""
    near_duplicate_similarity: Annotated[float, Field(gt=0, le=1)] | None
    """Samples at least this much alike count as one; null looks for exact copies alone and decodes none."""
    accept: list[Quarantine]
    """Kinds of samples that are used all the same."""
    background: str
    """Colour that transparent parts are laid on: a name, or #rrggbb in quotes. Kept as #rrggbb."""
    max_quarantined_fraction: Fraction
    """The run stops when more files than this, and more than one, cannot be used; 0: when any cannot."""
    ignored_columns: list[str]
    """Columns of labels.csv that are not read, as it spells them; any other that Graft does not know stops the run."""

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
    """What the data must satisfy is in expectations.yaml; these calibrate its table `changes`."""

    change_alpha: Annotated[float, Field(gt=0, le=0.2)]
    """Chance that data which have not changed raise any shift alarm."""
    min_psi: Annotated[float, Field(ge=0, le=1)]
    """A smaller population stability index is no shift, however many samples show it."""


class SelectParams(Section):
    """The procedure is told in graft/selection/choice.py."""

    candidates: Annotated[list[str], Field(min_length=1)]
    """Names from sources.yaml."""
    default: str | None
    """The candidate that is taken unless another is clearly better; null: the strongest by the catalogue
    (graft.selection.prior), of those that the licences and limits allow."""
    prefer: Preference
    """Between sources that the evidence does not separate: accuracy takes the default, cheapest the one with the fewest
    operations in use."""
    licences: Annotated[list[str], Field(min_length=1)]
    """Sources with another licence are kept out."""
    max_parameters: Annotated[float, Field(gt=0)] | None
    max_gflops: Annotated[float, Field(gt=0)] | None
    """GFLOPs of the backbone for one sample as `inputs` has it: stands for latency, the same on every machine."""
    domain: str | None
    """The target's own, in the words of sources.yaml: such sources are looked at first if time is short."""
    max_samples: Annotated[int, Field(ge=50)]
    """At most so many training samples are looked at (stratified)."""
    num_folds: Annotated[int, Field(ge=2, le=20)]
    num_repeats: PositiveInt
    regularisation_strength: Annotated[float, Field(gt=0)]
    """L2 penalty of the logistic probe: the inverse of scikit-learn's C."""
    max_finalists: Annotated[int, Field(ge=3)]
    """At most so many go from the probe into short fine-tuning; the default, the best by the probe and the best by
    nearest neighbours are among them."""
    trial_rounds: Annotated[int, Field(ge=1, le=10)]
    """Of short fine-tuning; after each but the last, the worse half is dropped."""
    trial_steps: Annotated[int, Field(ge=2)]
    """Optimiser steps in the first round; each round doubles them."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    """Level of the two-sided interval of the last difference."""
    margin_points: Annotated[float, Field(ge=0, le=100)]
    """Points of accuracy above which that interval must lie, or the default is taken: a small lead after a few steps
    says who learns faster, not who ends higher."""
    budget_s: Annotated[float, Field(gt=0)]
    """What would end later is not started. Where it binds, the choice depends on the machine's speed, and says so."""
    seed: Seed

    @model_validator(mode="after")
    def _default_is_a_candidate(self) -> "SelectParams":
        if self.default is not None and self.default not in self.candidates:
            raise ValueError(f"default is {self.default!r}, which is none of the candidates")
        return self


class InspectParams(Section):
    max_samples: Annotated[int, Field(ge=50)]
    """At most so many training and validation samples are embedded (stratified)."""
    num_listed: PositiveInt
    """Length of each list in suspects.csv; that of the labels holds at least a tenth of the ranked samples."""


class ArmsParams(Section):
    """What the transfer arm and the baseline arm share: else the comparison means nothing."""

    seeds: Annotated[list[Seed], Field(min_length=2)]
    """Of the start; `check_transfer.max_seeds` adds to them."""
    batch_size: Annotated[int, Field(ge=2)]
    precision: Literal["auto", "float32", "bfloat16"]
    """auto measures both, forward and in training, and takes bfloat16 where it is clearly faster."""
    head: Literal["linear", "mlp", "cosine"]
    """See graft/networks/heads.py."""
    class_balance: Literal["none", "weights", "sampling"]
    """See graft/training/ingredients/balance.py."""
    mixing: Literal["none", "mixup", "cutmix"]
    """See graft/training/ingredients/mixing.py."""
    mixing_alpha: Annotated[float, Field(gt=0, le=10)]
    label_smoothing: Fraction
    dropout: Fraction
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    decay_norm_and_bias: bool
    schedule: Literal["one_cycle", "cosine"]
    warmup_fraction: Fraction
    ema_decay: Fraction
    """Of the moving average of the weights that is kept in the end; 0 keeps the last weights."""
    early_stopping_patience: PositiveInt | None
    """Epochs without a lower validation loss, after which a training ends and its best epoch is kept; null: never."""
    max_cached_activations_gb: Annotated[float, Field(ge=0)]
    """Beyond this, frozen blocks are computed in every step instead of once. Changes the speed only."""
    search_s: Annotated[float, Field(ge=0)]
    """Of each arm's search for learning rates on validation data, before its seeds are trained; 0: none
    (graft/training/search.py)."""
    search_trials: PositiveInt | None
    """Ends the search, so that it can be repeated and is the same for both arms, where the seconds do not end it
    before."""

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
    probe_epochs: PositiveInt | Auto
    """Of the head alone, before the others; lp_ft only."""
    num_trained_blocks: PositiveInt | Auto | None
    """Blocks counted from the output; those before them stay frozen. null: all learn."""
    backbone_learning_rate: LearningRate | Auto
    head_learning_rate: LearningRate
    batchnorm_statistics: Literal["source", "target"] | Auto
    """What BatchNorm of blocks that learn normalises by: see graft/training/recipe.py."""
    lora_rank: PositiveInt
    """Of the adapters; method lora only."""
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    """Factor of the learning rate from a block to the one before it."""
    l2_sp: Annotated[float, Field(ge=0, le=10)]
    """Strength of the pull to the pretrained weights; takes the place of weight decay where it is above 0."""
    bss: Annotated[float, Field(ge=0, le=10)]
    """Strength of batch spectral shrinkage."""
    find_rate: bool
    """Says which learning rates a range test suggests (graft/training/rate_finder.py); changes nothing."""
    wise_ft_share: Annotated[float, Field(ge=0, le=1)]
    """How far the kept weights lie on the way from the probed head to the end of fine-tuning; 1: at the end."""

    @model_validator(mode="after")
    def _interpolates_from_a_trained_head(self) -> "FinetuneParams":
        if self.wise_ft_share < 1 and self.method not in ("lp_ft", "gradual_unfreeze"):
            raise ValueError(
                f"wise_ft_share is {self.wise_ft_share}, but with method {self.method} there is no trained head to "
                "interpolate from; use lp_ft or gradual_unfreeze, or set it to 1"
            )
        return self


class LongerParams(Section):
    """The baseline once more: twice the training again and again, while that helps."""

    max_budget_ratio: Annotated[float, Field(ge=1, le=1000)]
    """The longest training over that of the baseline; below 2, none is tried."""
    least_improvement: Annotated[float, Field(gt=0, lt=1)]
    """Share of the validation loss that twice the training must take off, or it no longer helps."""


class BaselineParams(Section):
    """The same training with the transferred thing taken away (graft/core/arms.py)."""

    learning_rate: LearningRate
    compute_ratio: Annotated[float, Field(gt=0, le=100)]
    """Training FLOPs of the baseline over those of the transfer arm."""
    longer: LongerParams


class CheckTransferParams(Section):
    alpha: Annotated[float, Field(gt=0, lt=0.5)]
    alpha_over: Literal["verdict", "test_split"]
    """verdict: each verdict has alpha for itself. test_split: all that are given on the same test items share it."""
    max_seeds: Annotated[int, Field(ge=2, le=50)]
    """Of each arm: pairs are added to arms.seeds, until the verdict is decided or there are so many."""
    margin_points: Annotated[float, Field(ge=0, le=100)]
    """A gain whose whole interval lies within this, on either side of zero, does not matter."""
    on_inconclusive: Literal["export", "reject"]
    on_negative: Literal["reject", "next_source", "baseline"]
    """reject: nothing is exported. next_source: the flow tries the runner-up. baseline: the baseline arm's model is
    exported, if it passes baseline_bar."""
    max_sources: Annotated[int, Field(ge=2, le=10)]
    """Tried at most with next_source; alpha is shared among so many."""
    baseline_bar: Annotated[float, Field(ge=0, lt=1)] | None
    """Test accuracy that the baseline arm's whole interval must lie above; null: that of always answering the most
    frequent class."""


class ExamineParams(Section):
    max_samples: Annotated[int, Field(ge=10)] | None
    """Test samples that are corrupted (stratified); null: all."""
    num_bins: Annotated[int, Field(ge=2, le=100)]
    """Of the calibration error; each holds equally many test samples."""
    seed: Seed
    """Of the noise and of resampling."""


class CountLabelsParams(Section):
    fractions: list[Annotated[float, Field(gt=0, lt=1)]]
    """Of the training samples, that both arms are trained with too; none: the labels that are saved are not counted."""


class ExportParams(Section):
    opset: Annotated[int, Field(ge=18, le=25)]
    max_probability_difference: Annotated[float, Field(gt=0, lt=0.1)]


class ReportParams(Section):
    num_samples_per_class: PositiveInt
    num_mistakes: PositiveInt
    num_pairs: PositiveInt
    """Of duplicates and look-alikes."""
    num_suspects: PositiveInt
    """Pictures of each list of the inspection."""


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


def load_params(path: Path) -> Params:
    """
    Raises:
        ParamsError: lists every mistake with its key, what is allowed and what was found.
    """
    content = read_yaml(path, ParamsError)
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        mistakes = [f"  {_mistake(detail)}" for detail in error.errors()]
        raise ParamsError(f"{path} holds {len(mistakes)} mistake(s):\n" + "\n".join(mistakes)) from error


def _mistake(detail: ErrorDetails) -> str:
    steps, kind, words, found = list(detail["loc"]), detail["type"], detail["msg"], detail["input"]
    if steps[:1] == ["inputs"]:
        del steps[1:2]  # the modality, which pydantic puts there
    if kind == "union_tag_invalid":
        steps, words, found = [*steps, "modality"], f"must be {detail['ctx']['expected_tags']}", found["modality"]
    if kind == "union_tag_not_found":
        steps, kind = [*steps, "modality"], "missing"
    key = ".".join(str(step) for step in steps)
    if kind == "missing":
        return f"{key}: this key is missing"
    if kind == "extra_forbidden":
        words = f"this is {MOVED[key]} now" if key in MOVED else "no such key; check its spelling"
    return f"{key}: {words} (found: {shown(found)})"


def _without_repeats(values: list[Value]) -> list[Value]:
    if len(set(values)) != len(values):
        raise ValueError(f"repeats a value: {values}")
    return values
