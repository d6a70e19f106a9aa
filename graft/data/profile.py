"""What a manifest holds, in numbers; and whether that is enough to go on."""

from collections import Counter
from collections.abc import Mapping

from graft.artifacts import Profile
from graft.data.manifest import SET_ASIDE
from graft.data.splits import SPLITS
from graft.data.stratify import MIN_PER_SPLIT
from graft.errors import ClassesError, QuarantineError

MAX_LISTED = 100
MAX_SHORTAGES = 10


class Tally:
    """Counts rows of a manifest as they pass by."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._quarantined: dict[str, str] = {}

    def add(self, row: Mapping[str, object]) -> None:
        status = str(row["status"])
        if status != "ok" and status not in SET_ASIDE:
            if len(self._quarantined) < MAX_LISTED:
                self._quarantined[str(row["path"])] = status
            status = "quarantined"
        self._counts[status, str(row["label"]), str(row["split"])] += 1

    def profile(self, num_not_described: int) -> Profile:
        classes = sorted({label for status, label, _ in self._counts if status == "ok" and label})
        return Profile(
            classes=classes,
            num_samples=self._total("ok") - self._total("ok", ""),
            num_unlabelled=self._total("ok", ""),
            num_quarantined=self._total("quarantined"),
            num_duplicates=self._total("duplicate"),
            num_leaks=self._total("leak"),
            num_not_described=num_not_described,
            counts={split: {label: self._counts["ok", label, split] for label in classes} for split in SPLITS},
            quarantined=self._quarantined,
        )

    def _total(self, status: str, label: str | None = None) -> int:
        return sum(
            number
            for (found_status, found_label, _), number in self._counts.items()
            if found_status == status and label in (None, found_label)
        )


def check_quarantine(profile: Profile, max_quarantined_fraction: float) -> None:
    """
    Raises:
        QuarantineError: more files than allowed cannot be used.
    """
    num_files = profile.num_files
    if profile.num_quarantined > max_quarantined_fraction * num_files:
        examples = "\n".join(f"  {path!r}: {reason}" for path, reason in list(profile.quarantined.items())[:10])
        raise QuarantineError(
            f"{profile.num_quarantined} of {num_files} files cannot be used, more than "
            f"ingest.max_quarantined_fraction = {max_quarantined_fraction} allows. Mend or remove them "
            f"(quarantine.csv, beside the manifest, says how), or raise the limit:\n{examples}"
        )


def check_classes(profile: Profile, shortages: list[str]) -> None:
    """
    Args:
        shortages: see `graft.data.shortage`.
    Raises:
        ClassesError: fewer than two classes, or one that cannot be both learnt from and tested on.
    """
    classes = profile.classes
    if len(classes) < 2:
        found = f"one class only ({classes[0]!r})" if classes else "no labelled picture"
        raise ClassesError(
            f"the data hold {found}. A classifier needs at least two classes: put each into a folder of its own, "
            "or name the classes in labels.csv."
        )
    if shortages:
        num_more = len(shortages) - MAX_SHORTAGES
        listed = shortages[:MAX_SHORTAGES] + ([f"and {num_more} more"] if num_more > 0 else [])
        raise ClassesError(
            f"the data cannot be split: each class needs {MIN_PER_SPLIT} samples to learn from and {MIN_PER_SPLIT} to "
            "be tested on, and something must be left to validate on.\n" + "\n".join(f"  {words}" for words in listed)
        )
