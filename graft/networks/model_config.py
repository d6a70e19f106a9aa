"""Description of a saved classifier: config.json next to its weights."""

from typing import ClassVar

from graft.core.arms import CONFIG_FILE
from graft.core.artifacts import Artifact
from graft.core.choices import ChannelOrder, Head


class ModelConfig(Artifact):
    NAME: ClassVar = CONFIG_FILE

    source: str
    architecture: str
    classes: list[str]
    image_size_px: int
    mean: list[float]
    std: list[float]
    channel_order: ChannelOrder
    background: str = "#ffffff"
    """Colour behind the transparent parts of an image (graft.modalities.image.reading.decode)."""
    views: list[str]
    dropout: float
    head: Head = "linear"
    """Kind of head (graft.networks.heads)."""
    seed: int
    licence: str
    """Licence of the source; empty if the model started from random weights."""
    weights_sha256: str
    """sha256 of the source's weights, before fine-tuning; empty if the model started from random weights."""
