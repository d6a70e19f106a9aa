"""The proof: both arms compared over seeds and test items, and the verdict on it."""

import logging

import numpy as np
import pandas as pd

from graft.core.arms import ARMS, ArmName
from graft.core.artifacts import (
    CONFUSION,
    LONGER_PREDICTIONS,
    METRICS,
    PAIR_CURVES,
    PAIR_PREDICTIONS,
    Interval,
)  # fmt: skip
from graft.core.config import CheckTransferParams
from graft.core.files import write_json
from graft.core.table_files import read_csv, read_parquet, write_csv, write_parquet
from graft.data.manifest import class_names
from graft.experiment.evidence import Evidence, Predictions, gather_evidence, joined
from graft.experiment.result import ArmResult
from graft.experiment.verdict_ledger import SplitUse, keep_in_ledger, num_rejected, use_of_test_split
from graft.project import Project
from graft.selection.result import Selection
from graft.statistics.intervals import share_interval
from graft.training.processes import is_first_process
from graft.transfer.claims import claim_of, longer_claim, trials_in_words
from graft.transfer.collapse import collapse_in_words, collapsed_seeds, unseen_collapse_in_words
from graft.transfer.compare import compare, crossed_interval
from graft.transfer.decision import Decision, Policy, decide
from graft.transfer.interim_analyses import InterimAnalysis
from graft.transfer.longer_training import LongerTraining
from graft.transfer.parts import gains_by_part, harm_in_words
from graft.transfer.predictions import paired_correct, parts_of
from graft.transfer.verdict import AgainstLonger, ArmScore, PartGain, PartKind, Verdict, WeakestClass
from graft.transfer.weakest import weakest_class

logger = logging.getLogger(__name__)

COMPARED = [
    name
    for files in ARMS.values()
    for name in (files.result, files.curves, files.predictions, files.config, files.weights)
] + [LongerTraining.NAME, LONGER_PREDICTIONS, PAIR_CURVES, PAIR_PREDICTIONS]


def prove_transfer(project: Project) -> None:
    """Compares the arms, adds pairs of seeds until the verdict is decided, and writes the verdict and its evidence.

    The verdict is also added to test_uses.json, which is not an output of DVC: it contains a date, and grows from run
    to run.

    Raises:
        LedgerError: see `graft.experiment.verdict_ledger`.
        UnpairedRunsError: the arms were trained with other seeds or tested on other items.
    """
    results = {arm: project.load(ArmResult, files.folder) for arm, files in ARMS.items()}
    of_stages = {arm: read_parquet(project.path(files.predictions)) for arm, files in ARMS.items()}
    use = use_of_test_split(project, of_stages)
    evidence = gather_evidence(project, results, of_stages, use.alpha)
    if is_first_process():
        _save_pairs(project, evidence)
        evidence.further.keep_costs()
        verdict = _verdict(project, results, evidence, use, _against_longer(project, of_stages, evidence.units_N))
        keep_in_ledger(project, use, verdict, results["transfer"].source)
        project.save(verdict)
        _save_metrics(project, verdict, results)
        _save_confusion(project, verdict, of_stages)
        logger.info(f"{verdict.verdict}: {verdict.claim}\n{verdict.weakest_in_words}")
        if verdict.against_longer is not None:
            logger.info(verdict.against_longer.claim)


def _against_longer(project: Project, of_stages: Predictions, units_N: np.ndarray) -> AgainstLonger | None:
    """Comparison of the transfer arm's seeds with the same number of longer trainings of the baseline."""
    convergence = project.load(LongerTraining)
    if len(convergence.budgets) == 1:
        return None
    longer = read_parquet(project.path(LONGER_PREDICTIONS))
    check = project.params.check_transfer
    pair = paired_correct(of_stages["transfer"], longer)
    comparison = compare(*pair, groups_N=units_N, margin_points=check.margin_points, alpha=check.alpha)
    accuracy = crossed_interval(pair[1], alpha=check.alpha, groups_N=units_N)
    return AgainstLonger(
        budget_ratio=convergence.chosen_ratio,
        has_converged=convergence.is_flat,
        convergence=convergence.in_words,
        num_seeds=len(pair[0]),
        baseline_accuracy=accuracy,
        gain_points=comparison.gain_points,
        verdict=comparison.verdict,
        claim=longer_claim(comparison, convergence, accuracy),
    )


def _verdict(
    project: Project,
    results: dict[ArmName, ArmResult],
    evidence: Evidence,
    use: SplitUse,
    against_longer: AgainstLonger | None,
) -> Verdict:
    check = project.params.check_transfer
    transfer, baseline, last = results["transfer"], results["baseline"], evidence.last
    compute_ratio = baseline.training_tflops_per_seed / transfer.training_tflops_per_seed
    scores = {arm: _score(arm, results[arm], evidence, pair) for arm, pair in zip(results, evidence.pairs, strict=True)}
    decision = _decision(project, last, scores["baseline"].accuracy, baseline)
    names = parts_of(evidence.predictions["transfer"], evidence.manifest)
    parts = _parts(check, evidence, names)
    return Verdict(
        inputs=project.hashes(*COMPARED),
        claim=claim_of(
            last.comparison,
            alpha=use.alpha,
            source=transfer.source,
            compute_ratio=compute_ratio,
            convergence=baseline.convergence,
            remarks=[
                harm_in_words(parts),
                *(
                    collapse_in_words(arm, evidence.seeds, score.accuracy_per_seed, score.collapsed_seeds)
                    for arm, score in scores.items()
                ),
                _unseen_collapse(last, scores["baseline"], baseline.majority_accuracy),
                trials_in_words(transfer.num_trials, baseline.num_trials),
            ],
        ),
        exported_arm=decision.exported_arm,
        decision=decision.reason,
        tries_next=decision.tries_next,
        alpha=use.alpha,
        level=last.level,
        num_test_uses=use.number,
        alpha_is_shared=use.alpha_is_shared,
        alpha_of_all_uses=use.alpha_of_all,
        test_split_choices=use.choices,
        margin_points=check.margin_points,
        seeds=evidence.seeds,
        max_seeds=check.max_seeds,
        num_test=transfer.num_test,
        scores=scores,
        parts=parts,
        weakest_class=_weakest(
            evidence, "baseline" if decision.exported_arm == "baseline" else "transfer", names["class"]
        ),
        **vars(last.comparison),
        compute_ratio=compute_ratio,
        baseline_has_converged=baseline.has_converged,
        against_longer=against_longer,
    )


def _unseen_collapse(last: InterimAnalysis, baseline: ArmScore, guessing: float) -> str:
    """A remark on unobserved collapses, which belongs to every negative verdict without a collapse; otherwise empty."""
    if last.comparison.verdict != "negative" or baseline.collapsed_seeds:
        return ""
    return unseen_collapse_in_words(last.comparison.gain_points.high, baseline.accuracy_per_seed, guessing)


def _score(arm: ArmName, result: ArmResult, evidence: Evidence, correct_SN: np.ndarray) -> ArmScore:
    accuracy_S, level = correct_SN.mean(axis=1).tolist(), evidence.last.level
    shipped = evidence.shipped[arm]
    return ArmScore(
        accuracy=crossed_interval(correct_SN, alpha=level, groups_N=evidence.units_N),
        accuracy_per_seed=accuracy_S,
        shipped_seed=shipped,
        shipped_accuracy=share_interval(
            correct_SN[evidence.seeds.index(shipped)], evidence.units_N, confidence=1 - level
        ),
        collapsed_seeds=collapsed_seeds(evidence.seeds, accuracy_S, result.majority_accuracy),
        num_trials=result.num_trials,
        findings=evidence.further.findings(arm),
    )


def _decision(project: Project, last: InterimAnalysis, baseline_accuracy: Interval, baseline: ArmResult) -> Decision:
    check = project.params.check_transfer
    policy = Policy(
        on_negative=check.on_negative,
        on_inconclusive=check.on_inconclusive,
        baseline_bar=baseline.majority_accuracy if check.baseline_bar is None else check.baseline_bar,
        may_try_next=len(project.load(Selection).ranking) > 1 and num_rejected(project) + 1 < check.max_sources,
    )
    return decide(last.comparison.verdict, baseline_accuracy, policy)


def _parts(
    check: CheckTransferParams, evidence: Evidence, names: dict[PartKind, np.ndarray]
) -> dict[PartKind, list[PartGain]]:
    """
    Args:
        names: class, domain and group of each test item.
    """
    return gains_by_part(
        *evidence.pairs, names, groups_N=evidence.units_N, margin_points=check.margin_points, alpha=evidence.last.level
    )


def _weakest(evidence: Evidence, arm: ArmName, labels_N: np.ndarray) -> WeakestClass:
    """The weakest class of the model that the arm would export."""
    correct_SN = evidence.pairs[list(evidence.predictions).index(arm)]
    return weakest_class(
        correct_SN[evidence.seeds.index(evidence.shipped[arm])],
        labels_N,
        class_names(evidence.manifest),
        groups_N=evidence.units_N,
        alpha=evidence.last.level,
    )


def _save_pairs(project: Project, evidence: Evidence) -> None:
    """Writes predictions and curves of the seeds added to those of the stages; empty tables if there are none."""
    of_stages = project.params.arms.seeds
    added = [table[~table["seed"].isin(of_stages)].assign(arm=arm) for arm, table in evidence.predictions.items()]
    write_parquet(project.path(PAIR_PREDICTIONS), pd.concat(added, ignore_index=True))
    known = {arm: read_csv(project.path(files.curves)) for arm, files in ARMS.items()}
    curves = pd.concat([joined(table, evidence.further.curves(arm)) for arm, table in known.items()])
    write_csv(project.path(PAIR_CURVES), curves[~curves["seed"].isin(of_stages)])


def _save_confusion(project: Project, verdict: Verdict, of_stages: Predictions) -> None:
    """Writes labels and predictions of the exported model, or of the transfer arm's rejected one."""
    predictions = of_stages[verdict.shown_arm]
    kept = predictions[predictions["seed"] == verdict.scores[verdict.shown_arm].shipped_seed]
    write_csv(project.path(CONFUSION), kept[["label", "predicted"]])


def _save_metrics(project: Project, verdict: Verdict, results: dict[ArmName, ArmResult]) -> None:
    """Writes the metrics; DVC sorts them by name, so that the values for comparing variants come first."""
    validation = {arm: float(np.mean(result.validation_accuracy_per_seed)) for arm, result in results.items()}
    gain_points = 100 * (validation["transfer"] - validation["baseline"])
    write_json(
        project.path(METRICS),
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
