"""Profile of a manifest in numbers, and checks that the data suffice."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import ClassVar

from pydantic import Field

from graft.core.artifacts import Artifact
from graft.core.errors import ClassesError, QuarantineError
from graft.data.manifest import SET_ASIDE
from graft.data.reading import remedies_of
from graft.data.splits import SPLITS
from graft.data.stratify import MIN_PER_SPLIT
from graft.modalities.base import Modality

MAX_LISTED = 100
MAX_SHORTAGES = 10
NEARLY_ALL = 0.9
"""Share of the quarantined files from which one reason is named as the cause."""


class Profile(Artifact):
    NAME: ClassVar = "profile.json"

    classes: list[str]
    """Class names, sorted; the position is the class index everywhere, including the ONNX file."""
    num_samples: int
    """Number of labelled samples that are used."""
    num_unlabelled: int
    num_quarantined: int
    num_duplicates: int
    """Number of exact copies that are set aside."""
    num_leaks: int
    """Number of near duplicates that are set aside, because the other one is in a higher-ranked split."""
    num_not_described: int
    """Number of files that the label table does not name."""
    counts: dict[str, dict[str, int]]
    """Split -> class -> number of samples."""
    quarantined: dict[str, str]
    """Path -> reason, for the first hundred; quarantine.csv has all."""
    quarantine_codes: dict[str, int]
    """Code of a reason -> number of files, the most frequent first."""
    notes: list[str] = Field(default_factory=list)
    """Lines about values that were reinterpreted or not read, and about peculiarities of files that are used."""

    @property
    def num_files(self) -> int:
        """Number of described files."""
        return self.num_samples + self.num_unlabelled + self.num_quarantined + self.num_duplicates + self.num_leaks


class Tally:
    """Counts of a manifest's rows, added one by one."""

    def __init__(self, modality: Modality) -> None:
        self._modality = modality
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._quarantined: dict[str, str] = {}
        self._codes: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()

    def add(self, row: Mapping[str, object]) -> None:
        status = str(row["status"])
        if status != "ok" and status not in SET_ASIDE:
            if len(self._quarantined) < MAX_LISTED:
                self._quarantined[str(row["path"])] = status
            self._codes[status.partition(":")[0]] += 1
            status = "quarantined"
        elif status == "ok":
            self._notes.update([*self._modality.remarks(row), *([str(row["note"])] if row["note"] else [])])
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
            quarantine_codes=dict(self._codes.most_common()),
            notes=[f"{number:,} {self._modality.noun}(s): {note}" for note, number in self._notes.most_common()],
        )

    def _total(self, status: str, label: str | None = None) -> int:
        return sum(
            number
            for (found_status, found_label, _), number in self._counts.items()
            if found_status == status and label in (None, found_label)
        )


def check_quarantine(
    profile: Profile, max_quarantined_fraction: float, accept: Collection[str], modality: Modality
) -> None:
    """
    Args:
        accept: reasons that are already waived.
    Raises:
        QuarantineError: more files than allowed cannot be used. If one reason explains nearly all of them, its remedy
            comes first.
    """
    num_files = profile.num_files
    max_quarantined = max_quarantined_fraction * num_files
    if max_quarantined_fraction > 0:
        max_quarantined = max(1, max_quarantined)  # otherwise 30 samples would need a different limit
    if profile.num_quarantined <= max_quarantined:
        return
    codes = profile.quarantine_codes
    remedies = remedies_of(modality)
    listed = "\n".join(f"  {number} {code}: {remedies[code]}" for code, number in codes.items())
    examples = "\n".join(f"  {path!r}: {reason}" for path, reason in list(profile.quarantined.items())[:10])
    raise QuarantineError(
        f"{_leading_remedy(profile, accept, modality)}{profile.num_quarantined} of {num_files} files cannot be used, "
        f"more than ingest.max_quarantined_fraction = {max_quarantined_fraction} allows. What to do about each reason "
        f"(quarantine.csv, next to the manifest, names every file):\n{listed}\nThe first:\n{examples}"
    )


def _leading_remedy(profile: Profile, accept: Collection[str], modality: Modality) -> str:
    """Remedy for the reason that explains nearly all of the quarantine; empty if there is none."""
    code, number = next(iter(profile.quarantine_codes.items()))
    if number < NEARLY_ALL * profile.num_quarantined:
        return ""
    if code not in modality.waivable:
        return f"{number} files are quarantined for one reason, {code}: {remedies_of(modality)[code]}.\n"
    return (
        f"{number} files are quarantined for one reason, {code}. To use them anyway ({modality.waivable[code]}), set\n"
        f"  ingest.accept: [{', '.join(sorted({*accept, code}))}]\n"
        "in params.yaml (the line `accept` below `ingest`). "
    )


def check_classes(profile: Profile, shortages: list[str]) -> None:
    """
    Args:
        shortages: see `graft.data.shortage`.
    Raises:
        ClassesError: there are fewer than two classes, or one that cannot be both trained and tested on.
    """
    classes = profile.classes
    if len(classes) < 2:
        found = f"only one class ({classes[0]!r})" if classes else "no labelled sample"
        raise ClassesError(
            f"the data hold {found}. A classifier needs at least two classes: put each into a folder of its own, "
            "or name the classes in labels.csv."
        )
    if shortages:
        num_more = len(shortages) - MAX_SHORTAGES
        listed = shortages[:MAX_SHORTAGES] + ([f"and {num_more} more"] if num_more > 0 else [])
        raise ClassesError(
            f"the data cannot be split: each class needs {MIN_PER_SPLIT} samples for training and {MIN_PER_SPLIT} for "
            "testing, and some must be left for validation.\n" + "\n".join(f"  {words}" for words in listed)
        )
