"""check_transfer: the arms' predictions -> verdict.json, metrics.json, confusion.csv, pairs/ (seeds that it adds)

Pairs of seeds are added until the verdict is decided, or until more would tell no more.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from graft.artifacts import (
    ARM_FOLDERS,
    MODEL_FOLDERS,
    ArmName,
    ArmResult,
    Interval,
    ModelConfig,
    Selection,
    hash_inputs,
)  # fmt: skip
from graft.config import Params
from graft.data.manifest import read_manifest
from graft.files import write_json, written_atomically
from graft.training.processes import is_first_process
from graft.transfer.compare import compare, crossed_interval
from graft.transfer.convergence import Convergence
from graft.transfer.decision import Decision, Policy, decide
from graft.transfer.looks import Look, look
from graft.transfer.parts import gains_by_part, harm_in_words
from graft.transfer.predictions import claim_of, converged_claim, paired_correct, parts_of, trials_in_words
from graft.transfer.rejected import RejectedSources
from graft.transfer.verdict import AgainstConverged, ArmScore, PartGain, PartKind, Verdict
from tasks.pairs import FurtherPairs
from tasks.stage import ARTIFACTS, REJECTED_SOURCES, run_stage

ARM_FILES = ("result.json", "curves.csv", "predictions.parquet")
COMPARED = [
    *(f"{folder}/{name}" for folder in ARM_FOLDERS.values() for name in ARM_FILES),
    *(f"{folder}/{name}" for folder in MODEL_FOLDERS.values() for name in ("config.json", "model.safetensors")),
    "converged/result.json", "converged/predictions.parquet", "pairs/curves.csv", "pairs/predictions.parquet",
]  # fmt: skip

Predictions = dict[ArmName, pd.DataFrame]


@dataclass(frozen=True)
class Proof:
    """What the looks ended with."""

    seeds: list[int]
    predictions: Predictions
    """Of all seeds."""
    pairs: tuple[np.ndarray, np.ndarray]
    """What each arm got right, [S, N]."""
    last: Look
    further: FurtherPairs


def check_transfer(params: Params) -> None:
    results = {arm: ArmResult.load_verified(ARTIFACTS, f"{folder}/result.json") for arm, folder in ARM_FOLDERS.items()}
    of_stages = {arm: pd.read_parquet(ARTIFACTS / name / "predictions.parquet") for arm, name in ARM_FOLDERS.items()}
    proof = _proof(params, results, of_stages)
    if is_first_process():
        _save_pairs(proof, params.arms.seeds)
        proof.further.keep_costs()
        verdict = _verdict(params, results, proof, _against_converged(params, of_stages))
        verdict.save(ARTIFACTS / "verdict.json")
        _save_metrics(verdict)
        _save_confusion(verdict, of_stages)
        print(f"{verdict.verdict}: {verdict.claim}")
        if verdict.against_converged is not None:
            print(verdict.against_converged.claim)


def _proof(params: Params, results: dict[ArmName, ArmResult], of_stages: Predictions) -> Proof:
    seeds = list(params.arms.seeds)
    further = FurtherPairs(params, results)
    while True:
        predictions = {arm: _joined(table, further.predictions(arm)) for arm, table in of_stages.items()}
        pairs = paired_correct(predictions["transfer"], predictions["scratch"])
        last = look(
            *pairs,
            num_first=len(params.arms.seeds),
            max_seeds=params.check_transfer.max_seeds,
            margin_points=params.check_transfer.margin_points,
            alpha=params.check_transfer.alpha_per_source,
        )
        if not last.goes_on:
            return Proof(seeds, predictions, pairs, last, further)
        print(
            f"{len(seeds)} pairs of seeds: {last.comparison.gain_points.in_points}; not decided, one pair more",
            flush=True,
        )
        seeds.append(max(seeds) + 1)
        further.train(seeds[-1])


def _joined(of_stage: pd.DataFrame, further: pd.DataFrame | None) -> pd.DataFrame:
    return of_stage if further is None else pd.concat([of_stage, further], ignore_index=True)


def _against_converged(params: Params, of_stages: Predictions) -> AgainstConverged | None:
    """The seeds of the stages against the same number of the longer trainings."""
    convergence = Convergence.load_verified(ARTIFACTS, "converged/result.json")
    if len(convergence.budgets) == 1:
        return None
    longer = pd.read_parquet(ARTIFACTS / "converged" / "predictions.parquet")
    alpha, margin_points = params.check_transfer.alpha, params.check_transfer.margin_points
    pair = paired_correct(of_stages["transfer"], longer)
    comparison = compare(*pair, margin_points=margin_points, alpha=alpha)
    accuracy = crossed_interval(pair[1], alpha=alpha).within(0, 1)
    return AgainstConverged(
        budget_ratio=convergence.chosen_ratio,
        has_converged=convergence.is_flat,
        convergence=convergence.in_words,
        num_seeds=len(pair[0]),
        scratch_accuracy=accuracy,
        gain_points=comparison.gain_points,
        verdict=comparison.verdict,
        claim=converged_claim(comparison, convergence, accuracy),
    )


def _verdict(
    params: Params, results: dict[ArmName, ArmResult], proof: Proof, against_converged: AgainstConverged | None
) -> Verdict:
    transfer, scratch, last = results["transfer"], results["scratch"], proof.last
    alpha = params.check_transfer.alpha_per_source
    compute_ratio = scratch.training_tflops_per_seed / transfer.training_tflops_per_seed
    scores: dict[ArmName, ArmScore] = {
        arm: ArmScore(
            accuracy=crossed_interval(correct_SN, alpha=last.level).within(0, 1),
            accuracy_per_seed=correct_SN.mean(axis=1).tolist(),
            num_trials=results[arm].num_trials,
            findings=proof.further.findings(arm),
        )
        for arm, correct_SN in zip(results, proof.pairs, strict=True)
    }
    decision = _decision(params, last, scores["scratch"].accuracy, scratch)
    parts = _parts(params, proof)
    return Verdict(
        inputs=hash_inputs(ARTIFACTS, *COMPARED),
        claim=claim_of(
            last.comparison,
            alpha=alpha,
            source=transfer.source,
            compute_ratio=compute_ratio,
            convergence=scratch.convergence,
            remarks=[harm_in_words(parts), trials_in_words(transfer.num_trials, scratch.num_trials)],
        ),
        ships=decision.ships,
        decision=decision.why,
        tries_next=decision.tries_next,
        alpha=alpha,
        level=last.level,
        margin_points=params.check_transfer.margin_points,
        seeds=proof.seeds,
        max_seeds=params.check_transfer.max_seeds,
        num_test=transfer.num_test,
        scores=scores,
        parts=parts,
        **vars(last.comparison),
        compute_ratio=compute_ratio,
        scratch_has_converged=scratch.has_converged,
        against_converged=against_converged,
    )


def _decision(params: Params, last: Look, scratch_accuracy: Interval, scratch: ArmResult) -> Decision:
    check = params.check_transfer
    selection = Selection.load_verified(ARTIFACTS, "selection.json")
    rejected = RejectedSources.load(REJECTED_SOURCES).on(selection.inputs["manifest.parquet"])
    policy = Policy(
        on_negative=check.on_negative,
        on_inconclusive=check.on_inconclusive,
        scratch_bar=scratch.majority_accuracy if check.scratch_bar is None else check.scratch_bar,
        may_try_next=len(selection.ranking) > 1 and len(rejected) + 1 < check.max_sources,
    )
    return decide(last.comparison.verdict, scratch_accuracy, policy)


def _parts(params: Params, proof: Proof) -> dict[PartKind, list[PartGain]]:
    manifest = read_manifest(ARTIFACTS / "manifest.parquet", columns=["sample_id", "domain", "group"])
    margin_points = params.check_transfer.margin_points
    return {
        kind: gains_by_part(*proof.pairs, parts_N, margin_points=margin_points, alpha=proof.last.level)
        for kind, parts_N in parts_of(proof.predictions["transfer"], manifest).items()
    }


def _save_pairs(proof: Proof, of_stages: list[int]) -> None:
    """Of the seeds that the stages did not train; tables without rows where there are none."""
    folder = ARTIFACTS / "pairs"
    added = [table[~table["seed"].isin(of_stages)].assign(arm=arm) for arm, table in proof.predictions.items()]
    with written_atomically(folder / "predictions.parquet") as temporary:
        pd.concat(added, ignore_index=True).to_parquet(temporary, index=False)
    known = {arm: pd.read_csv(ARTIFACTS / folder_of / "curves.csv") for arm, folder_of in ARM_FOLDERS.items()}
    curves = pd.concat([_joined(table, proof.further.curves(arm)) for arm, table in known.items()])
    curves[~curves["seed"].isin(of_stages)].to_csv(folder / "curves.csv", index=False)


def _save_confusion(verdict: Verdict, of_stages: Predictions) -> None:
    """Of the model that ships, or of the transfer arm's that was refused."""
    seed = ModelConfig.load(ARTIFACTS / MODEL_FOLDERS[verdict.shown_arm] / "config.json").seed
    predictions = of_stages[verdict.shown_arm]
    kept = predictions[predictions["seed"] == seed]
    kept[["label", "predicted"]].to_csv(ARTIFACTS / "confusion.csv", index=False)


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
