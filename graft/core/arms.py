"""The two arms of an experiment, and what the baseline lacks.

The baseline arm is the same training without the transferred thing. Today that thing is the pretrained weights,
so the baseline is training from scratch. All words about it come from BASELINE.
"""

from dataclasses import dataclass
from typing import Literal

ArmName = Literal["transfer", "baseline"]
RESULT_FILE, CONFIG_FILE, WEIGHTS_FILE = "result.json", "config.json", "model.safetensors"
"""Names of an arm's result, and of a saved classifier's config and weights, in their folders."""


@dataclass(frozen=True)
class Ablation:
    """Words for what the baseline lacks."""

    how: str
    """Way in which the baseline is trained, as in "a model trained ..."."""
    starts_from: str
    """Words used in place of the source's name."""


BASELINE = Ablation(how="from scratch", starts_from="random weights")


@dataclass(frozen=True)
class ArmFiles:
    """Paths of an arm's results, relative to the artifacts folder."""

    folder: str
    model: str
    """Folder of the best seed's weights and config."""

    @property
    def result(self) -> str:
        return f"{self.folder}/{RESULT_FILE}"

    @property
    def curves(self) -> str:
        return f"{self.folder}/curves.csv"

    @property
    def search(self) -> str:
        return f"{self.folder}/search.csv"

    @property
    def predictions(self) -> str:
        return f"{self.folder}/predictions.parquet"

    @property
    def config(self) -> str:
        return f"{self.model}/{CONFIG_FILE}"

    @property
    def weights(self) -> str:
        return f"{self.model}/{WEIGHTS_FILE}"


ARMS: dict[ArmName, ArmFiles] = {
    "transfer": ArmFiles("finetune", "model"),
    "baseline": ArmFiles("baseline", "baseline/model"),
}
"""Each arm's folder is named after its stage."""
