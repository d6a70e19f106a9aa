"""Examination of both arms: calibration of their probabilities, and accuracy on corrupted images.

Nothing depends on it: the test split is evaluated after the verdict, and the temperature is fitted to the validation
split.
"""

import logging

import numpy as np
import pandas as pd
from torch import Tensor

from graft.core.arms import ARMS, ArmName
from graft.core.config import ExamineParams
from graft.core.device import pick_device
from graft.core.errors import UnpairedRunsError
from graft.core.progress import track
from graft.core.table_files import read_parquet
from graft.data.images import load_images
from graft.data.manifest import usable_samples
from graft.data.units import units_by_id
from graft.examination.corruptions import frame_side_px
from graft.examination.examinee import Examinee
from graft.examination.result import ArmExamination, Examination
from graft.examination.robustness import (
    breaks_first_in_words,
    clean_accuracy,
    correct_on_corrupted,
    corrupted_scores,
    drop_differences,
)  # fmt: skip
from graft.experiment.result import ArmResult
from graft.networks.model_config import ModelConfig
from graft.project import Project
from graft.selection.subsample import subsample
from graft.statistics.calibration import calibration_of, log_loss_saved, reliability_of, temperature_of, tempered

logger = logging.getLogger(__name__)

EXAMINED = [name for files in ARMS.values() for name in (files.result, files.predictions, files.config, files.weights)]


def examine_models(project: Project) -> None:
    """Examines both arms' kept models and predictions, and writes the results.

    Raises:
        UnpairedRunsError: the kept models were tested on different items.
    """
    params, manifest = project.params, project.manifest
    for files in ARMS.values():
        project.load(ArmResult, files.folder)
    device = pick_device()
    examinees = {arm: Examinee(project.path(files.model), device) for arm, files in ARMS.items()}
    tests = {arm: _test_predictions(project, arm, examinee) for arm, examinee in examinees.items()}
    _require_same_items(tests)
    config, max_samples = examinees["transfer"].config, params.examine.max_samples
    validation = usable_samples(manifest, "validation")
    validation_NCSS = load_images(project.data, validation, config.image_size_px, background=config.background)
    validation_NSS3 = validation_NCSS.permute(0, 2, 3, 1)
    sampled = tests["transfer"] if max_samples is None else subsample(tests["transfer"], max_samples, min_per_class=1)
    correct = _correct_on_corrupted(project, examinees, sampled, config)
    units = {
        name: units_by_id(samples["sample_id"], manifest)
        for name, samples in (("validation", validation), ("test", tests["transfer"]), ("corrupted", sampled))
    }
    num_units = {name: len(np.unique(units_N)) for name, units_N in units.items()}
    differences = drop_differences(correct, units["corrupted"])
    examination = Examination(
        inputs=project.hashes(*EXAMINED),
        num_validation=len(validation),
        num_validation_units=num_units["validation"],
        num_test=len(tests["transfer"]),
        num_test_units=num_units["test"],
        num_corrupted=len(sampled),
        num_corrupted_units=num_units["corrupted"],
        arms={
            arm: _examined(examinee, validation, validation_NSS3, tests[arm], correct[arm], units, params.examine)
            for arm, examinee in examinees.items()
        },
        differences=differences,
        claim=breaks_first_in_words(differences, len(sampled), num_units["corrupted"]),
    )
    project.save(examination)
    for arm, found in examination.arms.items():
        logger.info(
            f"{arm:8} expected calibration error {found.before.ece.mean:.1%}, "
            f"{found.after.ece.mean:.1%} with temperature {found.temperature.mean:.2f}"
        )
    logger.info(examination.claim)


def _test_predictions(project: Project, arm: ArmName, examinee: Examinee) -> pd.DataFrame:
    """Predictions of the kept model, one row per test item."""
    predictions = read_parquet(project.path(ARMS[arm].predictions))
    return predictions[predictions["seed"] == examinee.config.seed].reset_index(drop=True)


def _require_same_items(tests: dict[ArmName, pd.DataFrame]) -> None:
    """Checks that both arms were tested on the same items.

    Raises:
        UnpairedRunsError: the arms were tested on different items, or in a different order.
    """
    ours, theirs = (tests[arm][["sample_id", "label"]] for arm in ARMS)
    if not ours.equals(theirs):
        raise UnpairedRunsError(
            f"the kept models were tested on different items, {len(ours)} and {len(theirs)}. Run both arms again on "
            "the same manifest."
        )


def _correct_on_corrupted(
    project: Project, examinees: dict[ArmName, Examinee], samples: pd.DataFrame, config: ModelConfig
) -> dict[ArmName, np.ndarray]:
    """Correctness of each arm on clean and corrupted test images: see `correct_on_corrupted`."""
    images_NCSS = load_images(project.data, samples, frame_side_px(config.image_size_px), background=config.background)
    images = zip(images_NCSS.permute(0, 2, 3, 1).numpy(), samples["sample_id"], strict=True)
    return correct_on_corrupted(
        track(images, "corrupted test images", total=len(samples)),
        examinees["transfer"].indices_of(samples["label"]),
        {arm: examinee.probabilities for arm, examinee in examinees.items()},
        seed=project.params.examine.seed,
    )


def _examined(
    examinee: Examinee,
    validation: pd.DataFrame,
    validation_NSS3: Tensor,
    test: pd.DataFrame,
    correct_NV: np.ndarray,
    units: dict[str, np.ndarray],
    params: ExamineParams,
) -> ArmExamination:
    """Results of one arm.

    Args:
        validation_NSS3: images of the validation split.
        test: predictions for the test split.
        correct_NV: correctness on clean and corrupted test images.
        units: unit of each item of "validation", "test" and "corrupted".
    """
    temperature = temperature_of(
        examinee.probabilities(validation_NSS3),
        examinee.indices_of(validation["label"]),
        units["validation"],
        seed=params.seed,
    )
    labels_N, units_N = examinee.indices_of(test["label"]), units["test"]
    before_NK = test[[f"probability_{name}" for name in examinee.config.classes]].to_numpy(dtype=float)
    after_NK = tempered(before_NK, temperature.mean)
    return ArmExamination(
        seed=examinee.config.seed,
        temperature=temperature,
        before=calibration_of(before_NK, labels_N, units_N, num_bins=params.num_bins, seed=params.seed),
        after=calibration_of(after_NK, labels_N, units_N, num_bins=params.num_bins, seed=params.seed),
        log_loss_saved=log_loss_saved(before_NK, after_NK, labels_N, units_N),
        reliability=reliability_of(before_NK, labels_N, units_N, num_bins=params.num_bins),
        clean_accuracy=clean_accuracy(correct_NV, units["corrupted"]),
        corrupted=corrupted_scores(correct_NV, units["corrupted"]),
    )
