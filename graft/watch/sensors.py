"""Measurements of a network in training that leave no trace: no tensor changes, no random number is drawn.

B batch, C channels, H height, W width.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from graft.networks.architectures import FoldedNorm
from graft.networks.backbones import Classifier

ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardswish, nn.Hardtanh, nn.SiLU, nn.GELU, nn.ELU, nn.Sigmoid, nn.Tanh,
)  # fmt: skip
BATCHNORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@torch.no_grad()
def fingerprint(tensor: Tensor) -> int:
    """Sum of the tensor's bits read as integers; it differs after any real step, on every device."""
    return int(tensor.detach().view(INTEGERS[tensor.element_size()]).sum(dtype=torch.int64))


@torch.no_grad()
def gradient_norms(model: Classifier) -> dict[str, float]:
    """Norm of the gradient by parameter that has one; 0 only if all its values are 0."""
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    if not gradients:
        return {}
    norms = torch.stack([gradient.detach().float().norm() for gradient in gradients.values()])
    return dict(zip(gradients, norms.tolist(), strict=True))


def block_gradients(model: Classifier, norms: dict[str, float]) -> dict[str, float]:
    """Root mean square of the gradients of each trained block, by its number, and of the "head"."""
    squares: defaultdict[str, float] = defaultdict(float)
    sizes: Counter[str] = Counter()
    parameters = dict(model.named_parameters())
    for name, norm in norms.items():
        owner = name.split(".")[2] if name.startswith("backbone.blocks.") else "head"
        squares[owner] += norm**2
        sizes[owner] += parameters[name].numel()
    return {owner: (squares[owner] / size) ** 0.5 for owner, size in sizes.items()}


@contextmanager
def recorded_spreads(model: Classifier) -> Iterator[dict[str, Tensor]]:
    """Context that records, by layer, the range [C] of each channel's outputs over batch and positions.

    Layers are the trained blocks and the activations in them that are modules. A channel of range 0 carries no
    information about the image, whatever its activation: ReLU and Hardswish give only 0, ReLU6 0 or 6, SiLU and GELU
    next to 0, Sigmoid and Tanh an end of their range; a block that ends without activation gives a constant.
    """
    spreads: dict[str, Tensor] = {}

    def add(name: str, outputs: Any) -> None:
        if isinstance(outputs, Tensor) and outputs.ndim >= 2:
            while name in spreads:  # one module that is called several times
                name += " again"
            spreads[name] = _spread(outputs.detach())

    hooks = [
        module.register_forward_hook(lambda _module, _inputs, outputs, name=name: add(name, outputs))
        for name, module in _watched_layers(model)
    ]
    try:
        yield spreads
    finally:
        for hook in hooks:
            hook.remove()


def _watched_layers(model: Classifier) -> Iterator[tuple[str, nn.Module]]:
    for number, block in enumerate(model.trained_blocks, start=model.num_frozen):
        yield f"block {number}", block
        for name, module in block.named_modules():
            if name and isinstance(module, ACTIVATIONS):
                yield f"block {number} ({name})", module


def _spread(outputs: Tensor) -> Tensor:
    """Range [C] of maps [B, C, H, W], tokens [B, T, C] or vectors [B, C]."""
    channel = outputs.ndim - 1 if outputs.ndim == 3 else 1
    others = [dimension for dimension in range(outputs.ndim) if dimension != channel]
    return outputs.amax(dim=others) - outputs.amin(dim=others)


def batchnorms(blocks: nn.Module) -> dict[str, Any]:
    """BatchNorms with running statistics, by name."""
    return {
        name: module
        for name, module in blocks.named_modules()
        if isinstance(module, BATCHNORMS) and module.running_mean is not None
    }


def has_source_statistics(batchnorm: nn.Module) -> bool:
    """True: its statistics are those of the source, or of its first batch if the source's are folded into weights."""
    return not (isinstance(batchnorm, FoldedNorm) and batchnorm.is_folded)


def statistics(batchnorm: Any, num_channels: int) -> list[list[float]]:
    """Running means and standard deviations of `num_channels` evenly spaced channels."""
    size = len(batchnorm.running_mean)
    chosen = torch.linspace(0, size - 1, min(num_channels, size)).round().long().to(batchnorm.running_mean.device)
    deviation = (batchnorm.running_var[chosen] + batchnorm.eps).sqrt()
    return [batchnorm.running_mean[chosen].tolist(), deviation.tolist()]
