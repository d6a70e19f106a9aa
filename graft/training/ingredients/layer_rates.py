"""Learning rates by depth: small near the input, where pretrained layers are general, larger near the head."""

from typing import TypedDict

from torch import nn

from graft.networks.backbones import Classifier


class ParameterGroup(TypedDict):
    """One of an optimiser's groups; `name` is for people and for loggers of learning rates."""

    params: list[nn.Parameter]
    lr: float
    weight_decay: float
    name: str


def parameter_groups(
    classifier: Classifier,
    *,
    backbone_rate: float,
    head_rate: float,
    layer_decay: float,
    weight_decay: float,
    decay_norm_and_bias: bool,
) -> list[ParameterGroup]:
    """Groups with every parameter of the classifier once, including frozen blocks.

    An optimiser skips parameters without a gradient, and a block that is unfrozen later needs no new group, so the
    optimiser's state is kept.

    Block i of n is trained at backbone_rate * layer_decay**(n - 1 - i), the head at head_rate; a layer_decay of 1
    gives one rate for the backbone and one for the head. Groups are named "blocks.0" to "blocks.<n-1>" and "head"; a
    block without parameters has none.

    Args:
        decay_norm_and_bias: False excludes parameters of one dimension (biases, the scales of norms) from weight decay,
            in groups of their own, named "blocks.0, not decayed" and so on.
    Source: Howard and Ruder 2018 (arXiv 1801.06146, ULMFiT), section 3.2, discriminative fine-tuning, with a factor of
        1/2.6 per layer; for vision transformers Bao et al. 2022 (arXiv 2106.08254, BEiT), layer-wise decay. timm's
        `param_groups_layer_decay` does the same for networks that are not split into blocks.
    """
    blocks = classifier.backbone.blocks
    layers: list[tuple[str, nn.Module, float]] = [
        (f"blocks.{index}", block, backbone_rate * layer_decay ** (len(blocks) - 1 - index))
        for index, block in enumerate(blocks)
    ]
    layers.append(("head", classifier.head, head_rate))
    groups = []
    for name, layer, rate in layers:
        decayed = [each for each in layer.parameters() if decay_norm_and_bias or each.ndim > 1]
        others = [each for each in layer.parameters() if not decay_norm_and_bias and each.ndim <= 1]
        if decayed:
            groups.append(ParameterGroup(params=decayed, lr=rate, weight_decay=weight_decay, name=name))
        if others:
            groups.append(ParameterGroup(params=others, lr=rate, weight_decay=0.0, name=f"{name}, not decayed"))
    return groups
