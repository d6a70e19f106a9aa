"""scratch: manifest, selection -> scratch/ (as finetune/, and model/): the same network from random weights"""

from graft.core.config import Params
from graft.data.manifest import read_manifest
from tasks.arms import scratch_arm
from tasks.recipe import settled
from tasks.stage import ARTIFACTS, run_stage
from tasks.train_arm import read_source, run_arm


def scratch(params: Params) -> None:
    source = read_source()
    params = settled(params, read_manifest(ARTIFACTS / "manifest.parquet"))
    run_arm(params, source, scratch_arm(params, source), settings={})


if __name__ == "__main__":
    run_stage(scratch)
