"""Ingestion: turns a data folder into one manifest, and logs its profile."""

import logging
from collections.abc import Collection
from pathlib import Path

from graft.core.artifacts import QUARANTINE
from graft.core.paths import data_index
from graft.data.build import IngestRules, build_manifest
from graft.data.profile import Profile, check_classes, check_quarantine
from graft.data.stratify import GivenSplits, SplitMemory
from graft.project import Project

logger = logging.getLogger(__name__)


def ingest_data(project: Project, linked_folders: Collection[Path]) -> None:
    """Reads every sample of data/, and writes the manifest, the quarantine, duplicates and the profile.

    Args:
        linked_folders: folders that links in data/ may point into.
    Raises:
        DataError: the data cannot be understood, or are too few.
    """
    params, kind = project.params.ingest, project.modality
    rules = IngestRules(**params.model_dump(exclude={"max_quarantined_fraction", "background"}))
    memory = project.kept(SplitMemory)
    built = build_manifest(
        project.data, project.artifacts, data_index(project.root), kind, rules, memory, list(linked_folders)
    )
    project.save(built.profile)
    _log_profile(project, built.profile)
    _log_splits(project, memory.given(rules.split_key), built.memory.given(rules.split_key), built.num_moved)
    check_quarantine(built.profile, params.max_quarantined_fraction, params.accept, kind)
    check_classes(built.profile, built.shortages)
    built.memory.save(project.path_of(SplitMemory))


def _log_profile(project: Project, profile: Profile) -> None:
    logger.info(f"{profile.num_samples} samples of {len(profile.classes)} classes: {', '.join(profile.classes)}")
    for split, counts in profile.counts.items():
        logger.info(f"  {split:10} {sum(counts.values()):6}  " + "  ".join(f"{name} {n}" for name, n in counts.items()))
    others = {
        "unlabelled": profile.num_unlabelled,
        "exact copies, set aside": profile.num_duplicates,
        "near duplicates of samples in another split, set aside": profile.num_leaks,
        "files that the table does not name, not used": profile.num_not_described,
        f"quarantined ({project.path(QUARANTINE)})": profile.num_quarantined,
    }
    for words, number in others.items():
        if number:
            logger.info(f"  {number} {words}")
    for code, number in profile.quarantine_codes.items():
        logger.info(f"    {number} {code}")
    for path, reason in list(profile.quarantined.items())[:10]:
        logger.info(f"      {path!r}: {reason}")
    for note in profile.notes:
        logger.info(f"  note: {note}")


def _log_splits(project: Project, before: GivenSplits, now: GivenSplits, num_moved: int) -> None:
    path = project.path_of(SplitMemory)
    if num_moved:
        logger.info(f"  {num_moved} samples or groups moved to splits that were short of their class ({path})")
    if before.units and before.fractions != now.fractions:
        logger.info(
            "  the fractions of the splits have changed (ingest.test_fraction, ingest.validation_fraction, or the "
            f"splits in the data): {len(before.units)} samples or groups of small classes keep the splits that they "
            f"were given; to split everything again, delete {path}"
        )
