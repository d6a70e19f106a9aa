"""Networks of our own, for sources that no library provides.

Each takes the number of classes of its head (None: no head, features [B, D]) and gives D as `num_features`.
B batch, C channels, H height, W width, D features.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models


class ResNet18SmallStem(models.ResNet):
    """torchvision's ResNet-18 with a 3x3 stem of stride 1 and no max pooling, for small images."""

    def __init__(self, num_classes: int | None) -> None:
        super().__init__(models.resnet.BasicBlock, [2, 2, 2, 2])
        self.num_features = 512
        self.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
        self.maxpool = nn.Identity()
        self.fc = _head(self.num_features, num_classes)


class ResNet50Thin(nn.Module):
    """ResNet-50 with half the channels and its strides in the first 1x1 convolutions (Yahoo's open_nsfw)."""

    def __init__(self, num_classes: int | None) -> None:
        super().__init__()
        self.num_features = 1024
        self.stem = _FoldedConv(3, 64, 7, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.stages = nn.Sequential(
            _thin_stage(64, 32, num_blocks=3, stride=1),
            _thin_stage(128, 64, num_blocks=4, stride=2),
            _thin_stage(256, 128, num_blocks=6, stride=2),
            _thin_stage(512, 256, num_blocks=3, stride=2),
        )
        self.average = nn.AdaptiveAvgPool2d(1)
        self.fc = _head(self.num_features, num_classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        maps_BCHW = self.stages(self.pool(F.relu(self.stem(images_BCHW))))
        return self.fc(self.average(maps_BCHW).flatten(1))


class _ThinBottleneck(nn.Module):
    def __init__(self, num_in: int, num_inner: int, stride: int, *, is_first: bool) -> None:
        super().__init__()
        num_out = 4 * num_inner
        self.proj_shortcut = _FoldedConv(num_in, num_out, 1, stride=stride) if is_first else nn.Identity()
        self.branch2a = _FoldedConv(num_in, num_inner, 1, stride=stride)
        self.branch2b = _FoldedConv(num_inner, num_inner, 3)
        self.branch2c = _FoldedConv(num_inner, num_out, 1)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        inner_BCHW = F.relu(self.branch2b(F.relu(self.branch2a(maps_BCHW))))
        return F.relu(self.branch2c(inner_BCHW) + self.proj_shortcut(maps_BCHW))


class PPLCNetV3Detector(nn.Module):
    """PP-LCNetV3 at width 0.75, the backbone of PaddleOCR's PP-OCRv4 text detector, up to its last feature map.

    Source: PaddleOCR, ppocr/modeling/backbones/rec_lcnetv3.py, with `det=True` and its branches reparametrised to one.
    """

    def __init__(self, num_classes: int | None) -> None:
        super().__init__()
        self.num_features = 384
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16, eps=1e-5),
        )
        settings = [  # kernel, channels in, channels out, stride, whether with squeeze-and-excitation
            (3, 16, 32, 1, False),
            (3, 32, 48, 2, False),
            (3, 48, 48, 1, False),
            (3, 48, 96, 2, False),
            (3, 96, 96, 1, False),
            (3, 96, 192, 2, False),
            *[(5, 192, 192, 1, False)] * 4,
            (5, 192, 384, 2, True),
            (5, 384, 384, 1, True),
            *[(5, 384, 384, 1, False)] * 2,
        ]
        self.blocks = nn.Sequential(*(_LCNetV3Block(*setting) for setting in settings))
        self.average = nn.AdaptiveAvgPool2d(1)
        self.fc = _head(self.num_features, num_classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.fc(self.average(self.blocks(self.stem(images_BCHW))).flatten(1))


class _LCNetV3Block(nn.Module):
    def __init__(self, kernel: int, num_in: int, num_out: int, stride: int, has_excitation: bool) -> None:
        super().__init__()
        self.depthwise = _LearnableLayer(num_in, num_in, kernel, stride=stride, groups=num_in)
        self.excitation = _SqueezeExcitation(num_in) if has_excitation else nn.Identity()
        self.pointwise = _LearnableLayer(num_in, num_out, 1)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        return self.pointwise(self.excitation(self.depthwise(maps_BCHW)))


class _LearnableLayer(nn.Module):
    """A convolution with a learnt scale and shift; an activation with its own, unless the convolution has a stride."""

    def __init__(self, num_in: int, num_out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.folded = _FoldedConv(num_in, num_out, kernel, stride=stride, groups=groups)
        self.affine = _Affine()
        self.activation = nn.Sequential(nn.Hardswish(), _Affine()) if stride == 1 else nn.Identity()

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        return self.activation(self.affine(self.folded(maps_BCHW)))


class _Affine(nn.Module):
    """One scale and one shift for the whole map."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        return self.scale * maps_BCHW + self.shift


class _SqueezeExcitation(nn.Module):
    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.average = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Conv2d(num_channels, num_channels // 4, 1)
        self.excite = nn.Conv2d(num_channels // 4, num_channels, 1)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        return maps_BCHW * F.hardsigmoid(self.excite(F.relu(self.squeeze(self.average(maps_BCHW)))))


class _FoldedConv(nn.Module):
    """A convolution with its BatchNorm folded into its weights, and a further BatchNorm that starts as the identity."""

    def __init__(self, num_in: int, num_out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(num_in, num_out, kernel, stride=stride, padding=kernel // 2, groups=groups)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)
        self.norm = FoldedNorm(num_out)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        return self.norm(self.conv(maps_BCHW))


class FoldedNorm(nn.BatchNorm2d):
    """A BatchNorm for a convolution into which one may be folded already.

    Without a BatchNorm the network would hardly train from random weights, and the comparison with pretrained ones
    would be unfair. In eval mode the running variance of 1 - eps makes it the identity. In training mode a plain
    BatchNorm would remove the folded scales and shifts from pretrained activations, and with them most of what was
    learned; so after loading it first adopts the mean and deviation of one batch, and is the identity on that batch.

    Source of the first step: data-dependent initialisation, Salimans and Kingma 2016 (arXiv 1602.07868), section 3.
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__(num_channels)
        self.is_folded = False
        """True from the loading of pretrained weights to the first batch of training."""
        assert self.running_var is not None
        self.running_var.fill_(1 - self.eps)

    def forward(self, input: Tensor) -> Tensor:
        if self.training and self.is_folded:
            self._become_identity_on(input)
        return super().forward(input)

    @torch.no_grad()
    def _become_identity_on(self, maps_BCHW: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        variance_C, mean_C = torch.var_mean(maps_BCHW.float(), dim=(0, 2, 3), correction=0)
        self.running_mean.copy_(mean_C)
        self.running_var.copy_(variance_C)
        self.weight.copy_((variance_C + self.eps).sqrt())
        self.bias.copy_(mean_C)
        self.is_folded = False


def _thin_stage(num_in: int, num_inner: int, num_blocks: int, stride: int) -> nn.Sequential:
    first = _ThinBottleneck(num_in, num_inner, stride, is_first=True)
    rest = [_ThinBottleneck(4 * num_inner, num_inner, 1, is_first=False) for _ in range(num_blocks - 1)]
    return nn.Sequential(first, *rest)


def _head(num_features: int, num_classes: int | None) -> nn.Module:
    return nn.Identity() if num_classes is None else nn.Linear(num_features, num_classes)


GRAFT_NETWORKS: dict[str, Callable[[int | None], nn.Module]] = {
    "resnet18_small_stem": ResNet18SmallStem,
    "resnet50_thin": ResNet50Thin,
    "pplcnet_v3_det": PPLCNetV3Detector,
}
"""Network by NAME, for architectures called `graft/NAME`."""
