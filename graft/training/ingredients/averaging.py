"""Averages of weights: between the start and the end of fine-tuning, and along it."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def interpolated(start: dict[str, Tensor], end: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """The interpolation between two states of one model, at `share` (0..1) of the way from `start` to `end`.

    Share 0 is `start` and share 1 is `end`, bit for bit. Between them integers (BatchNorm's count of batches) come
    from `end`. BatchNorm's variances are interpolated as standard deviations: if start and end compute maps that
    differ in scale only, that is exact for the interpolated weights, while a mean of variances is always too large. It
    is an approximation beyond the first layer; `torch.optim.swa_utils.update_bn` would recompute the statistics.

    Source: Wortsman et al. 2022 (arXiv 2109.01903), WiSE-FT.
    """
    assert start.keys() == end.keys(), start.keys() ^ end.keys()
    if share in (0, 1):  # arithmetic would lose the sign of zeros
        return {name: tensor.clone() for name, tensor in (end if share else start).items()}
    return {name: _between(name, start[name], end[name], share) for name in end}


def _between(name: str, start: Tensor, end: Tensor, share: float) -> Tensor:
    if not end.is_floating_point():
        return end.clone()
    if name.endswith("running_var"):
        return torch.lerp(start.sqrt(), end.sqrt(), share).square()
    return torch.lerp(start, end, share)


class MovingAverage:
    """An exponential moving average of a model's weights along its training, BatchNorm statistics included.

    The decay warms up, min(decay, (1 + t) / (10 + t)) after t updates, so that a short training is not
    dominated by its first weights. Source: TensorFlow, `tf.train.ExponentialMovingAverage`, argument `num_updates`.

    Only trained tensors are averaged: parameters that require a gradient, and the statistics of layers in training
    mode. Frozen ones stay bit-identical. `torch.optim.swa_utils.AveragedModel` averages frozen tensors with themselves,
    so that -0.0 becomes 0.0, and either averages no statistics or averages counts of batches too. The average of a
    block that is unfrozen later is its pretrained weights until then.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        """The averaged state, on the model's device, to be loaded with `load_state_dict`."""
        self._decay = decay
        self._num_updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Called after each optimiser step, with the model in training mode."""
        moving = {name: tensor for name, tensor in _moving(model).items() if name in self.weights}
        floats = [name for name, tensor in moving.items() if tensor.is_floating_point()]
        decay = min(self._decay, (1 + self._num_updates) / (10 + self._num_updates))
        average = get_ema_multi_avg_fn(decay)
        if floats:
            average([self.weights[name] for name in floats], [moving[name] for name in floats], self._num_updates)
        for name in moving.keys() - set(floats):
            self.weights[name].copy_(moving[name])
        self._num_updates += 1

    def state(self) -> dict[str, Tensor]:
        """State for `load`, as tensors under flat names; no copies."""
        weights = {f"weights.{name}": tensor for name, tensor in self.weights.items()}
        return {"num_updates": torch.tensor(self._num_updates), **weights}

    def load(self, state: dict[str, Tensor]) -> None:
        """Restores a value of `state`, bit for bit."""
        self._num_updates = int(state["num_updates"])
        for name, tensor in self.weights.items():
            tensor.copy_(state[f"weights.{name}"])


def _moving(model: nn.Module) -> dict[str, Tensor]:
    """Tensors that a training step may have changed, by their names in the model."""
    tensors = {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}
    for path, module in model.named_modules():
        if module.training:
            tensors |= module.named_buffers(prefix=path, recurse=False)
    return tensors
