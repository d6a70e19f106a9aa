"""check_transfer: both arms' predictions -> verdict.json, metrics.json, confusion.csv"""

import pandas as pd

from graft.artifacts import ArmResult, Interval, ModelConfig, Verdict, hash_inputs
from graft.config import Params
from graft.files import write_json
from graft.transfer.compare import compare
from graft.transfer.predictions import claim_of, paired_correct
from tasks.stage import ARTIFACTS, run_stage

ARM_FILES = ("result.json", "curves.csv", "predictions.parquet")
COMPARED = [f"{arm}/{name}" for arm in ("finetune", "scratch") for name in ARM_FILES] + [
    "model/config.json",
    "model/model.safetensors",
]


def check_transfer(params: Params) -> None:
    alpha = params.check_transfer.alpha
    transfer = ArmResult.load_verified(ARTIFACTS, "finetune/result.json")
    scratch = ArmResult.load_verified(ARTIFACTS, "scratch/result.json")
    predictions = pd.read_parquet(ARTIFACTS / "finetune" / "predictions.parquet")
    scratch_predictions = pd.read_parquet(ARTIFACTS / "scratch" / "predictions.parquet")
    margin_points = params.check_transfer.margin_points
    pairs = paired_correct(predictions, scratch_predictions)
    comparison = compare(*pairs, margin_points=margin_points, alpha=alpha)
    assert comparison.mcnemar_p is not None, "predictions are right or wrong"
    compute_ratio = scratch.training_tflops_per_seed / transfer.training_tflops_per_seed
    verdict = Verdict(
        inputs=hash_inputs(ARTIFACTS, *COMPARED),
        verdict=comparison.verdict,
        claim=claim_of(
            comparison,
            alpha=alpha,
            source=transfer.source,
            compute_ratio=compute_ratio,
            convergence=scratch.convergence,
        ),
        gain_points=comparison.gain_points,
        alpha=alpha,
        margin_points=margin_points,
        num_seeds=len(transfer.seeds),
        num_test=transfer.num_test,
        gain_points_per_seed=comparison.gain_points_per_seed,
        seed_spread_points=comparison.seed_spread_points,
        smallest_detectable_points=comparison.smallest_detectable_points,
        seeds_needed=comparison.seeds_needed,
        items_needed=comparison.items_needed,
        mcnemar_p=comparison.mcnemar_p,
        num_only_transfer_right=comparison.num_only_transfer_right,
        num_only_scratch_right=comparison.num_only_scratch_right,
        compute_ratio=compute_ratio,
        scratch_has_converged=scratch.has_converged,
    )
    verdict.save(ARTIFACTS / "verdict.json")
    write_json(
        ARTIFACTS / "metrics.json",
        {
            "test_accuracy": {"transfer": _short(transfer.test_accuracy), "scratch": _short(scratch.test_accuracy)},
            "transfer_gain_points": _short(verdict.gain_points),
            "verdict": verdict.verdict,
        },
    )
    kept_seed = ModelConfig.load(ARTIFACTS / "model" / "config.json").seed
    kept = predictions[predictions["seed"] == kept_seed]
    kept[["label", "predicted"]].to_csv(ARTIFACTS / "confusion.csv", index=False)
    print(f"{verdict.verdict}: {verdict.claim}")


def _short(interval: Interval) -> dict[str, float]:
    return {name: round(value, 4) for name, value in interval.model_dump().items()}


if __name__ == "__main__":
    run_stage(check_transfer)
