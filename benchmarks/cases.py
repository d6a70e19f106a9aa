"""Cases with a known verdict: images, weights and settings of each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.case_weights import Target, memorised, random_weights, shuffled
from benchmarks.params_changes import Changes, merged
from graft.hub.catalogue import Source
from graft.networks.backbones import Backbone
from graft.transfer.verdict import VerdictWord

CLASSES = {
    "elpv": ["defective", "functional"],
    "mnist": [str(digit) for digit in range(10)],
    "fashion": ["top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"],
}


@dataclass(frozen=True)
class Series:
    """Crops of one image on a square grid from edge to edge; larger than the grid's step, they overlap."""

    crops_per_side: int
    crop_px: int

    @property
    def length(self) -> int:
        return self.crops_per_side**2


@dataclass(frozen=True)
class Case:
    name: str
    source: str
    """Name in sources.yaml."""
    dataset: str
    num_train: int
    """Number of images, as `num_validation` and `num_test`; each is a series of crops if the case has one."""
    num_validation: int
    num_test: int
    params: Changes
    description: str
    """Weights and data of the case, in words."""
    expected: str
    allowed: tuple[VerdictWord, ...]
    make_weights: Callable[[Source, Target], Backbone] | None = None
    """Function that makes the weights; None: the source's own."""
    series: Series | None = None
    """Series that each image becomes, a `group` of labels.csv; None: images as they are, without groups."""

    @property
    def source_name(self) -> str:
        return self.source if self.make_weights is None else f"{self.source}_{self.name}"


LEAN: Changes = {
    "ingest": {"near_duplicate_similarity": None},  # many digits are nearly equal
    "select": {"max_samples": 60, "num_repeats": 1, "num_folds": 3, "trial_rounds": 1, "trial_steps": 4},
    "inspect": {"max_samples": 60},
    "inputs": {"views": ["identity"], "image_size_px": 32},
    "arms": {"precision": "float32"},
    "baseline": {"longer": {"max_budget_ratio": 1}},
    "count_labels": {"fractions": []},
    "examine": {"max_samples": 20},
    "check_transfer": {"max_seeds": 3},
}
"""Params of all cases: steps that the verdict does not need are cheap, and arithmetic is the same on every machine."""
HALF_FROZEN: Changes = {
    "finetune": {
        "method": "partial",
        "num_epochs": 6,
        "num_trained_blocks": 6,
        "backbone_learning_rate": 0.001,
        "batchnorm_statistics": "target",
    }
}
"""Values that `auto` takes with many samples per class; the first blocks stay as in the source."""
DIGITS: dict[str, Any] = {
    "source": "documents_pplcnet_v3",
    "dataset": "mnist",
    "num_train": 2000,
    "num_validation": 200,
    "num_test": 800,
    "params": merged(LEAN, HALF_FROZEN, {"check_transfer": {"max_seeds": 5}}),
}
"""Data and a network on which the baseline arm learns much, and about equally much with every seed, with the transfer
arm's compute, so that harm is visible."""
LIKE_BASELINE: Changes = {
    "finetune": {
        "method": "full",
        "num_epochs": 5,
        "backbone_learning_rate": 0.01,
        "head_learning_rate": 0.01,
        "batchnorm_statistics": "target",
    },
    "baseline": {"learning_rate": 0.01, "compute_ratio": 1.0},
}
NO_VERDICT: tuple[VerdictWord, ...] = ("inconclusive", "equivalent")
CASES = [
    Case(
        name="imagenet",
        source="mobilenet_v2",
        dataset="elpv",
        num_train=300,
        num_validation=100,
        num_test=1000,
        params=merged(LEAN, HALF_FROZEN, {"inputs": {"image_size_px": 64}}),
        description="ImageNet weights as they are, on solar cells with 300 labels",
        expected="positive",
        allowed=("positive",),
    ),
    Case(
        **DIGITS,
        name="digits",
        description="a text detector for documents as it is, on handwritten digits: the reference for the next two "
        "cases",
        expected="anything but negative",
        allowed=("positive", *NO_VERDICT),
    ),
    Case(
        **DIGITS,
        name="shuffled",
        description="each tensor's elements permuted: of what was learned, only the distribution of the values is left",
        expected="anything but positive",
        allowed=("negative", *NO_VERDICT),
        make_weights=shuffled,
    ),
    Case(
        **DIGITS,
        name="memorised",
        description="trained on 200 of the target's training images with permuted labels until at least 95 % of them "
        "fit, at first with a learning rate that erases what it had learned",
        expected="negative",
        allowed=("negative",),
        make_weights=memorised,
    ),
    Case(
        name="far",
        source="documents_pplcnet_v3",
        dataset="fashion",
        num_train=3500,
        num_validation=300,
        num_test=1200,
        params=merged(LEAN, HALF_FROZEN),
        description="a text detector for documents, on images of clothes with 3,500 labels",
        expected="any verdict",
        allowed=("positive", "negative", *NO_VERDICT),
    ),
    Case(
        name="alike",
        source="documents_pplcnet_v3",
        dataset="mnist",
        num_train=1500,
        num_validation=200,
        num_test=1000,
        params=merged(LEAN, LIKE_BASELINE),
        description="random weights in both arms, and the same recipe: there is no effect to find",
        expected="inconclusive or equivalent",
        allowed=NO_VERDICT,
        make_weights=random_weights,
    ),
    Case(
        name="series",
        source="documents_pplcnet_v3",
        dataset="elpv",
        num_train=110,
        num_validation=20,
        num_test=120,
        params=merged(LEAN, LIKE_BASELINE),
        description="random weights in both arms, and the same recipe, as in `alike`, on sixteen overlapping crops of "
        "each solar cell: there is no effect to find, and the crops of a cell are not independent of each other",
        expected="inconclusive or equivalent",
        allowed=NO_VERDICT,
        make_weights=random_weights,
        series=Series(crops_per_side=4, crop_px=200),
    ),
    Case(
        name="imagenet_series",
        source="mobilenet_v2",
        dataset="elpv",
        num_train=120,
        num_validation=30,
        num_test=300,
        params=merged(LEAN, HALF_FROZEN, {"inputs": {"image_size_px": 64}}),
        description="ImageNet weights as they are, on nine overlapping crops of each of 120 labelled solar cells",
        expected="anything but negative",
        allowed=("positive", *NO_VERDICT),
        series=Series(crops_per_side=3, crop_px=200),
    ),
]
