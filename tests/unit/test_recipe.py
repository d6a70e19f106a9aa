"""The recipe that the report and the model card show decodes images as training did."""

import contextlib
import html
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor, make_tensor_value_info
from PIL import Image
from report_content import card_content_of, content_of

from graft.modalities.image.reading import decode
from graft.report.page import render_report
from graft.serving.card import render_card
from graft.serving.recipe import RECIPE

CLASSES = [f"pixel {number}" for number in range(12)]


def _save(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, **{"format": "PNG", **options})
    return file.getvalue()


def _ramp(channels: int) -> np.ndarray:
    """An image that looks different from every side, [9, 14, channels]."""
    values = np.random.default_rng(3).integers(0, 256, (9, 14, channels))
    values[:3, :4] //= 8
    return values.astype(np.uint8)


def _turned(orientation: int) -> bytes:
    image = Image.fromarray(_ramp(3))
    exif = image.getexif()
    exif[0x0112] = orientation
    return _save(image, format="JPEG", quality=95, exif=exif)


def _sixteen_bits() -> bytes:
    return _save(Image.fromarray(np.random.default_rng(5).integers(0, 2**16, (9, 14), dtype=np.uint16)))


def _palette(**options: Any) -> bytes:
    return _save(Image.fromarray(_ramp(3)).quantize(16), **options)


def _transparent(mode: str) -> bytes:
    alpha = Image.fromarray(_ramp(1)[..., 0])
    image = Image.fromarray(_ramp(3)).convert(mode[:-1])
    image.putalpha(alpha)
    return _save(image)


STORED: dict[str, Callable[[], bytes]] = {
    **{f"EXIF orientation {number}": lambda number=number: _turned(number) for number in range(1, 9)},
    "16 bits": _sixteen_bits,
    "grey": lambda: _save(Image.fromarray(_ramp(1)[..., 0])),
    "black and white": lambda: _save(Image.fromarray(_ramp(1)[..., 0]).convert("1")),
    "palette": _palette,
    "CMYK": lambda: _save(Image.fromarray(_ramp(3)).convert("CMYK"), format="JPEG"),
    "opaque with an alpha channel": lambda: _save(Image.fromarray(_ramp(3)).convert("RGBA")),
}
TRANSPARENT: dict[str, Callable[[], bytes]] = {
    "RGBA": lambda: _transparent("RGBA"),
    "grey with alpha": lambda: _transparent("LA"),
    "a colour of the palette": lambda: _palette(transparency=0),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a model.onnx whose twelve classes are the brightness of the first four pixels of the first three rows."""
    rows = [make_tensor("first", TensorProto.INT64, [2], [0, 0]), make_tensor("last", TensorProto.INT64, [2], [3, 4])]
    rows += [make_tensor("axes", TensorProto.INT64, [2], [1, 2]), make_tensor("flat", TensorProto.INT64, [2], [-1, 12])]
    rows += [make_tensor("channels", TensorProto.INT64, [1], [3])]
    nodes = [
        make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
        make_node("Slice", ["numbers", "first", "last", "axes"], ["corner"]),
        make_node("ReduceMean", ["corner", "channels"], ["brightness"], keepdims=0),
        make_node("Reshape", ["brightness", "flat"], ["logits"]),
        make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    taken = make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", "height", "width", 3])
    given = make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 12])
    model = make_model(
        make_graph(nodes, "corner", [taken], [given], rows), opset_imports=[make_opsetid("", 20)], ir_version=10
    )
    onnx.helper.set_model_props(model, {"classes": json.dumps(CLASSES)})
    path = tmp_path_factory.mktemp("served") / "model.onnx"
    onnx.save(model, path)
    return path.parent


@pytest.fixture(scope="module")
def shown() -> str:
    """The recipe as a reader of the report copies it."""
    found = re.search(r'aria-label="How to call the model"><code>(.*?)</code>', render_report(content_of()), re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def _run(recipe: str, folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the recipe leaves, run beside the model and the image."""
    (folder / "image.png").write_bytes(content)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(recipe, names)
    assert said.getvalue() == f"{names['labels']}\n"
    return names


@pytest.mark.parametrize("kind", STORED)
def test_the_recipe_of_the_report_answers_as_the_model_does_on_what_training_saw(
    kind: str, shown: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = STORED[kind]()
    found = _run(shown, folder, content, monkeypatch)
    seen = decode(content)[None]
    np.testing.assert_array_equal(found["pixels"], seen)
    expected = onnxruntime.InferenceSession(folder / "model.onnx").run(["probabilities"], {"pixels": seen})[0]
    np.testing.assert_array_equal(found["probabilities"], expected)
    assert found["labels"] == [CLASSES[expected[0].argmax()]]


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_the_recipe_lays_transparent_images_on_white(
    kind: str, shown: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = TRANSPARENT[kind]()
    rgba = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"), dtype=float)
    on_white = 255 - (255 - rgba[..., :3]) * rgba[..., 3:] / 255
    found = _run(shown, folder, content, monkeypatch)["pixels"][0]
    np.testing.assert_allclose(found, on_white, atol=1)
    assert (rgba[..., 3] < 255).any()


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_the_recipe_sees_transparent_images_as_training_did(
    kind: str, shown: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = TRANSPARENT[kind]()
    np.testing.assert_array_equal(_run(shown, folder, content, monkeypatch)["pixels"][0], decode(content))


def test_the_report_and_the_card_show_the_recipe_as_it_is(shown: str) -> None:
    assert shown == RECIPE
    assert f"```python\n{RECIPE}```" in render_card(card_content_of(content_of()))
