"""What each stage leaves behind, on 240 real cells. `finished` has been through `dvc repro`."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
import yaml
from conftest import PROJECT, QUICK, SMALL, run, run_stages, stage_fails, succeed, write_params

from flows.summary import summarise
from graft.core.files import sha256_of_file
from graft.data.manifest import column_types, read_manifest, usable_samples
from graft.data.profile import Profile
from graft.data.units import sampling_units
from graft.examination.corruptions import CORRUPTIONS
from graft.examination.result import Examination
from graft.examination.robustness import VARIANTS
from graft.experiment.result import ArmResult
from graft.hub.catalogue import load_catalogue
from graft.hub.weights import load_backbone
from graft.modalities.image.modality import ImageModality
from graft.modalities.image.reading import decode
from graft.networks.model_config import ModelConfig
from graft.project import Project
from graft.selection.result import Selection
from graft.serving.result import Export
from graft.serving.served import load_model
from graft.transfer.longer_training import LongerTraining
from graft.transfer.rejected import RejectedSource, RejectedSources
from graft.transfer.verdict import Verdict
from graft.validation.result import Change, Validation

CopyOf = Callable[[Path], Path]


def test_the_manifest_describes_every_picture_once(finished: Path) -> None:
    manifest = read_manifest(finished / "artifacts" / "manifest.parquet")
    assert list(manifest.columns) == list(column_types(ImageModality()))
    assert len(manifest) == manifest["sample_id"].nunique() == 240
    assert set(manifest["split"]) == {"train", "validation", "test"}
    assert set(manifest["weight"]) <= {0.5, 1.0}
    assert Profile.load(finished / "artifacts" / "profile.json").classes == ["defective", "functional"]


def test_ingest_keeps_in_git_what_was_split_and_dvc_misses_it_where_it_is_gone(finished: Path, copy_of: CopyOf) -> None:
    project = copy_of(finished)
    memory = project / "splits.json"
    kept = memory.read_bytes()
    assert "splits.json" in succeed(project, "git", "status", "--short")
    memory.unlink()
    assert "splits.json" in succeed(project, "dvc", "status", "ingest")
    run_stages(project, "ingest")
    assert memory.read_bytes() == kept
    assert "up to date" in succeed(project, "dvc", "status", "ingest")


def test_data_docs_show_the_suite_and_hold_no_time_of_the_run(finished: Path) -> None:
    docs = finished / "artifacts" / "validation" / "data_docs"
    pages = [page.read_text() for page in docs.rglob("*.html")]
    assert len(pages) == 9
    assert not any(re.search(r"\b20[1-9]\d{5}T\d{6}", page) for page in pages)
    validation = Validation.load(finished / "artifacts" / "validation" / "result.json")
    assert validation.passed
    assert len(validation.expectations) == 18
    change = Change.load(finished / "artifacts" / "validation" / "change.json")
    assert len(change.expectations) == 7
    assert all(item.passed for item in change.expectations)


def test_select_ranks_the_candidates_and_says_why(finished: Path) -> None:
    selection = Selection.load(finished / "artifacts" / "selection.json")
    assert {score.name for score in selection.ranking} == {"mobilenet_v2", "efficientnet_lite0"}
    assert selection.chosen == selection.ranking[0].name
    assert selection.runner_up == selection.ranking[1].name
    assert all(0.5 < score.probe.mean < 1 for score in selection.ranking)
    assert all(score.trial is not None and score.trial.num_steps == 4 for score in selection.ranking)
    assert ("does not separate" in selection.reason) != selection.is_separated


def test_select_refuses_a_candidate_that_cannot_be_fine_tuned_before_it_fetches_it(
    finished: Path, copy_of: CopyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_of(finished)
    write_params(project, {**SMALL, "select": {**SMALL["select"], "candidates": ["torchvision/vit_b_32"]}})
    monkeypatch.setenv("GRAFT_TORCHVISION_MIRROR", "http://127.0.0.1:9")
    assert "cannot take images of 64 x 64 pixels" in stage_fails(project, "select")


def test_select_leaves_out_a_source_that_did_harm_on_these_data(finished: Path, copy_of: CopyOf) -> None:
    project = copy_of(finished)
    manifest_sha256 = sha256_of_file(project / "artifacts" / "manifest.parquet")
    before = Selection.load(project / "artifacts" / "selection.json")
    entries = [
        RejectedSource(source=score.name, weights_sha256=score.weights_sha256, manifest_sha256=data, claim="It harms.")
        for score, data in zip(before.ranking, (manifest_sha256, "other data"), strict=True)
    ]
    RejectedSources(rejected=entries).save(project / "rejected_sources.json")
    assert "select" in succeed(project, "dvc", "status")
    run_stages(project, "select")
    after = Selection.load(project / "artifacts" / "selection.json")
    assert (after.chosen, after.excluded) == (before.runner_up, {before.chosen: "It harms."})
    both = [entry.model_copy(update={"manifest_sha256": manifest_sha256}) for entry in entries]
    RejectedSources(rejected=both).save(project / "rejected_sources.json")
    assert "every candidate is rejected on these data" in stage_fails(project, "select")


def test_the_summary_says_to_commit_which_sources_were_rejected(finished: Path, copy_of: CopyOf) -> None:
    project = copy_of(finished)
    assert "rejected_sources.json" not in summarise(Project(project))
    entry = RejectedSource(source="s", weights_sha256="0" * 64, manifest_sha256="0" * 64, claim="It harms.")
    RejectedSources(rejected=[entry]).save(project / "rejected_sources.json")
    assert "rejected_sources.json && git commit" in " ".join(summarise(Project(project)).split())


def test_both_arms_are_tested_on_the_same_items_with_the_same_seeds(finished: Path) -> None:
    tables = [pd.read_parquet(finished / "artifacts" / arm / "predictions.parquet") for arm in ("finetune", "baseline")]
    keys = [
        table[["seed", "sample_id", "label"]].sort_values(["seed", "sample_id"]).to_numpy().tolist() for table in tables
    ]
    assert keys[0] == keys[1]
    assert sorted(tables[0]["seed"].unique()) == [0, 1]


def test_both_arms_cost_the_same_compute(finished: Path) -> None:
    transfer, baseline = (
        ArmResult.load(finished / "artifacts" / arm / "result.json") for arm in ("finetune", "baseline")
    )
    assert baseline.training_tflops_per_seed == pytest.approx(transfer.training_tflops_per_seed, rel=0.01)


def test_the_verdict_follows_from_the_predictions(finished: Path) -> None:
    verdict = Verdict.load_verified(finished / "artifacts", "verdict.json")
    added = pd.read_parquet(finished / "artifacts" / "pairs" / "predictions.parquet")
    means = {}
    for arm, folder in (("transfer", "finetune"), ("baseline", "baseline")):
        of_stage = pd.read_parquet(finished / "artifacts" / folder / "predictions.parquet")
        table = pd.concat([of_stage, added[added["arm"] == arm]])
        assert sorted(table["seed"].unique()) == verdict.seeds
        means[arm] = 100 * (table["label"] == table["predicted"]).mean()
        assert 100 * verdict.scores[arm].accuracy.mean == pytest.approx(means[arm], abs=1e-3)
    assert verdict.gain_points.mean == pytest.approx(means["transfer"] - means["baseline"], abs=1e-3)
    assert verdict.verdict != "inconclusive" or len(verdict.seeds) == 3
    assert [part.name for part in verdict.parts["class"]] == ["defective", "functional"]
    assert sum(part.num_items for part in verdict.parts["class"]) == verdict.num_test
    assert "not converged" in verdict.claim
    assert "the compute" in verdict.claim


def test_the_longer_training_from_baseline_is_chosen_on_validation_data_and_compared(finished: Path) -> None:
    artifacts = finished / "artifacts"
    convergence = LongerTraining.load_verified(artifacts, "baseline/longer/result.json")
    assert [budget.ratio for budget in convergence.budgets] == [1, 2]
    baseline = ArmResult.load(artifacts / "baseline" / "result.json")
    assert [budget.num_epochs for budget in convergence.budgets] == pytest.approx(
        [baseline.num_epochs, 2 * baseline.num_epochs]
    )
    best = min(convergence.budgets, key=lambda budget: budget.validation_loss)
    assert convergence.chosen_ratio == best.ratio
    predictions = pd.read_parquet(artifacts / "baseline" / "longer" / "predictions.parquet")
    against = Verdict.load(artifacts / "verdict.json").against_longer
    assert against is not None
    assert (against.budget_ratio, against.num_seeds) == (best.ratio, 2)
    right = (predictions["label"] == predictions["predicted"]).mean()
    assert against.baseline_accuracy.mean == pytest.approx(right, abs=1e-5)
    assert f"{right:.1%}" in against.claim


def test_the_onnx_file_takes_raw_pixels_of_any_size_and_knows_its_classes(finished: Path) -> None:
    path = finished / "artifacts" / "onnx" / "model.onnx"
    metadata = {item.key: item.value for item in onnx.load(path).metadata_props}
    assert json.loads(metadata["classes"]) == ["defective", "functional"]
    session = onnxruntime.InferenceSession(path)
    assert (session.get_inputs()[0].name, session.get_inputs()[0].type) == ("pixels", "tensor(uint8)")
    for shape in [(1, 300, 300, 3), (3, 40, 500, 3), (0, 300, 300, 3)]:
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        probabilities = session.run(None, {"pixels": pixels})[0]
        assert probabilities.shape == (shape[0], 2)
        assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_every_test_picture_gets_the_same_class_in_onnx_as_in_pytorch(finished: Path) -> None:
    export = Export.load(finished / "artifacts" / "export.json")
    predictions = pd.read_parquet(finished / "artifacts" / "finetune" / "predictions.parquet")
    assert export.num_compared == predictions["sample_id"].nunique()
    assert export.num_agreeing == export.num_compared
    session = onnxruntime.InferenceSession(finished / "artifacts" / "onnx" / "model.onnx")
    model, config = load_model(finished / "artifacts" / "model")
    kept = predictions[predictions["seed"] == config.seed].head(20)
    for row in kept.itertuples():
        pixels = decode((finished / "data" / row.path).read_bytes())[None].copy()
        served = session.run(None, {"pixels": pixels})[0][0]
        with torch.no_grad():
            np.testing.assert_allclose(served, model(torch.from_numpy(pixels))[0], atol=1e-4)
        assert served[0] == pytest.approx(row.probability_defective, abs=1e-4)


def test_frozen_blocks_of_the_kept_model_are_those_of_the_source(finished: Path) -> None:
    model, config = load_model(finished / "artifacts" / "model")
    source = load_catalogue(finished / "sources.yaml")[config.source]
    original, kept = load_backbone(source).blocks.state_dict(), model.classifier.backbone.blocks.state_dict()
    num_blocks = len(model.classifier.backbone.blocks)
    frozen = [name for name in original if int(name.split(".")[0]) < num_blocks - 4]
    trained = [name for name in original if name.endswith("weight") and int(name.split(".")[0]) >= num_blocks - 4]
    assert len(frozen) > 50
    assert all(torch.equal(original[name], kept[name]) for name in frozen)
    assert not any(torch.equal(original[name], kept[name]) for name in trained)


def test_all_sources_of_the_catalogue_load_and_separate_real_cells(elpv: Path) -> None:
    from graft.modalities.image.inputs import Normalise, resize

    labels = pd.read_csv(elpv / "labels.csv").query("weight == 1").groupby("label").head(4)
    pixels = torch.stack([torch.from_numpy(decode((elpv / path).read_bytes()).copy()) for path in labels["path"]])
    sources = load_catalogue(PROJECT / "sources.yaml")
    for source in sources.values():
        backbone = load_backbone(source)
        pictures = Normalise.of(source.preprocessing)(resize(pixels.permute(0, 3, 1, 2), 64))
        with torch.no_grad():
            features = backbone(pictures)
        assert features.shape == (8, backbone.num_features)
        assert features.isfinite().all()
        assert features.std(dim=0).mean() > 1e-3, f"{source.name} sees no difference between cells"


def test_a_changed_picture_stops_the_command_finetune_with_1_and_is_named(finished: Path, copy_of: CopyOf) -> None:
    project = copy_of(finished)
    victim = sorted((project / "data" / "images").iterdir())[7]
    content = bytearray(victim.read_bytes())
    content[-30] ^= 1
    victim.unlink()
    victim.write_bytes(content)
    done = run(project, "python", "-m", "tasks.finetune")
    assert done.returncode == 1
    assert victim.name in done.stderr
    assert "Traceback" not in done.stderr


def make_transfer_worse(artifacts: Path) -> None:
    """Every run with transfer is wrong on every test item, every run from scratch is right."""
    wrong = {"defective": "functional", "functional": "defective"}
    for arm in ("finetune", "baseline"):
        path = artifacts / arm / "predictions.parquet"
        predictions = pd.read_parquet(path)
        predicted = predictions["label"].map(wrong) if arm == "finetune" else predictions["label"]
        predictions.assign(predicted=predicted).to_parquet(path, index=False)


def test_export_refuses_a_model_with_negative_transfer_and_the_report_says_so(finished: Path, copy_of: CopyOf) -> None:
    project = copy_of(finished)
    artifacts = project / "artifacts"
    write_params(project, {**QUICK, "check_transfer": {"max_seeds": 2}})
    make_transfer_worse(artifacts)
    run_stages(project, "baseline_longer", "check_transfer", "count_labels", "examine", "export", "report")
    verdict = Verdict.load(artifacts / "verdict.json")
    assert verdict.verdict == "negative"
    assert (verdict.exported_arm, verdict.tries_next) == ("nothing", False)
    assert not Export.load(artifacts / "export.json").exported
    assert [path.name for path in (artifacts / "onnx").iterdir()] == ["REFUSED.txt"]
    assert "REJECTED" in (artifacts / "report.html").read_text()


def test_the_baseline_model_ships_in_place_of_one_that_does_harm(finished: Path, copy_of: CopyOf) -> None:
    project = copy_of(finished)
    artifacts = project / "artifacts"
    check = {"max_seeds": 2, "on_negative": "baseline", "baseline_bar": 0.01, "alpha": 0.2}
    write_params(project, {**QUICK, "check_transfer": check})
    make_transfer_worse(artifacts)
    run_stages(project, "baseline_longer", "check_transfer", "count_labels", "examine", "export", "report")
    verdict = Verdict.load(artifacts / "verdict.json")
    assert verdict.badge == "FROM SCRATCH: negative transfer"
    assert Export.load(artifacts / "export.json").exported
    of_baseline = pd.read_parquet(artifacts / "baseline" / "predictions.parquet")
    config = ModelConfig.load(artifacts / "baseline" / "model" / "config.json")
    assert (config.source, config.licence, config.weights_sha256) == ("random weights", "", "")
    session = onnxruntime.InferenceSession(artifacts / "onnx" / "model.onnx")
    row = next(of_baseline[of_baseline["seed"] == config.seed].itertuples())
    pixels = decode((project / "data" / row.path).read_bytes())[None]
    served = session.run(None, {"pixels": pixels})[0][0]
    assert served[0] == pytest.approx(row.probability_defective, abs=1e-4)
    assert "random weights" in (artifacts / "onnx" / "MODEL_CARD.md").read_text()
    assert "FROM SCRATCH" in (artifacts / "report.html").read_text()


def test_the_examination_holds_both_arms_all_corruptions_and_of_how_many_items_it_is(finished: Path) -> None:
    examination = Examination.load_verified(finished / "artifacts", "examination.json")
    profile = Profile.load(finished / "artifacts" / "profile.json")
    assert examination.num_test == sum(profile.counts["test"].values())
    assert examination.num_validation == sum(profile.counts["validation"].values())
    assert 20 <= examination.num_corrupted <= 21  # rounded up a class
    manifest = read_manifest(finished / "artifacts" / "manifest.parquet")
    for split, found_units in (("test", examination.num_test_units), ("validation", examination.num_validation_units)):
        assert found_units == len(set(sampling_units(usable_samples(manifest, split))))
    assert 1 < examination.num_corrupted_units <= examination.num_corrupted
    assert set(examination.arms) == {"transfer", "baseline"}
    for found in examination.arms.values():
        assert [(score.corruption, score.severity) for score in found.corrupted] == VARIANTS
        assert sum(point.num_items for point in found.reliability) == examination.num_test
        assert found.temperature.low <= found.temperature.mean <= found.temperature.high
    assert [found.corruption for found in examination.differences] == list(CORRUPTIONS)
    assert f"{examination.num_corrupted} test items" in examination.claim
    assert examination.claim in (finished / "artifacts" / "report.html").read_text()


def test_model_config_says_how_the_model_was_made(finished: Path) -> None:
    config = ModelConfig.load(finished / "artifacts" / "model" / "config.json")
    params = yaml.safe_load((finished / "params.yaml").read_text())
    assert config.image_size_px == params["inputs"]["image_size_px"]
    assert config.classes == ["defective", "functional"]
    assert config.seed in params["arms"]["seeds"]


def test_seeds_that_the_proof_adds_are_those_that_the_stages_would_have_trained(
    finished: Path, copy_of: CopyOf
) -> None:
    project = copy_of(finished)
    write_params(project, {**SMALL, "check_transfer": {"max_seeds": 4, "alpha": 1e-9, "on_inconclusive": "reject"}})
    log = run_stages(project, "check_transfer")
    assert "3 pairs of seeds" in log
    assert "not decisive, training another pair" in log
    verdict = Verdict.load_verified(project / "artifacts", "verdict.json")
    assert verdict.badge == "REJECTED: no gain shown"
    assert verdict.seeds == [0, 1, 2, 3]
    assert all(len(score.accuracy_per_seed) == 4 for score in verdict.scores.values())
    added = pd.read_parquet(project / "artifacts" / "pairs" / "predictions.parquet")
    shutil.rmtree(project / ".graft" / "checkpoints")
    write_params(project, {**SMALL, "arms": {**SMALL["arms"], "seeds": [0, 2]}})
    run_stages(project, "finetune")
    of_stage = pd.read_parquet(project / "artifacts" / "finetune" / "predictions.parquet")
    pd.testing.assert_frame_equal(
        added[(added["arm"] == "transfer") & (added["seed"] == 2)].drop(columns="arm").reset_index(drop=True),
        of_stage[of_stage["seed"] == 2].reset_index(drop=True),
    )
