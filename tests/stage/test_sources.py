"""The sources of sources.yaml with their real weights, on real photographs."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from graft.data.transforms import Normalise, resize
from graft.hub.backbones import backbone_shape, forward_flops
from graft.hub.catalogue import Source, load_catalogue
from graft.hub.fetch import fetch_weights
from graft.hub.samples import sample_pictures
from graft.hub.weights import load_backbone, load_classifier

SOURCES = load_catalogue(Path(__file__).parents[2] / "sources.yaml")


@pytest.fixture(scope="module")
def photographs() -> list[torch.Tensor]:
    return [torch.from_numpy(picture.pixels_HWC.copy()).permute(2, 0, 1)[None] for picture in sample_pictures()]


def _normalised(source: Source, photographs: list[torch.Tensor]) -> torch.Tensor:
    expected = source.preprocessing
    normalise = Normalise(expected.mean, expected.std, expected.channel_order)
    return torch.cat([normalise(resize(pixels, expected.image_size_px)) for pixels in photographs])


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


def test_parameters_and_operations_are_those_that_the_catalogue_says() -> None:
    assert len(SOURCES) >= 6
    for source in SOURCES.values():
        side_px = source.preprocessing.image_size_px
        backbone = backbone_shape(source.architecture).eval()
        assert sum(parameter.numel() for parameter in backbone.parameters()) == source.num_parameters, source.name
        flops, _ = forward_flops(backbone, (1, 3, side_px, side_px))
        assert round(flops / 1e9, 3) == source.gflops, source.name
