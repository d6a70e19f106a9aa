"""A number that is not finite never wins, an answer made of it is never right, and nothing of it ships."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from digits import CPU, digits, recipe, tiny_classifier
from metering import TickingMeter
from onnx import TensorProto, helper
from PIL import Image
from test_choice import FABRIC, SETTINGS, contest  # noqa: F401
from test_convergence import _budgets
from test_training import _classifier
from torch import Tensor, nn

from graft.core.errors import DivergedError, HubError, ParityError
from graft.core.files import sha256_of_file
from graft.core.finite import WORST_LOSS
from graft.examination.robustness import correct_on_corrupted
from graft.experiment.run_arm import kept_run
from graft.experiment.seeds import SeedRun, best_run, has_converged, predictions_table, run_seeds
from graft.hub.catalogue import Source
from graft.networks.backbones import Classifier
from graft.report.images import confident_mistakes
from graft.selection import trials
from graft.selection.budget import TimeBudget
from graft.selection.choice import Target, choose_source
from graft.selection.elimination import TrialOutcome, halve
from graft.selection.features import cached_features
from graft.selection.short_tuning import ShortFineTuning
from graft.serving.onnx import check_parity
from graft.statistics.calibration import calibration_of, log_losses
from graft.training.data import ArmData
from graft.training.evaluation import accuracy
from graft.training.loop import Runtime, train
from graft.training.observer import EpochRecord, StepCounter
from graft.training.rate_finder import rate_curve
from graft.training.search import Trial, best_of
from graft.transfer.longer_training import is_flat
from graft.transfer.predictions import correct_SN
from graft.watch import rules
from graft.watch.findings import Thresholds
from graft.watch.rules import EpochLosses
from graft.watch.watch import Watch

NAN = math.nan
LIMITS = Thresholds()
TRAIN, VALIDATION, TEST = digits(0, 96), digits(600, 650), digits(700, 730)
STEPS_AN_EPOCH = 6
CLASSES = [str(digit) for digit in range(10)]


def _runs(tmp_path: Path, lost_seeds: set[int], seeds: list[int]) -> list[SeedRun]:
    """Real trainings, some from weights that hold a NaN."""

    def make_classifier(seed: int) -> Classifier:
        classifier = tiny_classifier(seed)
        if seed in lost_seeds:
            with torch.no_grad():
                classifier.head.bias[3] = NAN
        return classifier

    def make_watch(_classifier: Classifier, num_steps: int) -> Watch:
        return Watch("transfer", num_steps, num_classes=10)

    data = ArmData(TRAIN, VALIDATION, TEST)
    meter = TickingMeter()
    return run_seeds(make_classifier, data, recipe(0.03), seeds, FABRIC, tmp_path, make_watch, meter)


def test_a_seed_whose_loss_is_no_number_is_not_kept_though_it_comes_first_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = _runs(tmp_path, lost_seeds={1}, seeds=[1, 2, 3])
    assert math.isnan(runs[0].validation_loss)
    assert kept_run("transfer", runs).validation_loss == min(run.validation_loss for run in runs[1:])
    assert "seed 1: validation accuracy 0.0%, DIVERGED: its validation loss is nan" in capsys.readouterr().out
    assert [finding.rule for finding in runs[0].findings] == ["exploding_gradients"]


def test_the_answers_of_a_seed_that_diverged_are_wrong_whatever_the_label_is(tmp_path: Path) -> None:
    runs = _runs(tmp_path, lost_seeds={1}, seeds=[1, 2])
    samples = pd.DataFrame({"sample_id": [f"{number:02}" for number in range(30)], "path": "a.png"})
    samples["label"] = [CLASSES[label] for label in TEST.labels_N.tolist()]
    table = predictions_table(runs, samples, CLASSES)
    assert (samples["label"] == "0").any()  # argmax answers a row of NaN with class 0
    assert set(table.loc[table["seed"] == 1, "predicted"]) == {""}
    correct = correct_SN(table)
    assert correct.loc[1].sum() == 0
    assert correct.loc[2].sum() > 0
    assert accuracy(torch.full((4, 2), NAN), torch.zeros(4, dtype=torch.int64)) == 0


def test_an_arm_all_of_whose_seeds_diverged_is_an_error_that_says_what_to_change(tmp_path: Path) -> None:
    runs = _runs(tmp_path, lost_seeds={1, 2}, seeds=[1, 2])
    assert best_run(runs) is None
    with pytest.raises(DivergedError, match=r"nan \(seed 1\), nan \(seed 2\).* Lower baseline.learning_rate;"):
        kept_run("baseline", runs)


def test_a_seed_that_diverged_has_not_converged(tmp_path: Path) -> None:
    (run,) = _runs(tmp_path, lost_seeds=set(), seeds=[2])
    curve = [EpochRecord(epoch, 1.0, NAN if epoch == 1 else 1 / epoch, 0.5) for epoch in range(1, 11)]
    lost = replace(run, curve=[replace(record, validation_loss=NAN) for record in curve], validation_loss=NAN)
    assert has_converged([replace(run, curve=curve), lost], 10) == (
        False,
        "not converged: lowest validation loss in epoch 10, none (diverged) of 10, by seed",
    )


def test_early_stopping_neither_keeps_nor_waits_for_an_epoch_whose_loss_is_no_number() -> None:
    model = tiny_classifier(0)
    norm = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    steps = iter(range(1, 1000))

    def lose_the_first_epoch(_steps: int) -> None:
        step = next(steps)
        if step == STEPS_AN_EPOCH - 1:
            norm.running_mean.fill_(NAN)
        if step == STEPS_AN_EPOCH:
            norm.reset_running_stats()

    patient = replace(recipe(0.03, num_epochs=6), early_stopping_patience=3)
    runtime = Runtime(FABRIC, observers=[StepCounter(lose_the_first_epoch)])
    curve = train(model, ArmData(TRAIN, VALIDATION), patient, seed=0, runtime=runtime)
    assert [math.isnan(record.validation_loss) for record in curve] == [True] + [False] * 5
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


def test_a_search_trial_whose_loss_is_no_number_never_wins() -> None:
    trials = [Trial({"rate": rate}, "finished", [], loss) for rate, loss in [(1, NAN), (2, 0.5), (3, -math.inf)]]
    assert best_of(trials) is trials[1]
    assert best_of(trials[:1]) is None


def test_the_rate_finder_suggests_nothing_where_the_first_loss_is_no_number() -> None:
    model = tiny_classifier(0)
    with torch.no_grad():
        model.head.bias[0] = NAN
    curve = rate_curve(model, TRAIN, recipe(0.1), seed=0, fabric=FABRIC, num_steps=10)
    assert curve.losses == []
    assert curve.suggestion is None


def test_a_trial_of_a_source_whose_losses_are_no_numbers_comes_last() -> None:
    losses = {"lost": np.array([0.0, NAN]), "good": np.array([0.1, 0.2]), "bad": np.array([2.0, 3.0])}
    trials = {
        name: TrialOutcome(num_steps=4, losses_M=losses_M, is_correct_M=losses_M < 0.15)
        for name, losses_M in losses.items()
    }
    assert trials["lost"].loss == math.inf
    standing, _, _ = halve(["lost", "good", "bad"], lambda _names, _number: trials, num_rounds=1, default="lost")
    assert standing[0] == "good"


def test_a_source_whose_fine_tuning_diverges_is_not_chosen_though_it_is_cheapest(
    contest: tuple[list[Source], Target],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources, target = contest

    class Diverging(ShortFineTuning):
        def __init__(self, source: Source, *args: object, **kwargs: object) -> None:
            super().__init__(source, *args, **kwargs)  # type: ignore[arg-type]
            self.is_lost = source.name == "bright"

        def probabilities(self, classifier: Classifier, indices_B: Tensor) -> Tensor:
            found = super().probabilities(classifier, indices_B)
            return torch.full_like(found, NAN) if self.is_lost else found

    monkeypatch.setattr(trials, "ShortFineTuning", Diverging)
    found = choose_source(sources[:2], target, SETTINGS, TimeBudget(1e6), FABRIC)
    assert found.winner.name == "same"
    by_name = {evaluation.source.name: evaluation for evaluation in found.evaluations}
    assert by_name["bright"].trial.loss == pytest.approx(WORST_LOSS)
    assert by_name["bright"].trial.accuracy == 0


def test_features_that_are_no_numbers_are_refused_by_name_of_the_source(
    contest: tuple[list[Source], Target],  # noqa: F811
) -> None:
    sources, target = contest
    backbone = copy.deepcopy(_classifier().backbone)
    with torch.no_grad():
        next(backbone.parameters()).fill_(NAN)
    with pytest.raises(HubError, match=r"source 'bright' gives features that are NaN.* for 3 of 3 images.* remove it"):
        cached_features(sources[0], backbone, 32, target.sample_ids[:3], target.load, CPU)


@pytest.mark.parametrize(
    ("losses", "flat"), [([0.5, NAN], True), ([NAN, 0.5], False), ([NAN, NAN], True), ([NAN, 0.5, 0.5], True)]
)
def test_a_longer_training_whose_loss_is_no_number_has_not_helped(losses: list[float], flat: bool) -> None:
    assert is_flat(_budgets(*losses), least_improvement=0.02) == flat


def test_answers_that_are_no_numbers_are_wrong_and_sure_of_it_in_the_examination() -> None:
    probabilities_NK = np.array([[0.9, 0.1], [NAN, NAN], [0.2, 0.8], [0.3, 0.7]])
    labels_N = np.array([0, 0, 1, 1])
    calibration = calibration_of(probabilities_NK, labels_N, num_bins=1, seed=0)
    assert log_losses(probabilities_NK, labels_N)[1] == pytest.approx(WORST_LOSS)
    assert calibration.ece.mean == pytest.approx((0.9 + 1 + 0.8 + 0.7) / 4 - 3 / 4)
    answers: Callable[[Tensor], np.ndarray] = lambda pictures: np.full((len(pictures), 2), NAN)  # noqa: E731
    picture = (np.zeros((16, 16, 3), dtype=np.uint8), "0" * 64)
    assert correct_on_corrupted([picture], np.array([0]), {"transfer": answers}, seed=0)["transfer"].sum() == 0


def test_an_answer_that_names_no_class_is_no_confident_mistake(tmp_path: Path) -> None:
    table = pd.DataFrame({"sample_id": ["0"], "path": ["a.png"], "label": ["a"], "predicted": [""]})
    assert confident_mistakes(tmp_path, table.assign(probability_a=NAN, probability_b=1.0), 3) == []


@pytest.mark.parametrize(("in_onnx", "in_pytorch"), [(NAN, NAN), (NAN, 0.5), (0.5, NAN)])
def test_parity_fails_where_a_probability_is_no_number_on_either_side(
    tmp_path: Path, in_onnx: float, in_pytorch: float
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    predictions = pd.DataFrame({"path": ["a.png"], "sample_id": [sha256_of_file(tmp_path / "a.png")]})
    predictions = predictions.assign(probability_a=in_pytorch, probability_b=0.5)
    path = _file_that_answers(tmp_path / "model.onnx", [in_onnx, 0.5])
    with pytest.raises(ParityError, match=r"1 of 1 test images get a different class \(a.png\).* not finite numbers"):
        check_parity(path, tmp_path, predictions, ["a", "b"], max_probability_difference=1e-4)


def test_parity_holds_where_all_are_numbers(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    predictions = pd.DataFrame({"path": ["a.png"], "sample_id": [sha256_of_file(tmp_path / "a.png")]})
    predictions = predictions.assign(probability_a=0.25, probability_b=0.75)
    path = _file_that_answers(tmp_path / "model.onnx", [0.25, 0.75])
    parity = check_parity(path, tmp_path, predictions, ["a", "b"], max_probability_difference=1e-4)
    assert (parity.num_compared, parity.num_agreeing, parity.max_probability_difference) == (1, 1, 0)


def test_the_watch_says_that_the_validation_loss_is_no_number() -> None:
    watch = Watch("transfer", num_steps=10, num_classes=2, say=lambda _words: None)
    watch.after_validation(0.7, torch.full((20, 2), NAN), torch.arange(20) % 2)
    assert [(finding.rule, finding.seen) for finding in watch.findings] == [
        ("exploding_gradients", "the validation loss is nan")
    ]


def test_rules_of_the_watch_take_no_epoch_whose_loss_is_no_number_for_the_best() -> None:
    losses = [(NAN, NAN), (0.6, 0.5), (0.5, 0.7), (0.4, 0.8), (0.3, 0.9)]
    epochs = [EpochLosses(train, validation, validation_error=0.01) for train, validation in losses]
    assert "rose from 0.500 in epoch 2" in (rules.overfitting(epochs, LIMITS) or "")
    falling = [EpochLosses(loss, 0.5, 0.01) for loss in (1.0, NAN, 0.2)]
    assert rules.loss_not_decreasing(falling, num_classes=2, limits=LIMITS) is None
    drifts = {"far": 20.0, "lost": NAN, "near": 0.1}
    assert "2 BatchNorms left the source's, lost by" in (rules.batchnorm_drift(drifts, LIMITS) or "")


def test_a_head_that_answers_with_no_numbers_learns_nothing_though_argmax_names_the_right_class() -> None:
    labels_N = np.repeat([0, 1], [60, 40])
    probabilities_NK = np.where(labels_N[:, None] == 0, NAN, [[0.1, 0.9]])
    assert "validation accuracy 40.0%" in (rules.head_learns_nothing(probabilities_NK, labels_N, LIMITS) or "")
    assert rules.head_learns_nothing(np.full((100, 2), NAN), labels_N, LIMITS) is not None


def _file_that_answers(path: Path, probabilities: list[float]) -> Path:
    answer = helper.make_tensor("answer", TensorProto.FLOAT, [1, 2], probabilities)
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["probabilities"], value=answer)],
        "answers",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, None, None, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 2])],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path
