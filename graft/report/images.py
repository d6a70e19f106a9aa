"""Thumbnails for the page, as data URIs."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from PIL import Image

from graft.data.manifest import usable_samples, verified_bytes
from graft.modalities.image.reading import WHITE, decode

THUMBNAIL_SIDE_PX = 160
JPEG_QUALITY = 82
PAIR_GAP_PX = 4


@dataclass(frozen=True)
class Thumbnail:
    path: str
    label: str
    data_uri: str

    @property
    def alt(self) -> str:
        return f"{self.label}: {self.path}"


@dataclass(frozen=True)
class Mistake:
    thumbnail: Thumbnail
    predicted: str
    probability: float
    """Predicted probability of the wrong class, 0..1."""

    @property
    def alt(self) -> str:
        return f"{self.thumbnail.path}: {self.thumbnail.label}, predicted {self.predicted}"


@dataclass(frozen=True)
class Suspect:
    thumbnail: Thumbnail
    suggested_label: str
    """Empty if no label is suggested."""
    score: float
    words: str

    @property
    def alt(self) -> str:
        return f"{self.thumbnail.alt}, {self.words}"


@dataclass(frozen=True)
class DuplicatePair:
    thumbnail: Thumbnail
    """Both images, side by side."""
    kind: Literal["exact", "near", "alike"]
    similarity: float
    labels: tuple[str, str]
    splits: tuple[str, str]

    @property
    def alt(self) -> str:
        return f"side by side: {self.thumbnail.path}"


def sample_thumbnails(
    data_dir: Path, manifest: pd.DataFrame, classes: list[str], num_per_class: int, background: str = WHITE
) -> dict[str, list[Thumbnail]]:
    """First training samples of each class by sample_id: a random choice that is the same in every run.

    Args:
        background: colour that transparent parts are composited onto, here and in the functions below.
    Raises:
        ContentChangedError: a file has changed since ingest.
    """
    train = usable_samples(manifest, "train").sort_values("sample_id")
    first = train.groupby("label").head(num_per_class).to_dict("records")
    return {
        label: [
            thumbnail(data_dir, row["path"], row["sample_id"], label, background)
            for row in first
            if row["label"] == label
        ]
        for label in classes
    }


def confident_mistakes(
    data_dir: Path, predictions: pd.DataFrame, num_mistakes: int, background: str = WHITE
) -> list[Mistake]:
    """Most confident wrong predictions of one seed, most confident first; those without a class are excluded.

    Args:
        predictions: columns sample_id, path, label, predicted, and one `probability_` column per class.
    Raises:
        ContentChangedError: a file has changed since ingest.
    """
    probabilities = predictions.filter(regex="^probability_").max(axis=1)
    is_wrong = (predictions["predicted"] != predictions["label"]) & (predictions["predicted"] != "")
    wrong = predictions.assign(probability=probabilities)[is_wrong]
    most_confident = wrong.sort_values(["probability", "sample_id"], ascending=[False, True]).head(num_mistakes)
    return [
        Mistake(
            thumbnail(data_dir, row["path"], row["sample_id"], row["label"], background),
            predicted=row["predicted"],
            probability=row["probability"],
        )
        for row in most_confident.to_dict("records")
    ]


def first_suspects(
    data_dir: Path, suspects: pd.DataFrame, num_per_list: int, background: str = WHITE
) -> dict[str, list[Suspect]]:
    """First entries of each list of suspects, by kind.

    Args:
        suspects: rows of suspects.csv.
    Raises:
        ContentChangedError: a file has changed since ingest.
    """
    first = suspects[suspects["rank"] <= num_per_list].to_dict("records")
    shown: dict[str, list[Suspect]] = {kind: [] for kind in suspects["kind"].unique()}
    for row in first:
        image = thumbnail(data_dir, row["path"], row["sample_id"], row["label"], background)
        shown[row["kind"]].append(Suspect(image, row["suggested_label"], row["score"], row["words"]))
    return shown


def rank_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Rows of duplicates.csv in the order of review: duplicates with conflicting labels first, then the most similar.

    Exact copies with the same label come last: they need no review.
    """
    is_conflict = (pairs["kind"] != "alike") & (pairs["label_a"] != pairs["label_b"])
    ranked = pairs.assign(is_conflict=is_conflict, is_exact=pairs["kind"] == "exact").sort_values(
        ["is_conflict", "is_exact", "similarity", "path_a", "path_b"], ascending=[False, True, False, True, True]
    )
    return ranked[pairs.columns]


def pair_thumbnails(
    data_dir: Path, pairs: pd.DataFrame, manifest: pd.DataFrame, background: str = WHITE
) -> list[DuplicatePair]:
    """Pairs with their images side by side.

    Raises:
        ContentChangedError: a file has changed since ingest.
    """
    ids = manifest.set_index("path")["sample_id"]
    found = []
    for row in pairs.to_dict("records"):
        paths = (row["path_a"], row["path_b"])
        both = Image.new("RGB", (2 * THUMBNAIL_SIDE_PX + PAIR_GAP_PX, THUMBNAIL_SIDE_PX), "white")
        for number, path in enumerate(paths):
            both.paste(_small(data_dir, path, ids[path], background), (number * (THUMBNAIL_SIDE_PX + PAIR_GAP_PX), 0))
        image = Thumbnail(" and ".join(paths), row["label_a"], _data_uri(both))
        labels, splits = (row["label_a"], row["label_b"]), (row["split_a"], row["split_b"])
        found.append(DuplicatePair(image, row["kind"], row["similarity"], labels, splits))
    return found


def thumbnail(data_dir: Path, path: str, sample_id: str, label: str, background: str) -> Thumbnail:
    return Thumbnail(path, label, _data_uri(_small(data_dir, path, sample_id, background)))


def _small(data_dir: Path, path: str, sample_id: str, background: str) -> Image.Image:
    image = Image.fromarray(decode(verified_bytes(data_dir, path, sample_id), background))
    image.thumbnail((THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), Image.Resampling.LANCZOS)
    return image


def _data_uri(image: Image.Image) -> str:
    target = io.BytesIO()
    image.save(target, format="JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(target.getvalue()).decode()
