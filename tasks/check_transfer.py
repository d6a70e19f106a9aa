"""check_transfer: both arms' predictions -> verdict.json, metrics.json, confusion.csv, pairs/ (seeds that it adds)

Pairs of seeds are added until the verdict is decided, or until more would tell no more.
"""

import numpy as np
import pandas as pd

from graft.artifacts import ArmName, ArmResult, Interval, ModelConfig, hash_inputs
from graft.config import Params
from graft.files import write_json, written_atomically
from graft.training.processes import is_first_process
from graft.transfer.compare import crossed_interval
from graft.transfer.looks import Look, look
from graft.transfer.parts import gains_by_part, harm_in_words
from graft.transfer.predictions import claim_of, labels_N, paired_correct
from graft.transfer.verdict import ArmScore, PartGain, Verdict, VerdictWord
from tasks.pairs import FurtherPairs
from tasks.stage import ARTIFACTS, run_stage
from tasks.train_arm import FOLDERS

ARM_FILES = ("result.json", "curves.csv", "predictions.parquet")
COMPARED = [
    *(f"{folder}/{name}" for folder in FOLDERS.values() for name in ARM_FILES),
    "pairs/curves.csv", "pairs/predictions.parquet", "model/config.json", "model/model.safetensors",
]  # fmt: skip


def check_transfer(params: Params) -> None:
    results = {arm: ArmResult.load_verified(ARTIFACTS, f"{folder}/result.json") for arm, folder in FOLDERS.items()}
    of_stages = {arm: pd.read_parquet(ARTIFACTS / folder / "predictions.parquet") for arm, folder in FOLDERS.items()}
    seeds = list(params.arms.seeds)
    further = FurtherPairs(params, results)
    while True:
        predictions = {arm: _joined(table, further.predictions(arm)) for arm, table in of_stages.items()}
        pairs = paired_correct(predictions["transfer"], predictions["scratch"])
        last = _look(pairs, params)
        if not last.goes_on:
            break
        print(
            f"{len(seeds)} pairs of seeds: {last.comparison.gain_points.in_points}; not decided, one pair more",
            flush=True,
        )
        seeds.append(max(seeds) + 1)
        further.train(seeds[-1])

    if is_first_process():
        _save_pairs(further, predictions, params.arms.seeds)
        by_class = gains_by_part(
            *pairs, labels_N(predictions["transfer"]),
            margin_points=params.check_transfer.margin_points, alpha=last.level,
        )  # fmt: skip
        verdict = _verdict(params, results, last, pairs, seeds, further, by_class)
        verdict.save(ARTIFACTS / "verdict.json")
        _save_metrics(verdict)
        kept_seed = ModelConfig.load(ARTIFACTS / "model" / "config.json").seed
        kept = of_stages["transfer"][of_stages["transfer"]["seed"] == kept_seed]
        kept[["label", "predicted"]].to_csv(ARTIFACTS / "confusion.csv", index=False)
        print(f"{verdict.verdict}: {verdict.claim}")


def _look(pairs: tuple[np.ndarray, np.ndarray], params: Params) -> Look:
    return look(
        *pairs,
        num_first=len(params.arms.seeds),
        max_seeds=params.check_transfer.max_seeds,
        margin_points=params.check_transfer.margin_points,
        alpha=params.check_transfer.alpha,
    )


def _joined(of_stage: pd.DataFrame, further: pd.DataFrame | None) -> pd.DataFrame:
    return of_stage if further is None else pd.concat([of_stage, further], ignore_index=True)


def _save_pairs(further: FurtherPairs, predictions: dict[ArmName, pd.DataFrame], of_stages: list[int]) -> None:
    """Of the seeds that the stages did not train; tables without rows where there are none."""
    folder = ARTIFACTS / "pairs"
    added = [table[~table["seed"].isin(of_stages)].assign(arm=arm) for arm, table in predictions.items()]
    with written_atomically(folder / "predictions.parquet") as temporary:
        pd.concat(added, ignore_index=True).to_parquet(temporary, index=False)
    known = {arm: pd.read_csv(ARTIFACTS / folder_of / "curves.csv") for arm, folder_of in FOLDERS.items()}
    curves = pd.concat([_joined(table, further.curves(arm)) for arm, table in known.items()])
    curves[~curves["seed"].isin(of_stages)].to_csv(folder / "curves.csv", index=False)


def _verdict(
    params: Params,
    results: dict[ArmName, ArmResult],
    last: Look,
    pairs: tuple[np.ndarray, np.ndarray],
    seeds: list[int],
    further: FurtherPairs,
    by_class: list[PartGain],
) -> Verdict:
    transfer, scratch, alpha = results["transfer"], results["scratch"], params.check_transfer.alpha
    compute_ratio = scratch.training_tflops_per_seed / transfer.training_tflops_per_seed
    scores: dict[ArmName, ArmScore] = {
        arm: ArmScore(
            accuracy=crossed_interval(correct_SN, alpha=last.level),
            accuracy_per_seed=correct_SN.mean(axis=1).tolist(),
            findings=further.findings(arm),
        )
        for arm, correct_SN in zip(FOLDERS, pairs, strict=True)
    }
    return Verdict(
        inputs=hash_inputs(ARTIFACTS, *COMPARED),
        is_rejected=_is_rejected(last.comparison.verdict, params),
        claim=claim_of(
            last.comparison,
            alpha=alpha,
            source=transfer.source,
            compute_ratio=compute_ratio,
            convergence=scratch.convergence,
            harm=harm_in_words(by_class),
        ),
        alpha=alpha,
        level=last.level,
        margin_points=params.check_transfer.margin_points,
        seeds=seeds,
        max_seeds=params.check_transfer.max_seeds,
        num_test=transfer.num_test,
        scores=scores,
        by_class=by_class,
        **vars(last.comparison),
        compute_ratio=compute_ratio,
        scratch_has_converged=scratch.has_converged,
    )


def _is_rejected(verdict: VerdictWord, params: Params) -> bool:
    return verdict == "negative" or (verdict == "inconclusive" and params.check_transfer.on_inconclusive == "reject")


def _save_metrics(verdict: Verdict) -> None:
    write_json(
        ARTIFACTS / "metrics.json",
        {
            "test_accuracy": {arm: _short(score.accuracy) for arm, score in verdict.scores.items()},
            "transfer_gain_points": _short(verdict.gain_points),
            "verdict": verdict.verdict,
        },
    )


def _short(interval: Interval) -> dict[str, float]:
    return {name: round(value, 4) for name, value in interval.model_dump().items()}


if __name__ == "__main__":
    run_stage(check_transfer)
