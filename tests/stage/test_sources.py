"""The sources of sources.yaml with their real weights, on real photographs."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torchvision import models

from graft.core.errors import HubError
from graft.hub.catalogue import Source, load_catalogue
from graft.hub.check import check_source
from graft.hub.fetch import fetch_weights
from graft.hub.samples import sample_images
from graft.hub.weights import load_backbone, load_classifier
from graft.modalities.image.inputs import Normalise, resize
from graft.networks.backbones import backbone_shape, build_backbone, forward_flops
from graft.selection.distance import distances
from graft.selection.features import embed

SOURCES = load_catalogue(Path(__file__).parents[2] / "sources.yaml")


@pytest.fixture(scope="module")
def photographs() -> list[torch.Tensor]:
    return [picture.pixels_13HW() for picture in sample_images()]


def _normalised(source: Source, photographs: list[torch.Tensor]) -> torch.Tensor:
    normalise = Normalise.of(source.preprocessing)
    return torch.cat([normalise(resize(pixels, source.preprocessing.image_size_px)) for pixels in photographs])


def _onnx_outputs(source: Source, names: list[str], pictures: np.ndarray) -> list[np.ndarray]:
    """What the source's own graph gives at the named places, a picture at a time."""
    model = onnx.load(fetch_weights(source))
    for name in names:
        if name not in [output.name for output in model.graph.output]:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    name_in = session.get_inputs()[0].name
    batches = [session.run(names, {name_in: picture[None]}) for picture in pictures]
    return [np.concatenate(outputs) for outputs in zip(*batches, strict=True)]


def _difference(found: torch.Tensor, expected: np.ndarray) -> float:
    """Largest difference in parts of the largest number."""
    return float(np.abs(found.numpy() - expected).max() / np.abs(expected).max())


def test_the_moderation_network_is_that_of_its_onnx_file(photographs: list[torch.Tensor]) -> None:
    source = SOURCES["moderation_resnet50_thin"]
    pictures = _normalised(source, photographs)
    pooled, probabilities = _onnx_outputs(source, ["Reshape:0", "outputs"], pictures.permute(0, 2, 3, 1).numpy())
    with torch.no_grad():
        assert _difference(load_backbone(source)(pictures), pooled) < 1e-4
        assert _difference(load_classifier(source)(pictures).softmax(dim=1), probabilities) < 1e-4


def test_the_documents_network_is_that_of_its_onnx_file(photographs: list[torch.Tensor]) -> None:
    source = SOURCES["documents_pplcnet_v3"]
    pictures = _normalised(source, photographs)
    (maps,) = _onnx_outputs(source, ["p2o.Add.215"], pictures.numpy())  # what goes into the layers before the neck
    with torch.no_grad():
        assert _difference(load_backbone(source)(pictures), maps.mean(axis=(2, 3))) < 1e-4


@pytest.mark.parametrize("name", ["moderation_resnet50_thin", "documents_pplcnet_v3"])
def test_training_starts_from_what_was_pretrained_where_norms_were_folded(
    name: str, photographs: list[torch.Tensor]
) -> None:
    """A BatchNorm that starts as the identity must not undo the pretrained scales on its first batch, nor after it."""
    backbone = load_backbone(SOURCES[name])
    pictures = _normalised(SOURCES[name], photographs)
    with torch.no_grad():
        pretrained = backbone(pictures)
        backbone.train().blocks[0].eval()  # one of the two stems has a BatchNorm of its own
        first_batch = backbone(pictures)
        after_it = backbone.eval()(pictures)
    assert _difference(first_batch, pretrained.numpy()) < 1e-3
    assert _difference(after_it, pretrained.numpy()) < 0.02
    baseline = build_backbone(SOURCES[name].architecture, seed=0)
    assert baseline.train()(pictures).std() != baseline.eval()(pictures).std()


def test_the_shift_of_norms_is_told_where_the_network_remembers_its_own_pictures(
    photographs: list[torch.Tensor],
) -> None:
    """Norms that the file holds folded remember none; for an ImageNet source photographs lie near."""
    pictures = torch.cat([resize(pixels, 64) for pixels in photographs[:8]]).round().to(torch.uint8)
    found = {}
    for name in ("mobilenet_v2", "moderation_resnet50_thin", "documents_pplcnet_v3"):
        backbone = load_backbone(SOURCES[name])
        features_ND = embed(SOURCES[name], backbone, pictures, torch.device("cpu")).numpy()
        found[name] = distances(SOURCES[name], backbone, pictures, features_ND, torch.device("cpu"))
    assert set(found["mobilenet_v2"]) == {"batchnorm_shift", "mmd_squared", "mmd_p"}
    assert found["mobilenet_v2"]["mmd_p"] > 0.05
    assert found["moderation_resnet50_thin"] == found["documents_pplcnet_v3"] == {}


def test_parameters_and_operations_are_those_that_the_catalogue_says() -> None:
    assert len(SOURCES) >= 6
    for source in SOURCES.values():
        side_px = source.preprocessing.image_size_px
        backbone = backbone_shape(source.architecture).eval()
        assert sum(parameter.numel() for parameter in backbone.parameters()) == source.num_parameters, source.name
        flops, _ = forward_flops(backbone, (1, 3, side_px, side_px))
        assert round(flops / 1e9, 3) == source.gflops, source.name


def test_classifiers_and_their_preprocessing_are_right_and_the_others_tell_photographs_apart() -> None:
    checks = {name: check_source(source) for name, source in SOURCES.items()}
    assert {name: check.reason for name, check in checks.items() if not check.is_ok} == {}
    assert (checks["mobilenet_v2"].scores[0].top1, checks["mobilenet_v2"].scores[0].top5) == (0.9, 1.0)
    assert (checks["efficientnet_lite0"].scores[0].top1, checks["efficientnet_lite0"].scores[0].top5) == (0.85, 1.0)
    first = checks["mobilenet_v2"].photo_results[0]
    assert first.content == first.predictions[0][0] == "bull mastiff"
    assert checks["drawings_efficientnet_b0"].class_shares == {"drawing": 0.0, "photograph": 1.0}
    assert checks["moderation_resnet50_thin"].class_shares == {"safe": 1.0, "unsafe": 0.0}
    neighbours = checks["aerial_resnet18"].photo_results[0].predictions
    assert len(neighbours) == 3
    assert all(-1 <= similarity <= 1 and "imagenet_00" not in name for name, similarity in neighbours)


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("mobilenet_v2", {"channel_order": "bgr"}),
        ("mobilenet_v2", {"mean": [0.0] * 3, "std": [1.0] * 3}),
        ("mobilenet_v2", {"mean": [0.0] * 3, "std": [1 / 255] * 3}),
        ("efficientnet_lite0", {"channel_order": "bgr"}),
        ("efficientnet_lite0", {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}),
    ],
)
def test_a_wrong_preprocessing_is_found(name: str, mistake: dict[str, object]) -> None:
    source = SOURCES[name]
    wrong = source.model_copy(update={"preprocessing": source.preprocessing.model_copy(update=mistake)})
    check = check_source(wrong)
    assert not check.is_ok
    assert "preprocessing looks wrong" in check.reason


def test_what_cannot_be_loaded_is_not_ok_and_says_why() -> None:
    check = check_source(SOURCES["mobilenet_v2"].model_copy(update={"architecture": "torchvision/resnet18"}))
    assert not check.is_ok
    assert "missing ['conv1.weight'" in check.reason


def test_a_source_without_classes_has_no_classifier() -> None:
    with pytest.raises(HubError, match="no classes of its own"):
        load_classifier(SOURCES["aerial_resnet18"])


def test_logits_are_those_of_the_file_in_its_own_order(photographs: list[torch.Tensor]) -> None:
    source = SOURCES["mobilenet_v2"]
    native = models.mobilenet_v2(weights=None)
    native.load_state_dict(torch.load(fetch_weights(source), weights_only=True))
    pictures = _normalised(source, photographs[:2])
    with torch.no_grad():
        torch.testing.assert_close(load_classifier(source)(pictures), native.eval()(pictures))
