"""The served model as an ONNX file, and the proof that it answers as PyTorch does."""

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

from graft.artifacts import ModelConfig
from graft.data.manifest import verified_bytes
from graft.data.reading import decode
from graft.errors import ParityError
from graft.export.served import ServedModel
from graft.files import written_atomically
from graft.progress import track

INPUT_NAME = "pixels"
OUTPUT_NAME = "probabilities"


@dataclass(frozen=True)
class Parity:
    num_compared: int
    num_agreeing: int
    max_probability_difference: float


def export_onnx(model: ServedModel, config: ModelConfig, path: Path, *, opset: int) -> None:
    """Writes an ONNX file with one input, pixels uint8 [batch, height, width, 3], all of free size.

    Its metadata hold the class names in the order of the output, and where the model comes from. Equal models give
    equal bytes: the exporter's traces (file names, line numbers, versions) are taken out.
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
    onnx.helper.set_model_props(
        proto,
        {
            "classes": json.dumps(config.classes, ensure_ascii=False),
            "source": config.source,
            "source_weights_sha256": config.weights_sha256,
            "source_licence": config.licence,
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
) -> Parity:
    """Runs the file in ONNX Runtime on the raw bytes of every test picture and compares with PyTorch's predictions.

    Args:
        predictions: those of the exported seed, as `predictions_table` makes them.
    Raises:
        ParityError: a predicted class differs, or a probability by more than `max_probability_difference`.
        ContentChangedError: a picture is not the one that ingest saw.
    """
    session = onnxruntime.InferenceSession(onnx_path, providers=["CPUExecutionProvider"])
    expected_NK = predictions[[f"probability_{name}" for name in classes]].to_numpy()
    rows = []
    items = list(zip(predictions["path"], predictions["sample_id"], strict=True))
    for path, sample_id in track(items, "ONNX against PyTorch, test pictures", total=len(items)):
        pixels_HWC = decode(verified_bytes(data_dir, path, sample_id))
        rows.append(session.run([OUTPUT_NAME], {INPUT_NAME: pixels_HWC[None]})[0][0])
    found_NK = np.stack(rows)
    difference = float(np.abs(found_NK - expected_NK).max())
    is_other_class = found_NK.argmax(axis=1) != expected_NK.argmax(axis=1)
    if is_other_class.any() or difference > max_probability_difference:
        examples = ", ".join(predictions["path"][is_other_class].head(10)) or "none"
        raise ParityError(
            f"{onnx_path} and PyTorch disagree: {is_other_class.sum()} of {len(items)} test pictures get another class "
            f"({examples}), and probabilities differ by up to {difference:.2g} where export.max_probability_difference "
            f"allows {max_probability_difference:g}."
        )
    return Parity(len(items), int((~is_other_class).sum()), difference)


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
