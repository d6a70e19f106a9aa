"""The choice of precision, measured once per machine and network and cached."""

import copy
import hashlib
import json
import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from graft.core.choices import Precision
from graft.core.device import describe_device, reduced_precision
from graft.core.files import fingerprint, write_json
from graft.data.seals import seal
from graft.networks.backbones import Backbone, pooled

logger = logging.getLogger(__name__)

DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
NUM_ROUNDS = 5
MIN_SPEEDUP = {"forward": 1.2, "training": 1.3}
"""Factors by which bfloat16 must be faster to be chosen: noise is no reason to lose half of the digits."""


@dataclass(frozen=True)
class Precisions:
    forward: Precision
    """Precision of frozen blocks."""
    training: Precision
    """Precision of the forward and backward passes of trained blocks; weights and optimizer stay float32."""
    speedups: dict[str, float]
    """Measured speed-ups of bfloat16 over float32; empty if nothing was measured."""

    def __str__(self) -> str:
        said = [f"{getattr(self, kind)} for {words}" for kind, words in _WORDS.items()]
        measured = [f"{_WORDS[kind]} {speedup:.2f} times as fast" for kind, speedup in self.speedups.items()]
        return ", ".join(said) + (f" (bfloat16 measured: {', '.join(measured)})" if measured else "")


_WORDS = {"forward": "frozen blocks", "training": "training"}


def measured_precisions(
    backbone: Backbone, num_frozen: int, side_px: int, batch_size: int, device: torch.device, cache_dir: Path
) -> Precisions:
    """The faster precisions on this device for these blocks, by the median of rounds that alternate between both.

    The backbone does not change.

    The measurement is stored below `cache_dir`, so that the same machine makes the same choice the next time. It is
    repeated if the file is damaged, or was not written by this user for this key.
    """
    layers = [type(module).__name__ for module in backbone.modules()]
    key = fingerprint(describe_device(device), torch.__version__, layers, num_frozen, side_px, batch_size)
    path = cache_dir / "precisions" / f"{key}.json"
    speedups = _kept_speedups(path)
    if speedups is None:
        measured = _speedups(backbone, num_frozen, side_px, batch_size, device)
        speedups = {kind: round(speedup, 4) for kind, speedup in measured.items()}
        _keep_speedups(path, speedups)
    chosen = {kind: _chosen(kind, speedups) for kind in MIN_SPEEDUP}
    return Precisions(**chosen, speedups={kind: round(speedup, 2) for kind, speedup in speedups.items()})


def _kept_speedups(path: Path) -> dict[str, float] | None:
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["seal"] == _seal_of(path, kept["speedups"]):
            return kept["speedups"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    logger.warning(
        f"  {path} is damaged, written by somebody else, or made from something else; precisions are measured again"
    )
    return None


def _keep_speedups(path: Path, speedups: dict[str, float]) -> None:
    try:
        write_json(path, {"speedups": speedups, "seal": _seal_of(path, speedups)})
    except OSError as error:
        logger.warning(f"  {path} cannot be written ({error.strerror}); precisions are measured again the next time")


def _seal_of(path: Path, speedups: dict[str, float]) -> str:
    return seal(f"precisions/{path.stem}", hashlib.sha256(json.dumps(speedups, sort_keys=True).encode()).hexdigest())


def _chosen(kind: str, speedups: dict[str, float]) -> Precision:
    return "bfloat16" if speedups.get(kind, 0) >= MIN_SPEEDUP[kind] else "float32"


def _speedups(
    backbone: Backbone, num_frozen: int, side_px: int, batch_size: int, device: torch.device
) -> dict[str, float]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        images_BCHW = torch.randn(batch_size, 3, side_px, side_px, device=device)
    images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
    blocks = copy.deepcopy(backbone.blocks)  # BatchNorm statistics and gradients of the original must not change
    frozen, trained = blocks[:num_frozen].eval(), blocks[num_frozen:].train()
    with torch.no_grad():
        activations = frozen(images_BCHW)

    def forward() -> None:
        with torch.no_grad():
            frozen(images_BCHW)

    def training() -> None:
        pooled(trained(activations)).float().square().mean().backward()

    found = {}
    if len(frozen) > 0:
        found["forward"] = _speedup(forward, device)
    if any(parameter.requires_grad for parameter in trained.parameters()):
        found["training"] = _speedup(training, device)
    return found


def _speedup(work: Callable[[], None], device: torch.device) -> float:
    """Median over rounds of time in float32 / time in bfloat16."""
    ratios = []
    for number in range(NUM_ROUNDS + 1):
        seconds = {name: _seconds(work, device, dtype) for name, dtype in DTYPES.items()}
        if number > 0:  # the first round warms up
            ratios.append(seconds["float32"] / seconds["bfloat16"])
    return statistics.median(ratios)


def _seconds(work: Callable[[], None], device: torch.device, dtype: torch.dtype) -> float:
    _wait_for(device)
    started_s = time.perf_counter()
    with reduced_precision(device, dtype):
        work()
    _wait_for(device)
    return time.perf_counter() - started_s


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
