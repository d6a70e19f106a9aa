"""Ledger of all verdicts on a test split: test_uses.json, committed next to dvc.lock.

Each verdict on the same test items is another chance to take random variation for a gain, and whoever has seen one may
use it to choose what to try next. Verdicts are therefore counted, and if `check_transfer.alpha_over` is `test_split`
they share one alpha: the k-th gets `share_of_alpha(k)` of it. This is alpha-spending, a Bonferroni correction over an
infinite sequence; it holds however much the results depend on each other, as those on one test split do. It does not
hold for a variant that was built from the test results of others: `python -m benchmarks.test_reuse` shows both.

Source: Tian and Ramdas 2021, "Online control of the familywise error rate" (alpha-spending, and shares that fall with
    k ** -1.6); Dwork et al. 2015 and Blum and Hardt 2015 for choices that build on earlier results.
"""

import hashlib
import json
import math
from collections.abc import Iterable
from typing import ClassVar, Self

from scipy.special import zeta

from graft.core.artifacts import TEST_USES, Artifact, Interval, KeptInGit
from graft.transfer.verdict import Verdict, VerdictWord

DECAY = 1.6
"""Exponent with which the share of the k-th verdict falls, k ** -DECAY."""


def share_of_alpha(number: int) -> float:
    """Share of alpha, 0..1, of the verdict with this number (1, 2, ...) on one test split; all sum to 1."""
    return float(number**-DECAY / zeta(DECAY))


def sha256_of(content: object) -> str:
    """Hash, 64 hex digits, of content that can be written as JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sha256_of_items(sample_ids: Iterable[str]) -> str:
    """Hash that names a test split; it depends on the set of items only, not on order or repetition."""
    return sha256_of(sorted(set(sample_ids)))


class LedgerEntry(Artifact):
    """Entry of the ledger for one verdict."""

    test_split: str
    """sha256 of the test items (`sha256_of_items`)."""
    compared: str
    """sha256 of the predictions and of the rule that gave the verdict; repeating both is not a further use."""
    params: str
    """sha256 of all params, with every `auto` resolved."""
    date: str
    """UTC day, YYYY-MM-DD."""
    commit: str
    """Commit of the project in git; empty if it is in no repository."""
    has_uncommitted_changes: bool
    """Whether files other than those that a run writes itself differed from that commit."""
    source: str
    gain_points: Interval
    verdict: VerdictWord
    alpha: float
    """Largest probability that this verdict is false."""


class Ledger(KeptInGit):
    NAME: ClassVar = TEST_USES

    EMPTY: ClassVar = {"given": []}
    DAMAGE: ClassVar = "is not a list of the verdicts that were given on test splits"

    given: list[LedgerEntry]
    """Verdicts in chronological order; entries are only ever added."""

    def on(self, test_split: str) -> list[LedgerEntry]:
        return [entry for entry in self.given if entry.test_split == test_split]

    def before(self, test_split: str, compared: str) -> list[LedgerEntry]:
        """Verdicts on this test split before the one with the hash `compared`, which may be in the ledger already."""
        entries = self.on(test_split)
        hashes = [entry.compared for entry in entries]
        return entries[: hashes.index(compared)] if compared in hashes else entries

    def plus(self, entry: LedgerEntry) -> Self:
        """Ledger with the entry added, unless its verdict is in the ledger already."""
        is_known = any(entry.compared == other.compared for other in self.on(entry.test_split))
        return self if is_known else self.model_copy(update={"given": [*self.given, entry]})


def uses_in_words(verdict: Verdict) -> str:
    """Sentence on the number of uses of the test split and its effect on false verdicts."""
    if verdict.num_test_uses == 1:
        return "This test split has been used for this verdict only."
    used = f"This test split has been used for {verdict.num_test_uses} verdicts"
    if verdict.alpha_is_shared:
        return f"{used}, which share one alpha: the chance of a false one among them is {_at_most(verdict)}."
    return f"{used}; each further one makes chance findings likelier."


def choices_in_words(verdict: Verdict) -> str:
    """Sentence on the choices that depend on the test split."""
    if not verdict.test_split_choices:
        return "The test split was used in no training and in no choice."
    choices = "; ".join(verdict.test_split_choices)
    return f"The test split was used in no training. Only these choices depend on it: {choices}."


def _at_most(verdict: Verdict) -> str:
    """Largest probability of a false verdict among all uses, rounded up to a tenth of a percent."""
    return f"at most {math.ceil(1000 * verdict.alpha_of_all_uses - 1e-9) / 10:g} %"
