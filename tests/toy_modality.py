"""A modality that the tests alone know: short series of numbers in .npy files.

It stands for whatever kind of sample comes next: what Graft can do with it, it can do without knowing it.
"""
# ruff: noqa: ARG002  (a protocol's arguments, which not every modality needs)

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from graft.modalities.base import DESCRIPTOR_BYTES, HASH_BYTES, Reading, Unusable


@dataclass(frozen=True)
class SeriesModality:
    """See `graft.modalities.base.Modality`."""

    name: ClassVar[str] = "toy_modality:SeriesModality"
    noun: ClassVar[str] = "curve"
    suffixes: ClassVar[Mapping[str, str]] = {".npy": "NPY"}
    columns: ClassVar[Mapping[str, str]] = {"num_values": "int32", "mean": "float32", "kind": "string"}
    remedies: ClassVar[Mapping[str, str]] = {
        "not_a_series": "save one row of numbers per file",
        "gaps": "fill them, or let them count as 0 (ingest.accept: [gaps])",
    }
    waivable: ClassVar[Mapping[str, str]] = {"gaps": "their gaps as 0"}

    @property
    def decoder(self) -> tuple[str, ...]:
        return (np.__version__,)

    def read(self, content: bytes, name: str, accept: Collection[str], *, with_signature: bool) -> Reading:
        values = np.load(io.BytesIO(content), allow_pickle=False)
        if values.ndim != 1 or values.dtype.kind not in "iuf":
            raise Unusable("not_a_series", f"{values.ndim} dimension(s) of {values.dtype}")
        measured: dict[str, str | float] = {"num_values": len(values), "kind": str(values.dtype)}
        if not np.isfinite(values).all() and "gaps" not in accept:
            return Reading(measured=measured, status="gaps: not every number is finite")
        if not with_signature:
            return Reading(measured=measured)
        measured["mean"] = float(_decode(content).mean())
        slopes = np.diff(_shape(content, 8 * HASH_BYTES + 1))
        shape = _shape(content, DESCRIPTOR_BYTES)
        return Reading(
            measured=measured,
            perceptual_hash=np.packbits(slopes > 0).tobytes().hex(),
            descriptor=(128 + 40 * shape).clip(0, 255).astype(np.uint8).tobytes(),
            note="" if len(values) > 1 else "a single number",
        )

    def remarks(self, row: Mapping[str, object]) -> list[str]:
        return ["whole numbers"] if str(row["kind"]).startswith(("int", "uint")) else []

    def prepare(self, content: bytes) -> np.ndarray:
        return _shape(content, DESCRIPTOR_BYTES)

    def similarity(self, one: np.ndarray, other: np.ndarray) -> float:
        return max(0.0, float((one * other).mean()))

    def as_ingested(self, manifest: pd.DataFrame) -> "SeriesModality":
        return self

    def inputs(self, size: int) -> "SeriesInputs":
        return SeriesInputs(size)


@dataclass(frozen=True)
class SeriesInputs:
    """See `graft.modalities.base.Inputs`. A row is a series [1, size]: float16, or float32 where exact."""

    size: int

    views: ClassVar[Mapping] = {"identity": lambda rows_B1S: rows_B1S, "backwards": lambda rows_B1S: rows_B1S.flip(2)}

    @property
    def size_label(self) -> str:
        return f"{self.size}values"

    def empty(self, num_samples: int, *, exact: bool) -> Tensor:
        return torch.empty((num_samples, 1, self.size), dtype=torch.float32 if exact else torch.float16)

    def row(self, content: bytes, *, exact: bool) -> Tensor:
        return self.fit(torch.from_numpy(_decode(content))[None])[0]

    def fit(self, raw: Tensor) -> Tensor:
        return interpolate(raw[:, None], self.size, mode="linear")

    def expected(self, preprocessing: Mapping[str, float]) -> nn.Module:
        return nn.Identity()

    def augmented(self, rows_B: Tensor, preset: str, seeds_B: Tensor) -> Tensor:
        noise = [torch.randn(rows_B.shape[1:], generator=torch.manual_seed(seed)) for seed in seeds_B.tolist()]
        return rows_B + 0.1 * torch.stack(noise)


def _decode(content: bytes) -> np.ndarray:
    return np.nan_to_num(np.load(io.BytesIO(content), allow_pickle=False).astype(np.float32))


def _shape(content: bytes, num_points: int) -> np.ndarray:
    """The series at so many points, of mean 0 and deviation 1."""
    values = _decode(content)
    points = np.interp(np.linspace(0, 1, num_points), np.linspace(0, 1, len(values)), values)
    return (points - points.mean()) / (points.std() + 1e-9)
