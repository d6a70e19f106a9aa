"""Heads: from features to logits, in PyTorch and in ONNX Runtime."""

from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graft.core.choices import Head
from graft.networks.backbones import Backbone, Classifier
from graft.networks.heads import make_head
from graft.networks.model_config import ModelConfig
from graft.serving.onnx import export_onnx
from graft.serving.served import ServedModel

KINDS: list[Head] = list(get_args(Head))


def _classifier(kind: Head) -> Classifier:
    backbone = Backbone([nn.Conv2d(3, 8, 5, stride=4)], num_features=8)
    return Classifier(backbone, num_classes=3, dropout=0.2, head=kind).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_learns_to_tell_classes_apart(kind: Head) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = make_head(kind, 6, 3)
        labels = torch.arange(60) % 3
        features = torch.randn(60, 6) + 3 * F.one_hot(labels, 6)
        optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(head(features), labels).backward()
            optimizer.step()
    assert (head(features).argmax(dim=1) == labels).double().mean() > 0.95


def test_a_linear_head_reads_the_models_that_were_written_before_there_were_others() -> None:
    old = Classifier(Backbone([nn.Conv2d(3, 8, 5, stride=4)], num_features=8), num_classes=3, dropout=0.2).eval()
    new = _classifier("linear")
    new.load_state_dict(old.state_dict())
    pictures = torch.rand(2, 3, 32, 32)
    assert torch.equal(new(pictures), old(pictures))


def test_a_hidden_layer_is_never_wider_than_512() -> None:
    assert [make_head("mlp", width, 2).get_parameter("hidden.weight").shape[0] for width in (64, 2048)] == [64, 512]


def test_a_cosine_head_does_not_mind_the_length_of_features() -> None:
    head = make_head("cosine", 5, 4)
    features = torch.randn(7, 5)
    torch.testing.assert_close(head(features), head(100 * features))
    expected = 10 * F.cosine_similarity(features[:, None], head.get_parameter("weight")[None], dim=2)
    torch.testing.assert_close(head(features), expected)
    assert head(torch.zeros(1, 5)).isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_onnx_file_answers_as_the_head_does_and_to_a_batch_without_images_with_none(
    kind: Head, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    config = ModelConfig.model_construct(
        image_size_px=32, mean=[0.5] * 3, std=[0.5] * 3, channel_order="rgb", views=["identity"],
        classes=["a", "b", "c"], source="s", weights_sha256="0", licence="MIT",
    )  # fmt: skip
    model = ServedModel(_classifier(kind), config).eval()
    export_onnx(model, config, path, opset=20)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 40, 70, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = model(torch.from_numpy(pixels)).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"pixels": pixels})[0], expected, atol=1e-5)
    answers = session.run(None, {"pixels": pixels[:0]})[0]
    assert (answers.shape, answers.dtype) == ((0, 3), np.float32)
    assert answers.argmax(axis=1).shape == (0,)
