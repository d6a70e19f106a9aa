"""Result of the export: artifacts/export.json."""

from typing import ClassVar

from graft.core.artifacts import Link


class Export(Link):
    NAME: ClassVar = "export.json"

    exported: bool
    reason: str
    num_compared: int
    num_agreeing: int
    max_probability_difference: float
    onnx_sha256: str
    onnx_bytes: int
    opset: int
