"""A matrix of configurations for the golden tests, wide enough to notice a change: a small data set in which everything
occurs that ingest knows, and trainings of a few steps that between them use every option of the training arms.

All run in one process, on images of 32 x 32 pixels. Other sums in other orders must not change what is found, so the
network is one that is well-conditioned when it is trained from random weights, and rates are low.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from conftest import PROJECT, SMALL, make_project, succeed
from PIL import Image

from benchmarks.params_changes import merged

NUM_EACH = {("functional", 1.0): 42, ("defective", 1.0): 30, ("functional", 0.5): 14, ("defective", 0.5): 6}
"""Cells by label and weight; each becomes a class, the last so small that ingest must move samples."""
NAMES = dict(zip(NUM_EACH, ["functional", "defective", "perhaps functional", "perhaps defective"], strict=True))
GROUP_SIZE = 2
ONE_ARITHMETIC = {
    "ATEN_CPU_CAPABILITY": "avx2", "GRAFT_DEVICE": "cpu", "MKL_CBWR": "COMPATIBLE", "OMP_NUM_THREADS": "1",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}  # fmt: skip
"""What every x86 machine of ten years has. Without AVX-512, frozen features are computed in float32."""

SHARED = {
    "ingest": {
        "split_key": "golden",
        "test_fraction": 0.3,
        "validation_fraction": 0.15,
        "accept": ["transparent"],
        "background": "#808080",
        "max_quarantined_fraction": 0.2,
        "ignored_columns": ["remark"],
    },
    "select": {
        "candidates": ["efficientnet_lite0", "documents_pplcnet_v3", "mobilenet_v2"],
        "default": "efficientnet_lite0",
        "prefer": "cheapest",
        "licences": ["Apache-2.0"],
        "max_finalists": 3,
        "num_repeats": 2,
        "trial_rounds": 2,
        "trial_steps": 2,
        "margin_points": 1,
        "seed": 7,
    },
    "inspect": {"num_listed": 10},
    "baseline": {"learning_rate": 1e-4},
    "check_transfer": {"max_seeds": 3, "alpha": 0.2, "alpha_over": "test_split", "margin_points": 2},
    "count_labels": {"fractions": [0.1, 0.9]},
    "examine": {"max_samples": 12, "num_bins": 4, "seed": 3},
}
OF_ARMS = {
    "seeds": [3, 5], "image_size_px": 32, "views": ["identity"], "batch_size": 16, "precision": "float32",
    "num_epochs": 2, "probe_epochs": 1, "backbone_learning_rate": 1e-4,
}  # fmt: skip
SECTIONS = ("inputs", "arms", "finetune")
"""Of params.yaml, that the settings of the arms are spread over."""

CONFIGURATIONS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "whole": (
        [
            "ingest", "validate", "select", "inspect", "finetune", "baseline", "baseline_longer", "check_transfer",
            "count_labels", "examine",
        ],
        {"views": ["identity", "flip_horizontal"], "method": "auto", "num_epochs": 3},
    ),
    "probe": (
        ["finetune"],
        {
            "method": "linear_probe", "num_epochs": 4, "head": "mlp", "class_balance": "weights", "schedule": "cosine",
            "dropout": 0, "warmup_fraction": 0, "find_rate": True,
        },
    ),
    "full": (
        ["finetune", "baseline"],
        {
            "method": "full", "mixing": "mixup", "ema_decay": 0.5, "decay_norm_and_bias": False, "label_smoothing": 0,
            "layer_decay": 0.8, "batchnorm_statistics": "target", "num_epochs": 3, "early_stopping_patience": 1,
        },
    ),
    "lp_ft": (
        ["finetune"],
        {
            "method": "lp_ft", "mixing": "cutmix", "mixing_alpha": 1, "class_balance": "sampling", "head": "cosine",
            "wise_ft_share": 0.5, "l2_sp": 0.1,
        },
    ),
    "gradual_unfreeze": (
        ["finetune"],
        {
            "method": "gradual_unfreeze", "num_trained_blocks": 4, "augmentation": "inspection",
            "num_augmented_views": 2, "weight_decay": 1, "bss": 1,
        },
    ),
    "lora": (
        ["finetune"],
        {
            "method": "lora", "num_epochs": 1, "lora_rank": 2, "precision": "bfloat16",
            "views": ["rotate_180", "flip_vertical"],
        },
    ),
    "search": (
        ["finetune", "baseline"],
        {
            "method": "partial", "num_trained_blocks": 3, "num_epochs": 4, "head_learning_rate": 0.02,
            "search_s": 3600, "search_trials": 6,
        },
    ),
}  # fmt: skip
"""Name -> stages that run, on what those before left, and settings of the arms."""

RUN = """
import json, runpy, shutil, sys
for name, stages in json.loads(sys.argv[1]).items():
    shutil.copy(f"{name}.yaml", "params.yaml")
    for stage in stages:
        runpy.run_module(f"tasks.{stage}", run_name="__main__")
    shutil.copytree("artifacts", f"results/{name}")
"""


def run_matrix(folder: Path, elpv: Path, accepted: Path) -> dict[str, tuple[list[str], Path]]:
    """Runs all configurations; name -> the stages that ran, and the artifacts folder that they left.

    Args:
        accepted: the summary of other data, which these are compared with.
    """
    project = make_project(folder / "project", lambda data_dir: fill_with_everything(elpv, data_dir))
    shutil.copy(accepted, project / "accepted_data.json")
    for name, (_, settings) in CONFIGURATIONS.items():
        (project / f"{name}.yaml").write_text(yaml.safe_dump(_params(OF_ARMS | settings)))
    order = {name: list(stages) for name, (stages, _) in CONFIGURATIONS.items()}
    cache = _cache_without_features(folder / "cache")
    succeed(project, "python", "-c", RUN, json.dumps(order), GRAFT_CACHE=str(cache), **ONE_ARITHMETIC)
    return {name: (stages, project / "results" / name) for name, (stages, _) in CONFIGURATIONS.items()}


def _params(of_arms: dict[str, Any]) -> dict[str, Any]:
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    places = {key: section for section in SECTIONS for key in params.get(section, {})}
    return merged(params, SMALL, SHARED, *({places[key]: {key: value}} for key, value in of_arms.items()))


def _cache_without_features(cache: Path) -> Path:
    """The user's downloads alone: features are kept under names that do not change with all code."""
    user_cache = Path(os.environ.get("GRAFT_CACHE", Path.home() / ".cache" / "graft")).absolute()
    cache.mkdir()
    for name in ("packages", "weights"):
        (user_cache / name).mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(user_cache / name)
    return cache


def fill_with_everything(elpv: Path, data_dir: Path) -> None:
    """Real cells of four classes with groups, domains, weights and some given splits; and beside them copies, near
    duplicates, one of another label, a transparent image, images without a label, and files that cannot be used."""
    cells = pd.read_csv(elpv / "labels.csv").set_index(["label", "weight"])
    of_classes = [cells.loc[[key]].groupby("domain").head(number // 2) for key, number in NUM_EACH.items()]
    table = pd.concat(of_classes).reset_index()
    table["label"] = [NAMES[key] for key in zip(table["label"], table["weight"], strict=True)]
    table["group"] = [f"module {row // GROUP_SIZE}" if row % 3 else "" for row in range(len(table))]
    table["split"] = ["train" if row % 20 == 0 else "" for row in range(len(table))]
    (data_dir / "images").mkdir(parents=True)
    for path in table["path"]:
        shutil.copy(elpv / path, data_dir / path)
    others = pd.DataFrame(_other_files(data_dir / "images", [data_dir / path for path in table["path"]]))
    table = pd.concat([table, others]).fillna({"weight": 1}).assign(remark="not read")
    table.to_csv(data_dir / "labels.csv", index=False)


def _other_files(images: Path, cells: list[Path]) -> Iterator[dict[str, str]]:
    """Writes them, and yields their rows of the table."""
    (images / "not_in_the_table.png").write_bytes(cells[0].read_bytes())
    for number, cell in enumerate(cells[1:40:3]):
        Image.open(cell).save(images / f"again_{number}.jpg", quality=70)
        yield {"path": f"images/again_{number}.jpg", "label": "defective" if number == 0 else "functional"}
    for number, cell in enumerate(cells[45:48]):
        Image.open(cell).rotate(90).save(images / f"unknown_{number}.png")
        yield {"path": f"images/unknown_{number}.png", "label": ""}
    grey = Image.open(cells[60]).crop((0, 0, 300, 200))
    grey.putalpha(Image.linear_gradient("L").resize(grey.size))
    grey.save(images / "transparent.png")
    deep = np.asarray(Image.open(cells[61])).astype(np.uint16) * 257
    Image.fromarray(deep).save(images / "deep.png")
    Image.open(cells[62]).convert("CMYK").save(images / "cmyk.jpg")
    content = cells[63].read_bytes()
    for name, written in {"copy.png": content, "truncated.png": content[:9000], "png.jpg": content + b" "}.items():
        (images / name).write_bytes(written)
    for name in ("transparent.png", "deep.png", "cmyk.jpg", "copy.png", "truncated.png", "png.jpg", "missing.png"):
        yield {"path": f"images/{name}", "label": "defective"}
