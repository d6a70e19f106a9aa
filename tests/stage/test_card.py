"""The model card beside the ONNX file."""

import json
from pathlib import Path

import onnx
import pytest

from graft.data.profile import Profile
from graft.experiment.result import ArmResult
from graft.networks.model_config import ModelConfig
from graft.selection.result import Selection
from graft.serving.card import CardContent, render_card
from graft.serving.recipe import RECIPE
from graft.serving.result import Export
from graft.transfer.verdict import Verdict


@pytest.fixture
def content(finished: Path) -> CardContent:
    artifacts = finished / "artifacts"
    return CardContent(
        profile=Profile.load(artifacts / "profile.json"),
        selection=Selection.load(artifacts / "selection.json"),
        model=ModelConfig.load(artifacts / "model" / "config.json"),
        transfer=ArmResult.load(artifacts / "finetune" / "result.json"),
        baseline=ArmResult.load(artifacts / "baseline" / "result.json"),
        verdict=Verdict.load(artifacts / "verdict.json"),
        export=Export.load(artifacts / "export.json"),
    )


def test_the_card_of_an_exported_model_says_what_it_is_and_agrees_with_the_onnx_file(
    finished: Path, content: CardContent
) -> None:
    folder = finished / "artifacts" / "onnx"
    card = (folder / "MODEL_CARD.md").read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["MODEL_CARD.md", "model.onnx"]
    model = onnx.load(folder / "model.onnx")
    metadata = {item.key: item.value for item in model.metadata_props}
    assert f"| licence of the source | {metadata['source_licence']} |" in card
    assert f"| sha256 of its weights | {metadata['source_weights_sha256']} |" in card
    assert ", ".join(json.loads(metadata["classes"])) in card
    assert f"`{model.graph.input[0].name}`: uint8" in card
    assert f"`{model.graph.output[0].name}`: float32 [batch, 2]" in card
    assert content.verdict.claim in card
    assert f"n = {content.verdict.num_test} pictures" in card
    assert f"{100 * content.verdict.scores['transfer'].accuracy.mean:.1f} %" in card
    assert "| trained on | ImageNet-1k (photographs) |" in card
    assert f"```python\n{RECIPE}```" in card
    assert "| all | " in card
    assert str(content.profile.num_samples) in card


def test_equal_results_give_an_equal_card(finished: Path, content: CardContent) -> None:
    assert render_card(content) == (finished / "artifacts" / "onnx" / "MODEL_CARD.md").read_text()


def test_class_names_cannot_tear_a_table_and_scarce_ones_are_named(content: CardContent) -> None:
    classes = ["a|b", "c\nd"]
    counts = {"train": {"a|b": 90, "c\nd": 80}, "validation": {"a|b": 9, "c\nd": 8}, "test": {"a|b": 40, "c\nd": 7}}
    profile = content.profile.model_copy(update={"classes": classes, "counts": counts})
    model = content.model.model_copy(update={"classes": classes})
    card = render_card(CardContent(**vars(content) | {"profile": profile, "model": model}))
    assert r"| a\|b | 90 | 9 | 40 | 139 |" in card
    assert "| c d | 80 | 8 | 7 | 95 |" in card
    assert "Fewer than 30 test pictures stand behind what is said of: c d." in card
