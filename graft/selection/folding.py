"""A frozen network without its BatchNorm layers: B batch, H height, W width."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

LARGEST_DIFFERENCE = 1e-3
"""Largest relative difference of the outputs, in float32; folding itself causes 1e-6."""


@torch.no_grad()
def folded(network: nn.Module, example_B3HW: Tensor) -> nn.Module:
    """A copy in eval mode whose BatchNorms after convolutions are folded into these; the outputs are the same.

    The order of modules is observed by running `example_B3HW`, so it works for modules of any library. If a network
    uses a convolution's output in other ways too, the outputs differ, and a copy without folding is returned.
    """
    plain = copy.deepcopy(network).eval()
    faster = copy.deepcopy(plain)
    names = {module: name for name, module in faster.named_modules()}
    for convolution, norm in _normalised_convolutions(faster, example_B3HW):
        faster.set_submodule(names[convolution], fuse_conv_bn_eval(convolution, norm))
        faster.set_submodule(names[norm], getattr(norm, "act", nn.Identity()))  # timm's norms include the activation
    expected, found = plain(example_B3HW), faster(example_B3HW)
    is_same = (found - expected).norm() <= LARGEST_DIFFERENCE * expected.norm()
    return faster if is_same else plain


def _normalised_convolutions(network: nn.Module, example_B3HW: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    outputs: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # keeps the tensors alive, since ids of freed ones are reused
    pairs = []

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            outputs[id(output)] = module, output
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats and id(inputs[0]) in outputs:
            pairs.append((outputs[id(inputs[0])][0], module))

    hooks = [module.register_forward_hook(record) for module in network.modules()]
    network(example_B3HW)
    for hook in hooks:
        hook.remove()
    return pairs
