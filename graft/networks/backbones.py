"""Architectures as a plain sequence of blocks, so that "freeze the first k" means the same for all of them.

B batch, C channels, H height, W width, D features.
"""

import difflib
from collections.abc import Callable, Collection
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from graft.core.choices import Head
from graft.core.errors import CatalogueError, ParamsError
from graft.networks.architectures import GRAFT_NETWORKS, FoldedNorm
from graft.networks.blocks import UncuttableError, cut
from graft.networks.heads import make_head


class Backbone(nn.Module):
    """Maps normalised images [B, 3, H, W] to pooled features [B, D]."""

    def __init__(self, blocks: list[nn.Module], num_features: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.num_features = num_features

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return pooled(self.blocks(images_BCHW))


def pooled(outputs: Tensor) -> Tensor:
    """The last block's output as features [B, D]: a map [B, D, H, W] is averaged, a vector is one already."""
    return outputs.mean(dim=(2, 3)) if outputs.ndim == 4 else outputs


class Classifier(nn.Module):
    """A backbone with a new head: maps normalised images [B, 3, H, W] to logits [B, K].

    The first `num_frozen` blocks are frozen: parameters and BatchNorm statistics do not change, dropout is off.
    """

    def __init__(
        self, backbone: Backbone, num_classes: int, dropout: float, num_frozen: int = 0, head: Head = "linear"
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = make_head(head, backbone.num_features, num_classes)
        self.keeps_statistics = False
        """True: trained BatchNorms normalise by the source's statistics in training too, except folded ones, which have
        none."""
        self.record_trainable()
        self.freeze(num_frozen)

    def record_trainable(self) -> None:
        """Records which backbone parameters require a gradient now; the others stay frozen, whatever their block."""
        self._trainable = {name for name, parameter in self.backbone.named_parameters() if parameter.requires_grad}

    def freeze(self, num_frozen: int) -> None:
        """Freezes the first `num_frozen` blocks and makes the others trainable."""
        self.num_frozen = num_frozen
        frozen = {id(parameter) for parameter in self.frozen_blocks.parameters()}
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad_(name in self._trainable and id(parameter) not in frozen)
        self.train(self.training)

    @property
    def frozen_blocks(self) -> nn.Sequential:
        return self.backbone.blocks[: self.num_frozen]

    @property
    def trained_blocks(self) -> nn.Sequential:
        return self.backbone.blocks[self.num_frozen :]

    def features(self, inputs: Tensor, start: int = 0) -> Tensor:
        """Pooled features [B, D].

        Args:
            start: number of blocks that `inputs` have passed through already.
        """
        if start < self.num_frozen:
            with torch.no_grad():
                inputs = self.backbone.blocks[start : self.num_frozen](inputs)
        return pooled(self.backbone.blocks[max(start, self.num_frozen) :](inputs))

    def forward(self, inputs: Tensor, start: int = 0, with_features: bool = False) -> Any:
        """Logits [B, K]; with `with_features` also the features [B, D]."""
        features_BD = self.features(inputs, start)
        logits_BK = self.head(self.dropout(features_BD))
        return (logits_BK, features_BD) if with_features else logits_BK

    def train(self, mode: bool = True) -> "Classifier":
        """Keeps frozen blocks in eval mode, and BatchNorms whose scale and shift are not trained; with
        `keeps_statistics` all BatchNorms that have statistics of the source."""
        super().train(mode)
        self.frozen_blocks.eval()
        for module in self.trained_blocks.modules():
            own = list(module.parameters(recurse=False))
            is_frozen = own and not any(parameter.requires_grad for parameter in own)
            keeps_source_statistics = self.keeps_statistics and not isinstance(module, FoldedNorm)
            if isinstance(module, BatchNorm) and (keeps_source_statistics or is_frozen):
                module.eval()
        return self


def seeded_classifier(
    backbone: Backbone,
    num_classes: int,
    *,
    dropout: float,
    seed: int,
    device: torch.device,
    head: Head = "linear",
) -> Classifier:
    """A classifier ready to train: its head depends on the seed only; it is on the device, channels last.

    torch's global random state does not change.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = Classifier(backbone, num_classes, dropout, head=head)
    return classifier.to(device).to(memory_format=torch.channels_last)


def native_network(architecture: str, num_classes: int | None = None) -> nn.Module:
    """A randomly initialised network with the tensor names of its library.

    Args:
        architecture: LIBRARY/NAME, followed by @SIDE to build a network of fixed image size for another side in pixels.
        num_classes: of the head; None: no head.
    Raises:
        CatalogueError: the architecture does not exist or cannot be built.
    """
    library, _, rest = architecture.partition("/")
    name, _, side = rest.partition("@")
    if library not in LIBRARIES or name not in LIBRARIES[library]():
        near = difflib.get_close_matches(name, LIBRARIES.get(library, list)(), n=3)
        hint = f"Similar names: {', '.join(f'{library}/{other}' for other in near)}. " if near else ""
        raise CatalogueError(
            f"unknown architecture {architecture!r}. {hint}Available are torchvision/NAME and timm/NAME for the "
            f"classification networks of both libraries, and {', '.join(f'graft/{own}' for own in GRAFT_NETWORKS)}."
        )
    try:
        if library == "torchvision":
            return _torchvision_network(name, num_classes, {"image_size": int(side)} if side else {})
        if library == "timm":
            options: dict[str, Any] = {"img_size": int(side)} if side else {}
            return timm.create_model(name, num_classes=num_classes or 0, **options)
        return GRAFT_NETWORKS[name](num_classes)
    except TypeError as error:
        raise CatalogueError(f"architecture {architecture!r} cannot be built: {error}.") from error


LIBRARIES: dict[str, Callable[[], Collection[str]]] = {
    "torchvision": lambda: models.list_models(module=models),
    "timm": timm.list_models,
    "graft": lambda: GRAFT_NETWORKS,
}


def _torchvision_network(name: str, num_classes: int | None, options: dict[str, Any]) -> nn.Module:
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True}
    if num_classes is not None:
        return models.get_model(name, weights=None, num_classes=num_classes, **options)
    network = models.get_model(name, weights=None, **options)
    network.num_features = _remove_head(network)
    return network


def _remove_head(network: Any) -> int:
    """Removes a torchvision network's last linear layer, and the dropout before it; returns its number of inputs."""
    if isinstance(network, models.SqueezeNet):  # its head is a convolution, with an average after it
        num_features = network.classifier[1].in_channels
        network.classifier = network.classifier[-1]
        return num_features
    path, head = [(path, module) for path, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    owner_path, _, name = path.rpartition(".")
    owner = network.get_submodule(owner_path)
    if isinstance(owner, nn.Sequential):
        before = int(name) - 1 if name.isdigit() else -1
        if before >= 0 and isinstance(owner[before], nn.Dropout):
            owner[before] = nn.Identity()
    setattr(owner, name, nn.Identity())
    return head.in_features


def as_backbone(architecture: str, network: Any) -> Backbone:
    """
    Raises:
        CatalogueError: the network cannot be split into blocks.
    """
    try:
        blocks = cut(network)
    except UncuttableError as error:
        raise CatalogueError(
            f"architecture {architecture!r} cannot be split into blocks, so it cannot be a backbone ({error}). "
            "Choose another architecture of its family."
        ) from error
    return Backbone(blocks, getattr(network, "head_hidden_size", None) or network.num_features)


def build_backbone(architecture: str, seed: int) -> Backbone:
    """A backbone with the library's own random initialisation; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return as_backbone(architecture, native_network(architecture))


def backbone_shape(architecture: str) -> Backbone:
    """The backbone on "meta" tensors, which have shapes but no values, for counting blocks and operations."""
    return as_backbone(architecture, native_shape(architecture))


def native_shape(architecture: str, num_classes: int | None = None) -> nn.Module:
    """`native_network` on "meta" tensors."""
    try:
        with torch.device("meta"):
            return native_network(architecture, num_classes)
    except NotImplementedError:  # the library needs values while it builds the network, as for RegNet
        with _SkipRandomInit():
            return native_network(architecture, num_classes).to("meta")


class _SkipRandomInit(TorchFunctionMode):
    """Skips random initialisation, which would cost seconds and gigabytes, where the values are not used."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        is_drawing = getattr(func, "__name__", "") in ("normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_")
        return (given["tensor"] if "tensor" in given else args[0]) if is_drawing else func(*args, **given)


def require_blocks(architecture: str, num_trained_blocks: int | str | None) -> None:
    """
    Args:
        num_trained_blocks: None trains all blocks; "auto" fits every architecture.
    Raises:
        ParamsError: the architecture has fewer blocks than are to be trained.
    """
    num_blocks = len(backbone_shape(architecture).blocks)
    if isinstance(num_trained_blocks, int) and num_trained_blocks > num_blocks:
        raise ParamsError(
            f"finetune.num_trained_blocks is {num_trained_blocks} in params.yaml, but {architecture} has only "
            f"{num_blocks} blocks. Lower it, or remove that candidate from select.candidates."
        )


def require_side(architecture: str, side_px: int) -> None:
    """
    Raises:
        ParamsError: the network cannot take images of this side; many vision transformers are made for one side.
    """
    try:
        forward_flops(native_shape(architecture).eval(), (1, 3, side_px, side_px))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ParamsError(
            f"{architecture} cannot take images of {side_px} x {side_px} pixels ({error}). Set inputs.image_size_px to "
            "the side that it was made for (image_size_px in sources.yaml), or remove it from select.candidates."
        ) from error


def forward_flops(module: nn.Module, input_shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Floating-point operations of one forward pass (2 per multiply-add), and the output's shape.

    Counted on shapes only ("meta" tensors), so it costs nothing and is the same on every device.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        # the counter fails on parameters that require a gradient and are passed to a layer as its input
        output = module.to("meta").eval().requires_grad_(False)(torch.empty(input_shape))
    return counter.get_total_flops(), tuple(output.shape)
