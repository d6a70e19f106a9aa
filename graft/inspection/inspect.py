"""The inspection: ranks training and validation samples for a person to check."""

import logging
import math

import pandas as pd

from graft.core.artifacts import MANIFEST, SUSPECTS
from graft.core.device import pick_device
from graft.core.table_files import write_csv
from graft.data.images import background_of, load_images
from graft.data.loading import verify_samples
from graft.data.manifest import usable_samples
from graft.hub.catalogue import load_catalogue
from graft.hub.source_lookup import chosen_source
from graft.hub.weights import load_backbone
from graft.inspection.ranking import Ranking, rank_blurry, rank_bright, rank_dark, rank_labels, rank_outliers
from graft.inspection.result import Inspection, SuspectKind, SuspectList
from graft.project import Project
from graft.selection.features import cached_features
from graft.selection.result import Selection
from graft.selection.subsample import subsample

logger = logging.getLogger(__name__)

MIN_LABEL_FRACTION = 0.1
"""Smallest share of the ranked samples in the list of labels."""


def inspect_data(project: Project) -> None:
    """Ranks training and validation samples only.

    Correcting test labels where a model disagrees would make the test split agree with the model: the measured accuracy
    would rise, and mean less.
    """
    params, manifest, selection = project.params, project.manifest, project.load(Selection)
    usable = usable_samples(manifest)
    samples = usable[usable["split"] != "test"]
    embedded = subsample(samples, params.inspect.max_samples, params.select.num_folds)
    verify_samples(project.data, embedded)
    source = chosen_source(
        load_catalogue(project.sources_file), selection.chosen, selection.chosen_score.weights_sha256
    )
    side_px, background = source.preprocessing.image_size_px, background_of(manifest)
    features_ND = cached_features(
        source,
        load_backbone(source),
        side_px,
        list(embedded["sample_id"]),
        lambda positions: load_images(project.data, embedded.iloc[positions], side_px, background=background),
        pick_device(),
        background=background,
    ).numpy()
    rankings: dict[SuspectKind, Ranking] = {
        "label": rank_labels(
            embedded,
            features_ND,
            num_folds=params.select.num_folds,
            regularisation_strength=params.select.regularisation_strength,
            seed=params.select.seed,
        ),
        "outlier": rank_outliers(embedded, features_ND),
        "dark": rank_dark(samples),
        "bright": rank_bright(samples),
        "blurry": rank_blurry(samples),
    }
    tables, lists = [], []
    for kind, ranking in rankings.items():
        least = MIN_LABEL_FRACTION * len(ranking.samples) if kind == "label" else 0
        listed = ranking.samples.head(max(params.inspect.num_listed, math.ceil(least)))
        tables.append(listed.assign(kind=kind, rank=range(1, len(listed) + 1)))
        lists.append(
            SuspectList(
                kind=kind,
                num_ranked=len(ranking.samples),
                num_listed=len(listed),
                num_suspicious=ranking.num_suspicious,
            )
        )
        logger.info(f"  {kind:8} {ranking.num_suspicious:6} suspicious of {len(ranking.samples)}; {len(listed)} listed")
    suspects = pd.concat(tables).round({"score": 6})
    write_csv(project.path(SUSPECTS), suspects[["kind", "rank", *ranking.samples.columns]])
    inspection = Inspection(
        inputs=project.hashes(MANIFEST, Selection.NAME),
        source=source.name,
        num_samples=len(samples),
        num_embedded=len(embedded),
        num_folds=params.select.num_folds,
        lists=lists,
    )
    project.save(inspection)
    logger.info(
        f"{len(samples)} training and validation samples were ranked; the lists are in {project.path(SUSPECTS)}"
    )
