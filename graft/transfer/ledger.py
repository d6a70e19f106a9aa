"""Every verdict that was given on a test split: test_uses.json, committed beside dvc.lock.

Each verdict on the same test items is another chance to take luck for a gain, and whoever has seen one may choose by it
what to try next. So they are counted, and where `check_transfer.alpha_over` is `test_split` they share one alpha: the
k-th gets `share_of_alpha(k)` of it. That is alpha-spending, a Bonferroni correction over a sequence without an end; it
holds however much the results depend on each other, as those of one test split do. It does not hold for a variant that
was built out of the test results of others: `python -m benchmarks.test_reuse` shows both.

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
"""Power of k by which the share of the k-th verdict falls."""


def share_of_alpha(number: int) -> float:
    """Share of alpha, 0..1, of the verdict with this number (1, 2, ...) on one test split; all sum to 1."""
    return float(number**-DECAY / zeta(DECAY))


def sha256_of(content: object) -> str:
    """64 hex digits of what can be written as JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sha256_of_items(sample_ids: Iterable[str]) -> str:
    """Name of a test split: follows from its items alone, in whichever order, however often each is named."""
    return sha256_of(sorted(set(sample_ids)))


class LedgerEntry(Artifact):
    """A verdict that was given."""

    test_split: str
    """sha256 of the test items (`sha256_of_items`)."""
    compared: str
    """sha256 of the predictions and of the rule that the verdict follows from; the same again is no further use."""
    params: str
    """sha256 of all params, with what the data say in the place of every `auto`."""
    date: str
    """UTC day, YYYY-MM-DD."""
    commit: str
    """Of the project in git; empty where it is in none."""
    has_uncommitted_changes: bool
    """Whether files differed from that commit, apart from those that a run writes itself."""
    source: str
    gain_points: Interval
    verdict: VerdictWord
    alpha: float
    """Chance of a false verdict that this one had, at most."""


class Ledger(KeptInGit):
    NAME: ClassVar = TEST_USES

    EMPTY: ClassVar = {"given": []}
    DAMAGE: ClassVar = "is not a list of the verdicts that were given on test splits"

    given: list[LedgerEntry]
    """In the order in which they were given; entries are only ever added."""

    def on(self, test_split: str) -> list[LedgerEntry]:
        return [entry for entry in self.given if entry.test_split == test_split]

    def before(self, test_split: str, compared: str) -> list[LedgerEntry]:
        """The verdicts on this test split before this one, which may be in the ledger already."""
        entries = self.on(test_split)
        hashes = [entry.compared for entry in entries]
        return entries[: hashes.index(compared)] if compared in hashes else entries

    def plus(self, entry: LedgerEntry) -> Self:
        """The same ledger where the verdict is in it already."""
        is_known = any(entry.compared == other.compared for other in self.on(entry.test_split))
        return self if is_known else self.model_copy(update={"given": [*self.given, entry]})


def uses_in_words(verdict: Verdict) -> str:
    """How often the test split has been used, and what that means."""
    if verdict.num_test_uses == 1:
        return "This test split has been used for this verdict alone."
    used = f"This test split has been used for {verdict.num_test_uses} verdicts"
    if verdict.alpha_is_shared:
        return f"{used}, which share one alpha: the chance of a false one among them is {_at_most(verdict)}."
    return f"{used}; each one more makes a chance finding likelier."


def choices_in_words(verdict: Verdict) -> str:
    """What has seen the test split."""
    if not verdict.test_split_choices:
        return "No training and no choice has seen anything of the test split."
    choices = "; ".join(verdict.test_split_choices)
    return f"No training has seen anything of the test split. These choices hang on it, and no others: {choices}."


def _at_most(verdict: Verdict) -> str:
    """Rounded up."""
    return f"at most {math.ceil(1000 * verdict.alpha_of_all_uses - 1e-9) / 10:g} %"
