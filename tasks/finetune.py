"""finetune: manifest, selection -> finetune/ (metrics, curves, predictions, search), model/ (best seed's weights)"""

from graft.artifacts import ModelConfig
from graft.config import Params
from graft.data.manifest import class_names, read_manifest
from graft.export.served import save_model
from graft.training.processes import is_first_process
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
    runs = run_arm(params, source, transfer_arm(params, source), settings)

    best = min(runs, key=lambda run: run.validation_loss)
    config = ModelConfig(
        source=source.name,
        architecture=source.architecture,
        classes=class_names(manifest),
        image_size_px=params.arms.image_size_px,
        mean=source.preprocessing.mean,
        std=source.preprocessing.std,
        channel_order=source.preprocessing.channel_order,
        views=list(params.arms.views),
        dropout=params.arms.dropout,
        head=params.arms.head,
        seed=best.seed,
        licence=source.licence,
        weights_sha256=source.weights_sha256,
    )
    if is_first_process():
        save_model(ARTIFACTS / "model", best.state, config)
    print(f"kept seed {best.seed}: the lowest validation loss")


if __name__ == "__main__":
    run_stage(finetune)
