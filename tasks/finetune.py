"""finetune: manifest, selection -> finetune/ (metrics, curves, predictions, search), model/ (best seed's weights)"""

from graft.core.config import Params
from graft.data.manifest import read_manifest
from tasks.arms import transfer_arm
from tasks.recipe import left_to_auto, settled
from tasks.stage import ARTIFACTS, run_stage
from tasks.train_arm import read_source, run_arm


def finetune(params: Params) -> None:
    source = read_source()
    manifest = read_manifest(ARTIFACTS / "manifest.parquet")
    by_auto = left_to_auto(params, manifest)
    params = settled(params, manifest)
    settings = {"method": params.finetune.method, "left to auto": by_auto}
    run_arm(params, source, transfer_arm(params, source), settings)


if __name__ == "__main__":
    run_stage(finetune)
