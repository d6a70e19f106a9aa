"""check_transfer: the arms' predictions -> verdict.json, metrics.json, confusion.csv, pairs/ (seeds that it adds)

The verdict is also added to test_uses.json, which is no output: a date stands in it, and it grows from run to run.
Pairs of seeds are added until the verdict is decided, or until more would tell no more.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from graft.core.artifacts import (
    ARM_FOLDERS,
    MODEL_FOLDERS,
    ArmName,
    ArmResult,
    Interval,
    ModelConfig,
    Selection,
    hash_inputs,
)  # fmt: skip
from graft.core.config import Params
from graft.core.files import write_json
from graft.core.table_files import read_csv, read_parquet, write_csv, write_parquet
from graft.data.manifest import class_names, read_manifest
from graft.statistics.intervals import share_interval
from graft.training.processes import is_first_process
from graft.transfer.claims import claim_of, converged_claim, trials_in_words
from graft.transfer.collapse import collapse_in_words, collapsed_seeds, unseen_collapse_in_words
from graft.transfer.compare import compare, crossed_interval
from graft.transfer.convergence import Convergence
from graft.transfer.decision import Decision, Policy, decide
from graft.transfer.interim_analyses import InterimAnalysis, interim_analysis, num_first_pairs
from graft.transfer.parts import gains_by_part, harm_in_words
from graft.transfer.predictions import guessing_of, paired_correct, parts_of, units_of
from graft.transfer.rejected import RejectedSources
from graft.transfer.verdict import AgainstConverged, ArmScore, PartGain, PartKind, Verdict, WeakestClass
from graft.transfer.weakest import weakest_class
from tasks.ledger import SplitUse, keep_in_ledger, use_of_test_split
from tasks.pairs import FurtherPairs
from tasks.stage import ARTIFACTS, REJECTED_SOURCES, run_stage

ARM_FILES = ("result.json", "curves.csv", "predictions.parquet")
COMPARED = [
    *(f"{folder}/{name}" for folder in ARM_FOLDERS.values() for name in ARM_FILES),
    *(f"{folder}/{name}" for folder in MODEL_FOLDERS.values() for name in ("config.json", "model.safetensors")),
    "converged/result.json", "converged/predictions.parquet", "pairs/curves.csv", "pairs/predictions.parquet",
]  # fmt: skip

Predictions = dict[ArmName, pd.DataFrame]


OF_MANIFEST = ["sample_id", "path", "label", "group", "domain", "duplicate_of", "split", "status"]


@dataclass(frozen=True)
class Proof:
    """The last interim analysis, and what it was made on."""

    seeds: list[int]
    predictions: Predictions
    """Of all seeds."""
    pairs: tuple[np.ndarray, np.ndarray]
    """What each arm got right, [S, N]."""
    manifest: pd.DataFrame
    """As far as a verdict hangs on it."""
    units_N: np.ndarray
    """The independent unit of each test item."""
    shipped: dict[ArmName, int]
    """Seed of the model that each arm would ship."""
    last: InterimAnalysis
    further: FurtherPairs


def check_transfer(params: Params) -> None:
    results = {arm: ArmResult.load_verified(ARTIFACTS, f"{folder}/result.json") for arm, folder in ARM_FOLDERS.items()}
    of_stages = {arm: read_parquet(ARTIFACTS / name / "predictions.parquet") for arm, name in ARM_FOLDERS.items()}
    use = use_of_test_split(params, of_stages)
    proof = _proof(params, results, of_stages, use.alpha)
    if is_first_process():
        _save_pairs(proof, params.arms.seeds)
        proof.further.keep_costs()
        verdict = _verdict(params, results, proof, use, _against_converged(params, of_stages, proof.units_N))
        keep_in_ledger(use, verdict, results["transfer"].source)
        verdict.save(ARTIFACTS / "verdict.json")
        _save_metrics(verdict, results)
        _save_confusion(verdict, of_stages)
        print(f"{verdict.verdict}: {verdict.claim}\n{verdict.weakest_in_words}")
        if verdict.against_converged is not None:
            print(verdict.against_converged.claim)


def _proof(params: Params, results: dict[ArmName, ArmResult], of_stages: Predictions, alpha: float) -> Proof:
    seeds = sorted(params.arms.seeds)  # the order of the rows
    further = FurtherPairs(params, results)
    manifest = read_manifest(ARTIFACTS / "manifest.parquet", columns=OF_MANIFEST)
    units_N, guessing_N = units_of(of_stages["transfer"], manifest), guessing_of(of_stages["transfer"], manifest)
    shipped = {arm: ModelConfig.load(ARTIFACTS / name / "config.json").seed for arm, name in MODEL_FOLDERS.items()}
    num_first = num_first_pairs(len(seeds), params.check_transfer.max_seeds)
    while len(seeds) < num_first:
        _add_pair(seeds, further)
    while True:
        predictions = {arm: _joined(table, further.predictions(arm)) for arm, table in of_stages.items()}
        pairs = paired_correct(predictions["transfer"], predictions["scratch"])
        last = interim_analysis(
            *pairs,
            num_first=num_first,
            max_seeds=params.check_transfer.max_seeds,
            margin_points=params.check_transfer.margin_points,
            alpha=alpha,
            groups_N=units_N,
            shipped=(seeds.index(shipped["transfer"]), seeds.index(shipped["scratch"])),
            guessing_N=guessing_N,
        )
        if not last.goes_on:
            return Proof(seeds, predictions, pairs, manifest, units_N, shipped, last, further)
        print(
            f"{len(seeds)} pairs of seeds: {last.comparison.gain_points.in_points}; not decided, one pair more",
            flush=True,
        )
        _add_pair(seeds, further)


def _add_pair(seeds: list[int], further: FurtherPairs) -> None:
    seeds.append(max(seeds) + 1)
    further.train(seeds[-1])


def _joined(of_stage: pd.DataFrame, further: pd.DataFrame | None) -> pd.DataFrame:
    return of_stage if further is None else pd.concat([of_stage, further], ignore_index=True)


def _against_converged(params: Params, of_stages: Predictions, units_N: np.ndarray) -> AgainstConverged | None:
    """The seeds of the stages against the same number of the longer trainings."""
    convergence = Convergence.load_verified(ARTIFACTS, "converged/result.json")
    if len(convergence.budgets) == 1:
        return None
    longer = read_parquet(ARTIFACTS / "converged" / "predictions.parquet")
    alpha, margin_points = params.check_transfer.alpha, params.check_transfer.margin_points
    pair = paired_correct(of_stages["transfer"], longer)
    comparison = compare(*pair, groups_N=units_N, margin_points=margin_points, alpha=alpha)
    accuracy = crossed_interval(pair[1], alpha=alpha, groups_N=units_N)
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
    params: Params,
    results: dict[ArmName, ArmResult],
    proof: Proof,
    use: SplitUse,
    against_converged: AgainstConverged | None,
) -> Verdict:
    transfer, scratch, last = results["transfer"], results["scratch"], proof.last
    compute_ratio = scratch.training_tflops_per_seed / transfer.training_tflops_per_seed
    scores = {arm: _score(arm, results[arm], proof, pair) for arm, pair in zip(results, proof.pairs, strict=True)}
    decision = _decision(params, last, scores["scratch"].accuracy, scratch)
    names = parts_of(proof.predictions["transfer"], proof.manifest)
    parts = _parts(params, proof, names)
    return Verdict(
        inputs=hash_inputs(ARTIFACTS, *COMPARED),
        claim=claim_of(
            last.comparison,
            alpha=use.alpha,
            source=transfer.source,
            compute_ratio=compute_ratio,
            convergence=scratch.convergence,
            remarks=[
                harm_in_words(parts),
                *(
                    collapse_in_words(arm, proof.seeds, score.accuracy_per_seed, score.collapsed_seeds)
                    for arm, score in scores.items()
                ),
                _unseen_collapse(last, scores["scratch"], scratch.majority_accuracy),
                trials_in_words(transfer.num_trials, scratch.num_trials),
            ],
        ),
        ships=decision.ships,
        decision=decision.why,
        tries_next=decision.tries_next,
        alpha=use.alpha,
        level=last.level,
        num_test_uses=use.number,
        alpha_is_shared=use.alpha_is_shared,
        alpha_of_all_uses=use.alpha_of_all,
        test_split_choices=use.choices,
        margin_points=params.check_transfer.margin_points,
        seeds=proof.seeds,
        max_seeds=params.check_transfer.max_seeds,
        num_test=transfer.num_test,
        scores=scores,
        parts=parts,
        weakest_class=_weakest(proof, "scratch" if decision.ships == "scratch" else "transfer", names["class"]),
        **vars(last.comparison),
        compute_ratio=compute_ratio,
        scratch_has_converged=scratch.has_converged,
        against_converged=against_converged,
    )


def _unseen_collapse(last: InterimAnalysis, scratch: ArmScore, guessing: float) -> str:
    """What a loss must not be read without."""
    if last.comparison.verdict != "negative" or scratch.collapsed_seeds:
        return ""
    return unseen_collapse_in_words(last.comparison.gain_points.high, scratch.accuracy_per_seed, guessing)


def _score(arm: ArmName, result: ArmResult, proof: Proof, correct_SN: np.ndarray) -> ArmScore:
    accuracy_S, level = correct_SN.mean(axis=1).tolist(), proof.last.level
    shipped = proof.shipped[arm]
    return ArmScore(
        accuracy=crossed_interval(correct_SN, alpha=level, groups_N=proof.units_N),
        accuracy_per_seed=accuracy_S,
        shipped_seed=shipped,
        shipped_accuracy=share_interval(correct_SN[proof.seeds.index(shipped)], proof.units_N, confidence=1 - level),
        collapsed_seeds=collapsed_seeds(proof.seeds, accuracy_S, result.majority_accuracy),
        num_trials=result.num_trials,
        findings=proof.further.findings(arm),
    )


def _decision(params: Params, last: InterimAnalysis, scratch_accuracy: Interval, scratch: ArmResult) -> Decision:
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


def _parts(params: Params, proof: Proof, names: dict[PartKind, np.ndarray]) -> dict[PartKind, list[PartGain]]:
    """
    Args:
        names: of the class, domain and group of each test item.
    """
    margin_points = params.check_transfer.margin_points
    return gains_by_part(
        *proof.pairs, names, groups_N=proof.units_N, margin_points=margin_points, alpha=proof.last.level
    )


def _weakest(proof: Proof, arm: ArmName, labels_N: np.ndarray) -> WeakestClass:
    """The weakest class of the model that the arm would ship."""
    correct_SN = proof.pairs[list(proof.predictions).index(arm)]
    return weakest_class(
        correct_SN[proof.seeds.index(proof.shipped[arm])],
        labels_N,
        class_names(proof.manifest),
        groups_N=proof.units_N,
        alpha=proof.last.level,
    )


def _save_pairs(proof: Proof, of_stages: list[int]) -> None:
    """Of the seeds that the stages did not train; tables without rows where there are none."""
    folder = ARTIFACTS / "pairs"
    added = [table[~table["seed"].isin(of_stages)].assign(arm=arm) for arm, table in proof.predictions.items()]
    write_parquet(folder / "predictions.parquet", pd.concat(added, ignore_index=True))
    known = {arm: read_csv(ARTIFACTS / folder_of / "curves.csv") for arm, folder_of in ARM_FOLDERS.items()}
    curves = pd.concat([_joined(table, proof.further.curves(arm)) for arm, table in known.items()])
    write_csv(folder / "curves.csv", curves[~curves["seed"].isin(of_stages)])


def _save_confusion(verdict: Verdict, of_stages: Predictions) -> None:
    """Of the model that ships, or of the transfer arm's that was refused."""
    predictions = of_stages[verdict.shown_arm]
    kept = predictions[predictions["seed"] == verdict.scores[verdict.shown_arm].shipped_seed]
    write_csv(ARTIFACTS / "confusion.csv", kept[["label", "predicted"]])


def _save_metrics(verdict: Verdict, results: dict[ArmName, ArmResult]) -> None:
    """DVC shows them in the order of their names: what variants are to be compared by comes first."""
    validation = {arm: float(np.mean(result.validation_accuracy_per_seed)) for arm, result in results.items()}
    gain_points = 100 * (validation["transfer"] - validation["scratch"])
    write_json(
        ARTIFACTS / "metrics.json",
        {
            "choose_by": {
                "validation_accuracy": {arm: round(accuracy, 4) for arm, accuracy in validation.items()},
                "validation_gain_points": round(gain_points, 4),
            },
            "test_accuracy": {arm: _short(score.accuracy) for arm, score in verdict.scores.items()},
            "transfer_gain_points": _short(verdict.gain_points),
            "verdict": verdict.verdict,
            "weakest_class": {
                "name": verdict.weakest_class.name,
                "recall": _short(verdict.weakest_class.recall),
                "num_items": verdict.weakest_class.num_items,
            },
        },
    )


def _short(interval: Interval) -> dict[str, float]:
    return {name: round(value, 4) for name, value in interval.model_dump().items()}


if __name__ == "__main__":
    run_stage(check_transfer)
