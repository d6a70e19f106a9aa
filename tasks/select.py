"""select: manifest, sources.yaml -> selection.json, selection_scores.csv"""

import pandas as pd

from graft.artifacts import Selection, SourceScore, Validation, hash_inputs
from graft.config import Params
from graft.data.manifest import class_names, read_manifest, usable_samples
from graft.data.pictures import picture_loader, verify_pictures
from graft.device import pick_device
from graft.hub.catalogue import load_catalogue, pick_sources
from graft.hub.fetch import pinned
from graft.hub.weights import load_backbone
from graft.selection.features import cached_features
from graft.selection.probe import Candidate, choose, probe_accuracies, resampled_interval
from graft.selection.subsample import subsample
from tasks.stage import ARTIFACTS, DATA, SOURCES, run_stage


def select(params: Params) -> None:
    sources = [pinned(source) for source in pick_sources(load_catalogue(SOURCES), params.select.candidates)]
    Validation.load_verified(ARTIFACTS, "validation/result.json")
    manifest = read_manifest(ARTIFACTS / "manifest.parquet")
    samples = subsample(usable_samples(manifest, "train"), params.select.max_samples, params.select.num_folds)
    classes = class_names(manifest)
    labels_N = samples["label"].map(classes.index).to_numpy()
    verify_pictures(DATA, samples)
    load_at = {
        side_px: picture_loader(DATA, samples, side_px)
        for side_px in {source.preprocessing.image_size_px for source in sources}
    }
    folds, scores = {}, {}
    for source in sources:
        backbone = load_backbone(source)
        features_ND = cached_features(
            source, backbone, list(samples["sample_id"]), load_at[source.preprocessing.image_size_px], pick_device()
        )
        folds[source.name] = probe_accuracies(
            features_ND.numpy(),
            labels_N,
            num_folds=params.select.num_folds,
            num_repeats=params.select.num_repeats,
            regularisation_strength=params.select.regularisation_strength,
            seed=params.select.seed,
        )
        interval = resampled_interval(folds[source.name], num_folds=params.select.num_folds)
        print(f"  {source.name}: {interval.mean:.1%} [{interval.low:.1%}, {interval.high:.1%}]", flush=True)
        scores[source.name] = SourceScore(
            **source.model_dump(include={"name", "description", "licence", "num_parameters", "gflops"}),
            domain=source.trained_on.domain,
            dataset=source.trained_on.dataset,
            image_size_px=source.preprocessing.image_size_px,
            weights_sha256=source.weights_sha256,
            accuracy=interval,
        )
    ranking = sorted(scores.values(), key=lambda score: -score.accuracy.mean)
    chosen, reason = choose(
        [Candidate(score.name, score.domain, score.num_parameters, folds[score.name]) for score in ranking],
        num_folds=params.select.num_folds,
    )
    selection = Selection(
        inputs=hash_inputs(ARTIFACTS, "manifest.parquet", "validation/result.json"),
        chosen=chosen,
        reason=reason,
        num_samples=len(samples),
        num_folds=params.select.num_folds,
        num_repeats=params.select.num_repeats,
        ranking=ranking,
    )
    selection.save(ARTIFACTS / "selection.json")
    pd.DataFrame(
        [{"source": score.name, "domain": score.domain, **score.accuracy.model_dump()} for score in ranking]
    ).round(6).to_csv(ARTIFACTS / "selection_scores.csv", index=False)
    print(f"{selection.chosen}: {selection.reason}")


if __name__ == "__main__":
    run_stage(select)
