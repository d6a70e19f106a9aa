"""Every torchvision classification network, many families of timm, and their way into ONNX. Random weights."""

import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from architectures import check_architecture, check_shapes
from torchvision import models

from graft.networks.backbones import Classifier, build_backbone, require_side
from graft.networks.model_config import ModelConfig
from graft.serving.onnx import export_onnx
from graft.serving.served import ServedModel

TORCHVISION = models.list_models(module=models)
IN_NUMBERS = {
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "inception_v3", "maxvit_t", "mnasnet0_5",
    "mobilenet_v3_large", "regnet_x_400mf", "resnet18", "shufflenet_v2_x1_0", "squeezenet1_0", "swin_v2_t", "vgg11_bn",
    "vit_b_32",
}  # fmt: skip
"""One of each family, held against the library's own numbers."""
LARGEST = {
    name for name in TORCHVISION if any(size in name for size in ("_h_", "_l_", "128gf", "large", "b7", "64x4d", "101"))
}
"""Hundreds of megabytes of random numbers would show nothing that a smaller network of the family does not."""
TAKES_ALL = os.environ.get("GRAFT_EVERY_ARCHITECTURE") == "1"
"""Half an hour. Otherwise one of each family of torchvision, and a fifth of timm's."""
SIDES = {"vit": 224, "maxvit": 224, "inception": 96}
TIMM = [
    "beit_base_patch16_224", "caformer_s18", "coatnet_nano_rw_224", "convnext_atto", "convnextv2_atto", "davit_tiny",
    "deit_tiny_distilled_patch16_224", "densenet121", "edgenext_xx_small", "efficientnetv2_rw_t",
    "eva02_tiny_patch14_224", "fastvit_t8", "ghostnet_100", "levit_128s", "mixer_s32_224", "mobilenetv3_small_100",
    "mobilevit_xxs", "nfnet_l0", "pit_ti_224", "poolformer_s12", "regnety_002", "repvgg_a0", "resnet26d",
    "resnext26ts", "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "vit_tiny_patch16_224",
]  # fmt: skip
TIMM_SIDES = {"swinv2_tiny_window8_256": 256}
EXPORTED = [
    ("torchvision/mobilenet_v2", 64),
    ("torchvision/efficientnet_b0", 64),
    ("timm/tf_efficientnet_lite0", 64),
    ("graft/resnet18_small_stem", 32),
    ("graft/resnet50_thin", 64),
    ("graft/pplcnet_v3_det", 64),
    ("torchvision/vit_b_32", 224),
    ("timm/test_vit", 160),
]


def test_torchvision_has_the_networks_that_these_tests_mean() -> None:
    assert len(TORCHVISION) >= 80
    assert set(TORCHVISION) >= IN_NUMBERS


@pytest.mark.parametrize("name", TORCHVISION if TAKES_ALL else sorted(IN_NUMBERS))
def test_every_torchvision_classification_network_is_a_row_of_blocks(name: str, tmp_path: Path) -> None:
    side_px = SIDES.get(name.split("_")[0], 64)
    require_side(f"torchvision/{name}", side_px)
    if name in IN_NUMBERS or (TAKES_ALL and name not in LARGEST):
        check_architecture(f"torchvision/{name}", side_px, tmp_path)
    else:
        check_shapes(f"torchvision/{name}", side_px)


@pytest.mark.parametrize("name", TIMM if TAKES_ALL else TIMM[1::5])
def test_many_families_of_timm_are_rows_of_blocks(name: str, tmp_path: Path) -> None:
    side_px = TIMM_SIDES.get(name, 224)
    check_architecture(f"timm/{name}", side_px, tmp_path)


@pytest.mark.parametrize(("architecture", "side_px"), EXPORTED)
def test_the_onnx_file_answers_as_the_network_does(architecture: str, side_px: int, tmp_path: Path) -> None:
    """For a batch and a picture size that it was not exported with."""
    path = tmp_path / "model.onnx"
    config = ModelConfig.model_construct(
        architecture=architecture, image_size_px=side_px, mean=[0.5] * 3, std=[0.5] * 3, channel_order="rgb",
        views=["identity", "flip_horizontal"], classes=["a", "b", "c"], source="s", weights_sha256="0", licence="MIT",
    )  # fmt: skip
    model = ServedModel(Classifier(build_backbone(architecture, 0), 3, 0.2, num_frozen=2), config).eval()
    export_onnx(model, config, path, opset=20)
    pixels = np.random.default_rng(0).integers(0, 256, (3, side_px + 7, 2 * side_px, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = model(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(session.run(None, {"pixels": pixels})[0], expected, atol=1e-4)
    assert session.run(None, {"pixels": pixels[:0]})[0].shape == (0, 3)
