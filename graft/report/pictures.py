"""Small pictures for the page, as data URIs."""

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
    picture: Thumbnail
    predicted: str
    probability: float
    """What the model gave the wrong class, 0..1."""

    @property
    def alt(self) -> str:
        return f"{self.picture.path}: {self.picture.label}, taken for {self.predicted}"


@dataclass(frozen=True)
class Suspect:
    picture: Thumbnail
    suggested_label: str
    """Empty where nothing is suggested."""
    score: float
    words: str

    @property
    def alt(self) -> str:
        return f"{self.picture.alt}, {self.words}"


@dataclass(frozen=True)
class DuplicatePair:
    picture: Thumbnail
    """Both, side by side."""
    kind: Literal["exact", "near", "alike"]
    similarity: float
    labels: tuple[str, str]
    splits: tuple[str, str]

    @property
    def alt(self) -> str:
        return f"side by side: {self.picture.path}"


def sample_thumbnails(
    data_dir: Path, manifest: pd.DataFrame, classes: list[str], num_per_class: int, background: str = WHITE
) -> dict[str, list[Thumbnail]]:
    """class -> its first training samples by sample_id: a choice that is random, and the same in every run.

    Args:
        background: that transparent parts are laid on, here and in the functions below.
    Raises:
        ContentChangedError: a file is not the one that ingest saw.
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
    """The wrong answers of one seed that the model was surest of, surest first; without those that name no class.

    Args:
        predictions: columns sample_id, path, label, predicted and a `probability_` column a class.
    Raises:
        ContentChangedError: a file is not the one that ingest saw.
    """
    probabilities = predictions.filter(regex="^probability_").max(axis=1)
    is_wrong = (predictions["predicted"] != predictions["label"]) & (predictions["predicted"] != "")
    wrong = predictions.assign(probability=probabilities)[is_wrong]
    surest = wrong.sort_values(["probability", "sample_id"], ascending=[False, True]).head(num_mistakes)
    return [
        Mistake(
            thumbnail(data_dir, row["path"], row["sample_id"], row["label"], background),
            predicted=row["predicted"],
            probability=row["probability"],
        )
        for row in surest.to_dict("records")
    ]


def first_suspects(
    data_dir: Path, suspects: pd.DataFrame, num_per_list: int, background: str = WHITE
) -> dict[str, list[Suspect]]:
    """kind -> the first of its list.

    Args:
        suspects: what `inspect` wrote to suspects.csv.
    Raises:
        ContentChangedError: a file is not the one that ingest saw.
    """
    first = suspects[suspects["rank"] <= num_per_list].to_dict("records")
    shown: dict[str, list[Suspect]] = {kind: [] for kind in suspects["kind"].unique()}
    for row in first:
        picture = thumbnail(data_dir, row["path"], row["sample_id"], row["label"], background)
        shown[row["kind"]].append(Suspect(picture, row["suggested_label"], row["score"], row["words"]))
    return shown


def rank_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Rows of duplicates.csv as one would look at them: duplicates with conflicting labels first, then the most alike.

    Exact copies with one label come last: there is nothing to see.
    """
    is_conflict = (pairs["kind"] != "alike") & (pairs["label_a"] != pairs["label_b"])
    ranked = pairs.assign(is_conflict=is_conflict, is_exact=pairs["kind"] == "exact").sort_values(
        ["is_conflict", "is_exact", "similarity", "path_a", "path_b"], ascending=[False, True, False, True, True]
    )
    return ranked[pairs.columns]


def pair_pictures(
    data_dir: Path, pairs: pd.DataFrame, manifest: pd.DataFrame, background: str = WHITE
) -> list[DuplicatePair]:
    """
    Raises:
        ContentChangedError: a file is not the one that ingest saw.
    """
    ids = manifest.set_index("path")["sample_id"]
    found = []
    for row in pairs.to_dict("records"):
        paths = (row["path_a"], row["path_b"])
        both = Image.new("RGB", (2 * THUMBNAIL_SIDE_PX + PAIR_GAP_PX, THUMBNAIL_SIDE_PX), "white")
        for number, path in enumerate(paths):
            both.paste(_small(data_dir, path, ids[path], background), (number * (THUMBNAIL_SIDE_PX + PAIR_GAP_PX), 0))
        picture = Thumbnail(" and ".join(paths), row["label_a"], _data_uri(both))
        labels, splits = (row["label_a"], row["label_b"]), (row["split_a"], row["split_b"])
        found.append(DuplicatePair(picture, row["kind"], row["similarity"], labels, splits))
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
