"""The ledger of verdicts as check_transfer keeps it: which number a verdict has on its test split, and its entry."""

import subprocess
import sys
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
from graft.transfer.decision import choices_by_test_split
from graft.transfer.ledger import Ledger, LedgerEntry, sha256_of, sha256_of_items, share_of_alpha
from graft.transfer.rejected import RejectedSources
from graft.transfer.verdict import Verdict

LOCK_TIMEOUT_S = 60
NUM_DIGITS = 3
"""Of alpha, significant ones; the others are cut off, so that what is shown is what was tested with."""


@dataclass(frozen=True)
class SplitUse:
    """The use of a test split for one verdict."""

    test_split: str
    compared: str
    params: str
    """All three: see `graft.transfer.ledger.LedgerEntry`."""
    number: int
    """1 for the first verdict on this test split; the same verdict again keeps its number."""
    alpha: float
    """Of this verdict."""
    alpha_is_shared: bool
    alpha_of_all: float
    """See `graft.transfer.verdict.Verdict.alpha_of_all_uses`."""
    choices: list[str]
    """See `graft.transfer.verdict.Verdict.test_split_choices`."""


def use_of_test_split(project: Project, of_stages: dict[ArmName, pd.DataFrame]) -> SplitUse:
    """Which use of the test split the comparison of these predictions is; nothing is compared yet.

    Args:
        of_stages: predictions of each arm: seed, sample_id, predicted and more.
    Raises:
        ContentChangedError: test_uses.json holds something else.
        LedgerError: test_uses.json cannot be written, and alpha is shared among what it holds.
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
    alpha = check.alpha_per_source
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
            num_rejected=_num_rejected(project),
            num_earlier=len(earlier),
            num_other_params=sum(entry.params != sha256_of_params for entry in earlier),
        ),
    )


def keep_in_ledger(project: Project, use: SplitUse, verdict: Verdict, source: str) -> None:
    """Adds the verdict to test_uses.json, if it is not there.

    Raises:
        LedgerError: test_uses.json cannot be written, and alpha is shared among what it holds; where it is not, that is
            said on stderr.
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
        print(f"This verdict is not counted among those on its test split: {error}", file=sys.stderr, flush=True)


def _write(project: Project, entry: LedgerEntry | None) -> None:
    """Without an entry, what is there is written again."""
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
    """Seed, item and predicted class of each test; how sure the model was may differ from machine to machine."""
    rows = table.sort_values(["seed", "sample_id"])[["seed", "sample_id", "predicted"]]
    return rows.astype(str).to_numpy().tolist()


def _rule(check: CheckTransferParams) -> dict[str, float | str]:
    """What the verdict hangs on besides the predictions: to judge by another rule is to look for another verdict."""
    rule = check.model_dump(include={"alpha_over", "max_seeds", "margin_points"})
    return rule | {"alpha": check.alpha_per_source}


def _cut(alpha: float) -> float:
    scale = 10.0 ** (NUM_DIGITS - 1 - floor(log10(alpha)))
    return floor(alpha * scale) / scale


def _num_rejected(project: Project) -> int:
    """Sources that did harm on these data."""
    selection = project.load(Selection)
    return len(project.kept(RejectedSources).on(selection.inputs[MANIFEST]))


def _commit(project: Project) -> tuple[str, bool]:
    """Of the project's folder, and whether files in it differ; ("", False) where it is in no git repository."""
    kept = [f":(exclude){path}" for path in WRITTEN_BY_RUNS]
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project.root, capture_output=True, text=True)
        changes = subprocess.run(
            ["git", "diff", "--quiet", "HEAD", "--", ".", *kept], cwd=project.root, capture_output=True
        )
    except FileNotFoundError:
        return "", False
    return (head.stdout.strip(), changes.returncode != 0) if head.returncode == 0 else ("", False)
