"""Choices that params.yaml offers, each written once: params are checked against them, and their owners import them."""

from typing import Literal

Auto = Literal["auto"]
"""Stands for a setting that is derived from the data (graft/training/defaults.py) or measured on the machine."""

Quarantine = Literal["wrong_extension", "animated", "deep", "cmyk", "transparent"]
"""Reasons to quarantine an image that `ingest.accept` may waive (graft/modalities/image/reading.py)."""
View = Literal["identity", "flip_horizontal", "flip_vertical", "rotate_180"]
"""Versions of an image that have the same label (graft/modalities/image/inputs.py)."""
Augmentation = Literal["none", "photos", "inspection", "documents"]
"""Presets of graft/modalities/image/augmentation.py."""
ChannelOrder = Literal["rgb", "bgr"]
"""Order of an image's channels in which a network was pretrained."""

Preference = Literal["accuracy", "cheapest"]
"""Choice between sources that the evidence does not separate: the default, or the fewest operations."""

Method = Literal["linear_probe", "partial", "full", "lp_ft", "gradual_unfreeze", "lora"]
"""Ways to adapt a backbone (graft/training/methods.py)."""
BatchNormStatistics = Literal["source", "target"]
"""What BatchNorm of trained blocks normalises by: see `graft.training.recipe.Recipe`."""
Head = Literal["linear", "mlp", "cosine"]
"""Kinds of last layers (graft/networks/heads.py)."""
ClassBalance = Literal["none", "weights", "sampling"]
"""Treatment of rare classes (graft/training/ingredients/balance.py)."""
Mixing = Literal["none", "mixup", "cutmix"]
"""Mixtures of two images (graft/training/ingredients/mixing.py)."""
Schedule = Literal["one_cycle", "cosine"]
"""Course of the learning rate over a phase (graft/training/optimizer.py)."""
Precision = Literal["float32", "bfloat16"]
"""Number format of the forward and backward passes (graft/training/precision.py)."""

AlphaOver = Literal["verdict", "test_split"]
"""What alpha holds for: each verdict alone, or all verdicts on the same test samples."""
OnInconclusive = Literal["export", "reject"]
OnNegative = Literal["reject", "next_source", "baseline"]
"""Consequences of a verdict (graft/transfer/decision.py)."""
