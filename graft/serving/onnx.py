"""Served model as an ONNX file, and the check that it gives the same predictions as PyTorch."""

import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import torch

from graft.core.errors import ParityError
from graft.core.files import written_atomically
from graft.core.finite import NO_CLASS, predicted_classes
from graft.core.progress import track
from graft.data.manifest import verified_bytes
from graft.modalities.image.reading import WHITE, decode
from graft.networks.model_config import ModelConfig
from graft.serving.empty_batches import answer_empty_batches
from graft.serving.served import ServedModel

INPUT_NAME = "pixels"
OUTPUT_NAME = "probabilities"


@dataclass(frozen=True)
class Parity:
    num_compared: int
    num_agreeing: int
    max_probability_difference: float


def export_onnx(model: ServedModel, config: ModelConfig, path: Path, *, opset: int) -> None:
    """Writes an ONNX file with one input, pixels uint8 [batch, height, width, 3], of any batch (0 included) and size.

    Its metadata contain the class names in the order of the output, and the origin of the model. Equal models give
    equal bytes: the exporter's traces (file names, line numbers, versions) are removed.
    """
    example = torch.zeros((2, 2 * config.image_size_px, 2 * config.image_size_px + 1, 3), dtype=torch.uint8)
    free = torch.export.Dim
    sizes = {0: free("batch"), 1: free("height", min=2), 2: free("width", min=2)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch's own exporter
        program = torch.onnx.export(
            model, (example,), dynamo=True, dynamic_shapes=(sizes,), opset_version=opset,
            input_names=[INPUT_NAME], output_names=[OUTPUT_NAME], verbose=False,
        )  # fmt: skip
    assert program is not None  # None is for the exporter's other mode
    proto = program.model_proto
    _remove_traces(proto)
    answer_empty_batches(proto)
    onnx.helper.set_model_props(
        proto,
        {
            "classes": json.dumps(config.classes, ensure_ascii=False),
            "source": config.source,
            "source_weights_sha256": config.weights_sha256,
            "source_licence": config.licence,
            "background": config.background,
            "input": "uint8 RGB [batch, height, width, 3], 0..255, any size; resize and normalisation are inside",
        },
    )
    onnx.checker.check_model(proto)
    with written_atomically(path) as temporary:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))


def check_parity(
    onnx_path: Path,
    data_dir: Path,
    predictions: pd.DataFrame,
    classes: list[str],
    *,
    max_probability_difference: float,
    background: str = WHITE,
) -> Parity:
    """Runs the file in ONNX Runtime on the raw bytes of every test image and compares with PyTorch's predictions.

    Args:
        predictions: those of the exported seed, from `predictions_table`.
        background: colour that transparent parts are composited onto, as in training.
    Raises:
        ParityError: a predicted class differs, or a probability by more than `max_probability_difference`, or is not
            finite on either side.
        ContentChangedError: an image has changed since ingest.
    """
    session = onnxruntime.InferenceSession(onnx_path, providers=["CPUExecutionProvider"])
    expected_NK = predictions[[f"probability_{name}" for name in classes]].to_numpy()
    rows = []
    items = list(zip(predictions["path"], predictions["sample_id"], strict=True))
    for path, sample_id in track(items, "ONNX against PyTorch, test images", total=len(items)):
        pixels_HWC = decode(verified_bytes(data_dir, path, sample_id), background)
        rows.append(session.run([OUTPUT_NAME], {INPUT_NAME: pixels_HWC[None]})[0][0])
    found_NK = np.stack(rows)
    parity = compare_answers(found_NK, expected_NK)
    if parity.num_agreeing < len(items) or not parity.max_probability_difference <= max_probability_difference:
        raise ParityError(
            f"{onnx_path} and PyTorch disagree: {_disagreement(found_NK, expected_NK, predictions)}"
            f"probabilities differ by up to {parity.max_probability_difference:.2g} where "
            f"export.max_probability_difference allows {max_probability_difference:g}."
        )
    return parity


def compare_answers(found_NK: np.ndarray, expected_NK: np.ndarray) -> Parity:
    """Agreement of two tables of probabilities. Items with a number that is not finite in either do not agree.

    Args:
        found_NK: probabilities from ONNX Runtime.
        expected_NK: probabilities from PyTorch.
    """
    is_same_N = _is_same_class(found_NK, expected_NK)
    return Parity(len(found_NK), int(is_same_N.sum()), float(np.abs(found_NK - expected_NK).max()))


def _is_same_class(found_NK: np.ndarray, expected_NK: np.ndarray) -> np.ndarray:
    found_N, expected_N = predicted_classes(found_NK), predicted_classes(expected_NK)
    return (found_N == expected_N) & (found_N != NO_CLASS)


def _disagreement(found_NK: np.ndarray, expected_NK: np.ndarray, predictions: pd.DataFrame) -> str:
    """Beginning of the error message: images with a different class, and the number without finite probabilities."""
    is_different = ~_is_same_class(found_NK, expected_NK)
    examples = ", ".join(predictions["path"][is_different].head(10)) or "none"
    not_finite = [int((predicted_classes(rows_NK) == NO_CLASS).sum()) for rows_NK in (found_NK, expected_NK)]
    lost = (
        f"probabilities of {not_finite[0]} in ONNX Runtime and {not_finite[1]} in PyTorch are not finite numbers, "
        if any(not_finite)
        else ""
    )
    return f"{is_different.sum()} of {len(predictions)} test images get a different class ({examples}), {lost}and "


def _remove_traces(proto: onnx.ModelProto) -> None:
    proto.producer_version = ""
    proto.doc_string = ""
    del proto.graph.metadata_props[:]
    proto.graph.doc_string = ""
    for graph in [proto.graph, *proto.functions]:
        for node in graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.value_info, *proto.graph.initializer]:
        value.doc_string = ""
        if hasattr(value, "metadata_props"):
            del value.metadata_props[:]
