"""Loads published weights into our networks: no pickle, every tensor accounted for."""

import re

import torch
from torch import Tensor, nn

from graft.core.errors import BackboneMismatchError, HubError
from graft.hub.catalogue import Source
from graft.hub.fetch import fetch_weights
from graft.hub.tensor_files import read_tensors
from graft.networks.architectures import FoldedNorm
from graft.networks.backbones import Backbone, Classifier, as_backbone, build_backbone, native_network
from graft.networks.heads import head_of


def load_backbone(source: Source) -> Backbone:
    """The pretrained backbone in eval mode.

    Raises:
        DownloadError, HashMismatchError: see `graft.hub.fetch`.
        UnsafeWeightsError: see `graft.hub.tensor_files`.
        BackboneMismatchError: tensors are missing, unexpected or of another shape; lists them all.
    """
    tensors = read_tensors(fetch_weights(source))
    if _is_own_model(tensors):
        return _own_classifier(source, tensors).backbone
    network = native_network(source.architecture)
    _load(source, tensors, network, unused=[*source.weights.head, *source.weights.unused])
    return as_backbone(source.architecture, network).eval()


def load_classifier(source: Source) -> nn.Module:
    """The pretrained network with its original head, in eval mode: normalised images [B, 3, H, W] to logits [B, Z].

    Z are the classes that the source was trained on, in its own order.

    Raises:
        HubError: the source has no classes; see also `load_backbone`.
    """
    tensors = read_tensors(fetch_weights(source))
    if _is_own_model(tensors):
        return _own_classifier(source, tensors)
    num_classes = source.trained_on.num_classes
    if num_classes is None or not source.weights.head:
        raise HubError(
            f"source {source.name!r} has no classes of its own: it was trained on {source.trained_on.task}, "
            "so its last layer predicts nothing. Use its features."
        )
    has_single_logit = source.weights.single_logit
    network = native_network(source.architecture, 1 if has_single_logit else num_classes)
    _load(source, tensors, network, unused=source.weights.unused)
    return (nn.Sequential(network, _TwoLogits()) if has_single_logit else network).eval()


class _TwoLogits(nn.Module):
    """Expands the logit of the second class [B, 1] to logits [B, 2] with the same probabilities."""

    def forward(self, logits_B1: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(logits_B1), logits_B1], dim=1)


def _load(source: Source, tensors: dict[str, Tensor], network: nn.Module, unused: list[str]) -> None:
    tensors = {name: tensor for name, tensor in tensors.items() if not _matches(name, unused)}
    tensors = {
        name: tensor.T if _matches(name, source.weights.transposed) else tensor for name, tensor in tensors.items()
    }
    tensors = {_renamed(name, source): tensor for name, tensor in tensors.items()}
    _require_fit(source, tensors, network.state_dict())
    network.load_state_dict(tensors, strict=False)  # missing tensors were checked by name
    for module in network.modules():
        if isinstance(module, FoldedNorm):
            module.is_folded = True


def _matches(name: str, patterns: list[str]) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def _renamed(name: str, source: Source) -> str:
    for pattern, replacement in source.weights.renames:
        name = re.sub(pattern, replacement, name)
    return name


def _require_fit(source: Source, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    # BatchNorm's num_batches_tracked only counts; formats other than PyTorch's do not carry it
    may_be_missing = [r"num_batches_tracked$", *source.weights.missing]
    missing = [name for name in expected if name not in found and not _matches(name, may_be_missing)]
    left_over = [name for name in found if name not in expected]
    shared = [name for name in expected if name in found]
    misshapen = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in shared
        if found[name].shape != expected[name].shape
    ]
    mistyped = [
        f"{name} {_kind(found[name])} instead of {_kind(expected[name])}"
        for name in shared
        if found[name].is_floating_point() != expected[name].is_floating_point()
    ]
    not_finite = [name for name in shared if not found[name].isfinite().all()]
    problems = {
        "missing": missing,
        "unexpected": left_over,
        "of another shape": misshapen,
        "of another type": mistyped,
        "with numbers that are not finite": not_finite,
    }
    if any(problems.values()):
        listed = "; ".join(f"{what} {names}" for what, names in problems.items() if names)
        raise BackboneMismatchError(
            f"the weights of source {source.name!r} do not fit architecture {source.architecture!r}: {listed}. "
            "In sources.yaml, list original heads under `head`, unexpected tensors under `unused`, layers that the "
            "file lacks under `missing`, and different names under `renames`."
        )


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _is_own_model(tensors: dict[str, Tensor]) -> bool:
    """True for tensors saved by this pipeline: those of a `Classifier`, whose backbone is in blocks already."""
    return all(name.startswith(("backbone.blocks.", "head.")) for name in tensors)


def _own_classifier(source: Source, tensors: dict[str, Tensor]) -> Classifier:
    kind, num_classes = head_of(tensors)
    backbone = build_backbone(source.architecture, seed=0)
    classifier = Classifier(backbone, num_classes, dropout=0, head=kind)
    _require_fit(source, tensors, classifier.state_dict())
    classifier.load_state_dict(tensors)
    return classifier.eval()
