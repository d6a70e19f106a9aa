"""The ledger of check_transfer: numbers the verdicts on a test split, and records them."""

import logging
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor, log10

import pandas as pd
from filelock import FileLock, Timeout

from graft.core.arms import ArmName
from graft.core.artifacts import MANIFEST, WRITTEN_BY_RUNS
from graft.core.config import CheckTransferParams
from graft.core.errors import LedgerError
from graft.core.paths import ledger_lock
from graft.project import Project
from graft.selection.result import Selection
from graft.transfer.decision import alpha_per_source, choices_by_test_split
from graft.transfer.ledger import Ledger, LedgerEntry, sha256_of, sha256_of_items, share_of_alpha
from graft.transfer.rejected import RejectedSources
from graft.transfer.verdict import Verdict

logger = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 60
NUM_DIGITS = 3
"""Significant digits of alpha; the rest is cut off, so that the displayed value is the one tested with."""


@dataclass(frozen=True)
class SplitUse:
    """The use of a test split for one verdict."""

    test_split: str
    compared: str
    params: str
    """Hashes, as the two fields above: see `graft.transfer.ledger.LedgerEntry`."""
    number: int
    """Number of the verdict on this test split, from 1; repeating a verdict keeps its number."""
    alpha: float
    """Level of this verdict."""
    alpha_is_shared: bool
    alpha_of_all: float
    """Sum of alpha over all verdicts: see `graft.transfer.verdict.Verdict.alpha_of_all_uses`."""
    choices: list[str]
    """Choices that depend on the test split: see `graft.transfer.verdict.Verdict.test_split_choices`."""


def use_of_test_split(project: Project, of_stages: dict[ArmName, pd.DataFrame]) -> SplitUse:
    """Number and alpha of the use of the test split by these predictions; nothing is compared yet.

    Args:
        of_stages: predictions of each arm: seed, sample_id, predicted and more.
    Raises:
        ContentChangedError: the contents of test_uses.json are not a ledger.
        LedgerError: test_uses.json cannot be written, and alpha is shared among its entries.
    """
    params = project.params
    check = params.check_transfer
    is_shared = check.alpha_over == "test_split"
    if is_shared:
        _write(project, None)
    test_split = sha256_of_items(of_stages["transfer"]["sample_id"])
    compared = sha256_of([{arm: _predicted(table) for arm, table in of_stages.items()}, _rule(check)])
    sha256_of_params = sha256_of(project.resolved_params.model_dump(mode="json", by_alias=True))
    earlier = project.kept(Ledger).before(test_split, compared)
    number = len(earlier) + 1
    alpha = _alpha_per_source(check)
    if is_shared:
        alpha = _cut(alpha * share_of_alpha(number))
    return SplitUse(
        test_split=test_split,
        compared=compared,
        params=sha256_of_params,
        number=number,
        alpha=alpha,
        alpha_is_shared=is_shared,
        alpha_of_all=min(1.0, alpha + sum(entry.alpha for entry in earlier)),
        choices=choices_by_test_split(
            may_add_seeds=check.max_seeds > len(params.arms.seeds),
            on_negative=check.on_negative,
            num_rejected=num_rejected(project),
            num_earlier=len(earlier),
            num_other_params=sum(entry.params != sha256_of_params for entry in earlier),
        ),
    )


def keep_in_ledger(project: Project, use: SplitUse, verdict: Verdict, source: str) -> None:
    """Adds the verdict to test_uses.json, if it is not there.

    Raises:
        LedgerError: test_uses.json cannot be written, and alpha is shared among its entries; if alpha is not shared,
            a message goes to stderr instead.
    """
    commit, has_changes = _commit(project)
    entry = LedgerEntry(
        test_split=use.test_split,
        compared=use.compared,
        params=use.params,
        date=datetime.now(UTC).date().isoformat(),
        commit=commit,
        has_uncommitted_changes=has_changes,
        source=source,
        gain_points=verdict.gain_points,
        verdict=verdict.verdict,
        alpha=use.alpha,
    )
    try:
        _write(project, entry)
    except LedgerError as error:
        if use.alpha_is_shared:
            raise
        logger.warning(f"This verdict could not be counted in test_uses.json: {error}")


def _write(project: Project, entry: LedgerEntry | None) -> None:
    """Adds the entry to the ledger; without an entry, rewrites the ledger to check that it is writable."""
    lock, path = ledger_lock(project.root), project.path_of(Ledger)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=LOCK_TIMEOUT_S):
            ledger = project.kept(Ledger)
            (ledger if entry is None else ledger.plus(entry)).save(path)
    except (OSError, Timeout) as error:
        raise LedgerError(
            f"{path} could not be written ({error}). Make the project's folder writable, then: dvc repro --force "
            "--single-item check_transfer"
        ) from error


def _predicted(table: pd.DataFrame) -> list[list[str]]:
    """Seed, item and predicted class of each test; probabilities may differ between machines."""
    rows = table.sort_values(["seed", "sample_id"])[["seed", "sample_id", "predicted"]]
    return rows.astype(str).to_numpy().tolist()


def _rule(check: CheckTransferParams) -> dict[str, float | str]:
    """Settings that the verdict depends on besides the predictions; another rule is another use of the test split."""
    rule = check.model_dump(include={"alpha_over", "max_seeds", "margin_points"})
    return rule | {"alpha": _alpha_per_source(check)}


def _alpha_per_source(check: CheckTransferParams) -> float:
    is_shared = check.alpha_over == "test_split"
    return alpha_per_source(
        check.alpha, on_negative=check.on_negative, max_sources=check.max_sources, is_shared=is_shared
    )


def _cut(alpha: float) -> float:
    scale = 10.0 ** (NUM_DIGITS - 1 - floor(log10(alpha)))
    return floor(alpha * scale) / scale


def num_rejected(project: Project) -> int:
    """Number of sources with a negative verdict on these data."""
    selection = project.load(Selection)
    return len(project.kept(RejectedSources).on(selection.inputs[MANIFEST]))


def _commit(project: Project) -> tuple[str, bool]:
    """Commit of the project's folder, and True if files differ from it; ("", False) outside of a git repository."""
    kept = [f":(exclude){path}" for path in WRITTEN_BY_RUNS]
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project.root, capture_output=True, text=True)
        changes = subprocess.run(
            ["git", "diff", "--quiet", "HEAD", "--", ".", *kept], cwd=project.root, capture_output=True
        )
    except FileNotFoundError:
        return "", False
    return (head.stdout.strip(), changes.returncode != 0) if head.returncode == 0 else ("", False)
