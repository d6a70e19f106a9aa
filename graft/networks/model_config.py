"""What a saved classifier is: config.json beside its weights."""

from typing import ClassVar, Literal

from graft.core.artifacts import Artifact


class ModelConfig(Artifact):
    NAME: ClassVar = "config.json"

    source: str
    architecture: str
    classes: list[str]
    image_size_px: int
    mean: list[float]
    std: list[float]
    channel_order: Literal["rgb", "bgr"]
    background: str = "#ffffff"
    """Colour that transparent parts of an image are laid on before the model sees it: graft.data.reading.decode."""
    views: list[str]
    dropout: float
    head: Literal["linear", "mlp", "cosine"] = "linear"
    """Of graft.networks.heads."""
    seed: int
    licence: str
    """Of the source; empty where the model started from random weights."""
    weights_sha256: str
    """Of the source, before fine-tuning; empty where there was none."""
