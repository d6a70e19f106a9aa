"""Further terms of the loss, with parameters of their own and a second stream of samples without labels."""

from pathlib import Path

import pytest
import torch
from digits import CPU, digits, recipe, tiny_classifier
from stopping import StopsAfter
from torch import Tensor, nn

from graft.core.errors import PreemptedError
from graft.training.checkpoints import Checkpoints
from graft.training.data import ArmData
from graft.training.loop import Runtime, train
from graft.training.loss_terms import LossTerm, StepOutputs
from graft.training.observer import EpochRecord
from graft.training.processes import join_processes
from graft.training.randomness import unlabelled_positions
from graft.training.recipe import num_steps_of

FABRIC = join_processes(CPU)
TRAIN, VALIDATION = digits(0, 60), digits(800, 840)
RECIPE = recipe(0.01, num_epochs=2.5)


class MeanFeatures(LossTerm):
    """Learns a vector that lies as near as it can to the features of the unlabelled samples."""

    def __init__(self) -> None:
        super().__init__()
        self.centre_D = nn.Parameter(torch.zeros(32))
        self.register_buffer("num_steps", torch.tensor(0))
        self.shares_explained: list[float] = []
        """Share of the features' size that the vector explains, by step."""

    def forward(self, outputs: StepOutputs) -> Tensor:
        assert outputs.unlabelled_features_UD is not None
        self.num_steps += 1
        features_UD = outputs.unlabelled_features_UD.detach()
        distance = (features_UD - self.centre_D).square().mean()
        self.shares_explained.append(1 - (distance / features_UD.square().mean()).item())
        return distance


class Confidence(LossTerm):
    """Entropy of the predictions for unlabelled samples, which the model itself is to make small."""

    def forward(self, outputs: StepOutputs) -> Tensor:
        assert outputs.unlabelled_logits_UK is not None
        probabilities_UK = outputs.unlabelled_logits_UK.softmax(dim=1)
        return -(probabilities_UK * probabilities_UK.clamp(min=1e-9).log()).sum(dim=1).mean()


Outcome = tuple[list[EpochRecord], dict[str, Tensor]]


def _run(
    folder: Path | None = None, stop: StopsAfter | None = None, *, first_unlabelled: int = 1000, num_epochs: float = 2.5
) -> tuple[Outcome, MeanFeatures]:
    model, centre = tiny_classifier(0), MeanFeatures()
    data = ArmData(TRAIN, VALIDATION, unlabelled=digits(first_unlabelled, first_unlabelled + 45).inputs)
    runtime = Runtime(FABRIC, None if folder is None else Checkpoints(folder, "seed_3"), stop)
    settings = recipe(0.01, num_epochs=num_epochs)
    curve = train(model, data, settings, seed=3, runtime=runtime, terms=[centre, Confidence()])
    return (curve, model.state_dict() | centre.state_dict()), centre


def _same(first: Outcome, second: Outcome) -> bool:
    return first[0] == second[0] and all(torch.equal(first[1][name], second[1][name]) for name in first[1])


def test_a_term_learns_from_samples_without_labels() -> None:
    outcome, centre = _run(num_epochs=30)
    assert outcome[1]["num_steps"] == num_steps_of(recipe(0.01, num_epochs=30), len(TRAIN))
    assert centre.shares_explained[0] == 0
    assert centre.shares_explained[-1] > 0.3
    without = tiny_classifier(0)
    curve = train(without, ArmData(TRAIN, VALIDATION), recipe(0.01, num_epochs=30), seed=3, runtime=Runtime(FABRIC))
    assert outcome[0] != curve
    assert not _same(outcome, _run(num_epochs=30, first_unlabelled=1200)[0])


def test_with_terms_stopped_after_any_step_it_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    undisturbed, _ = _run()
    num_steps = num_steps_of(RECIPE, len(TRAIN))
    for step in range(1, num_steps + 1):
        with pytest.raises(PreemptedError, match=f"stopped after step {step};"):
            _run(tmp_path / str(step), StopsAfter(step))
        resumed, _ = _run(tmp_path / str(step))
        assert _same(resumed, undisturbed), step
    assert num_steps == 10


def test_unlabelled_samples_change_nothing_where_no_term_looks_at_them() -> None:
    """But for the statistics of BatchNorm, which see them; so those of the source are kept here."""
    outcomes = []
    for unlabelled in (None, digits(1000, 1045).inputs):
        model = tiny_classifier(0).eval()
        model.dropout.p = 0.0
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.0
        curve = train(model, ArmData(TRAIN, unlabelled=unlabelled), RECIPE, seed=3, runtime=Runtime(FABRIC))
        outcomes.append([record.train_loss for record in curve])
    assert outcomes[0] == outcomes[1]


def test_every_unlabelled_sample_comes_once_a_round_whatever_the_batches_are() -> None:
    drawn = torch.cat([unlabelled_positions(7, 4, seed=0, step=step) for step in range(7)])
    rounds = drawn.view(4, 7)
    assert (rounds.sort(dim=1).values == torch.arange(7)).all()
    assert not torch.equal(rounds[0], rounds[1])
    assert not torch.equal(drawn[:4], unlabelled_positions(7, 4, seed=1, step=0))
