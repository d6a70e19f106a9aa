"""Cases of which it is known what the verdict must be: pictures, weights and settings of each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.case_weights import Target, memorised, random_weights, shuffled
from graft.hub.catalogue import Source
from graft.networks.backbones import Backbone
from graft.transfer.verdict import VerdictWord

CLASSES = {
    "elpv": ["defective", "functional"],
    "mnist": [str(digit) for digit in range(10)],
    "fashion": ["top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"],
}
Changes = dict[str, dict[str, Any]]


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
    """In sources.yaml."""
    dataset: str
    num_train: int
    """Images, as `num_validation` and `num_test`; each is a series of crops if the case has one."""
    num_validation: int
    num_test: int
    params: Changes
    told: str
    """What was done to the weights."""
    expected: str
    allowed: tuple[VerdictWord, ...]
    make_weights: Callable[[Source, Target], Backbone] | None = None
    """None: the source's own."""
    series: Series | None = None
    """Each image becomes such a series, which is a `group` of labels.csv; None: images as they are, without groups."""

    @property
    def source_name(self) -> str:
        return self.source if self.make_weights is None else f"{self.source}_{self.name}"


def merged(*parts: Changes) -> Changes:
    """Key by key; the last part wins."""
    whole: Changes = {}
    for part in parts:
        for section, values in part.items():
            whole[section] = whole.get(section, {}) | values
    return whole


LEAN: Changes = {
    "ingest": {"near_duplicate_similarity": None},  # many a digit is nearly another one
    "select": {"max_samples": 60, "num_repeats": 1, "num_folds": 3, "trial_rounds": 1, "trial_steps": 4},
    "inspect": {"max_samples": 60},
    "inputs": {"views": ["identity"], "image_size_px": 32},
    "arms": {"precision": "float32"},
    "baseline": {"longer": {"max_budget_ratio": 1}},
    "count_labels": {"fractions": []},
    "examine": {"max_samples": 20},
    "check_transfer": {"max_seeds": 3},
}
"""Of all cases: what the verdict does not need costs little, and the arithmetic is the same on every machine."""
HALF_FROZEN: Changes = {
    "finetune": {
        "method": "partial",
        "num_epochs": 6,
        "num_trained_blocks": 6,
        "backbone_learning_rate": 0.001,
        "batchnorm_statistics": "target",
    }
}
"""What `auto` comes to where there are many samples a class; the first blocks stay as the source has them."""
DIGITS: dict[str, Any] = {
    "source": "documents_pplcnet_v3",
    "dataset": "mnist",
    "num_train": 2000,
    "num_validation": 200,
    "num_test": 800,
    "params": merged(LEAN, HALF_FROZEN, {"check_transfer": {"max_seeds": 5}}),
}
"""Data and a network of which the baseline arm learns much, and every seed as much, for the transfer arm's compute:
harm can be seen."""
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
        told="ImageNet weights as they are, on solar cells with 300 labels",
        expected="positive",
        allowed=("positive",),
    ),
    Case(
        **DIGITS,
        name="digits",
        told="a text detector for documents as it is, on handwritten digits: what the two below are held against",
        expected="anything but negative",
        allowed=("positive", *NO_VERDICT),
    ),
    Case(
        **DIGITS,
        name="shuffled",
        told="each tensor's elements permuted: nothing is left of what was learned but the sizes of the numbers",
        expected="anything but positive",
        allowed=("negative", *NO_VERDICT),
        make_weights=shuffled,
    ),
    Case(
        **DIGITS,
        name="memorised",
        told="trained on 200 of the target's training pictures with permuted labels until at least 95 % of them fit, "
        "first at a rate that wipes out what it had learned",
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
        told="a text detector for documents, on pictures of clothes with 3,500 labels",
        expected="a verdict, whichever",
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
        told="random weights in both arms, and the same recipe: there is nothing to be found",
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
        told="random weights in both arms, and the same recipe, as in `alike`, on sixteen overlapping crops of each "
        "solar cell: there is nothing to be found, and the crops of a cell are not independent of each other",
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
        told="ImageNet weights as they are, on nine overlapping crops of each of 120 labelled solar cells",
        expected="anything but negative",
        allowed=("positive", *NO_VERDICT),
        series=Series(crops_per_side=3, crop_px=200),
    ),
]
