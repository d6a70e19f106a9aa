"""Share of the wrong labels that are in the first tenth of the list: `python -m benchmarks.label_suspicion`.

On the training and validation cells of ELPV, 5 % of the labels are flipped at random, ten times, and all cells are
ranked as the stage `inspect` ranks them. By chance the first tenth would hold a tenth of the flipped ones. ELPV has
doubtful labels of its own, which are among the first too: without any flip, 133 of 1,926 are estimated to be wrong.

Measured 2026-11-22, 2 cores of a machine with AVX-512-BF16 (features in bfloat16), scikit-learn 1.9.1, cleanlab 2.9.0:

    source                     mean     worst of ten
    efficientnet_lite0         71.6 %   65.6 %
    mobilenet_v2               71.4 %   65.6 %
    aerial_resnet18            66.2 %   60.4 %
    drawings_efficientnet_b0   65.9 %   60.4 %

Tried on the first three seeds with efficientnet_lite0, and no better than the noise between them: weaker and stronger
penalties (C 0.1: 60 %, 0.001: 70 %, 0.0001: 65 %), whitened principal components (67 to 70 %), nearest neighbours
(65 %), a support vector machine (69 %), two views averaged (71 %), two sources side by side (74 %).
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from graft.core.config import Params
from graft.core.device import pick_device
from graft.core.files import sha256_of_file
from graft.core.params_file import load_params
from graft.data.images import load_images
from graft.data.splits import split_of
from graft.hub.catalogue import Source, load_catalogue
from graft.hub.weights import load_backbone
from graft.inspection.ranking import rank_labels
from graft.selection.features import cached_features
from infra.fetch_example import fetch_example

PROJECT = Path(__file__).parents[1]
FLIPPED_FRACTION, LISTED_FRACTION, NUM_SEEDS = 0.05, 0.1, 10


def ranked_samples(data_dir: Path, params: Params) -> pd.DataFrame:
    """The training and validation cells, with the columns of the manifest that labels are ranked by."""
    samples = pd.read_csv(data_dir / "labels.csv").assign(group="", duplicate_of="")
    samples["sample_id"] = [sha256_of_file(data_dir / path) for path in samples["path"]]
    splits = [
        split_of(
            sample_id,
            key=params.ingest.split_key,
            test_fraction=params.ingest.test_fraction,
            validation_fraction=params.ingest.validation_fraction,
        )
        for sample_id in samples["sample_id"]
    ]
    return samples[np.array(splits) != "test"].reset_index(drop=True)


def found_fraction(samples: pd.DataFrame, features_ND: np.ndarray, params: Params, seed: int) -> float:
    """Share of the labels flipped by this seed that are in the first tenth of the list, 0..1."""
    num_flipped = round(FLIPPED_FRACTION * len(samples))
    flipped = np.random.default_rng(seed).choice(len(samples), num_flipped, replace=False)
    other = {"defective": "functional", "functional": "defective"}
    labels = samples["label"].to_numpy(dtype=object).copy()
    labels[flipped] = [other[label] for label in labels[flipped]]
    ranking = rank_labels(
        samples.assign(label=labels),
        features_ND,
        num_folds=params.select.num_folds,
        regularisation_strength=params.select.regularisation_strength,
        seed=params.select.seed,
    )
    first = ranking.samples["path"].head(round(LISTED_FRACTION * len(samples)))
    return float(samples["path"].iloc[flipped].isin(first).mean())


def features_of(source: Source, samples: pd.DataFrame, data_dir: Path) -> np.ndarray:
    side_px = source.preprocessing.image_size_px

    def load(positions: list[int]) -> Tensor:
        return load_images(data_dir, samples.iloc[positions], side_px)

    return cached_features(
        source, load_backbone(source), side_px, list(samples["sample_id"]), load, pick_device()
    ).numpy()


def main() -> None:
    params = load_params(PROJECT / "params.yaml")
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "elpv"
        fetch_example("elpv", data_dir)
        samples = ranked_samples(data_dir, params)
        for name, source in load_catalogue(PROJECT / "sources.yaml").items():
            features_ND = features_of(source, samples, data_dir)
            found = [found_fraction(samples, features_ND, params, seed) for seed in range(NUM_SEEDS)]
            print(
                f"{name}: {np.mean(found):.1%} of the flipped labels on average, {min(found):.1%} at worst, among the "
                f"first {LISTED_FRACTION:.0%} of {len(samples)}; per seed: "
                + " ".join(f"{share:.3f}" for share in found)
            )


if __name__ == "__main__":
    main()
