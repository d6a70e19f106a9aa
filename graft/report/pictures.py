"""Small pictures for the page, as data URIs."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from graft.data.manifest import usable_samples, verified_bytes
from graft.data.reading import decode

THUMBNAIL_SIDE_PX = 160
JPEG_QUALITY = 82


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


def sample_thumbnails(
    data_dir: Path, manifest: pd.DataFrame, classes: list[str], num_per_class: int
) -> dict[str, list[Thumbnail]]:
    """class -> its first training samples by sample_id: a choice that is random, and the same in every run.

    Raises:
        ContentChangedError: a file is not the one that ingest saw.
    """
    train = usable_samples(manifest, "train").sort_values("sample_id")
    first = train.groupby("label").head(num_per_class).to_dict("records")
    return {
        label: [thumbnail(data_dir, row["path"], row["sample_id"], label) for row in first if row["label"] == label]
        for label in classes
    }


def confident_mistakes(data_dir: Path, predictions: pd.DataFrame, num_mistakes: int) -> list[Mistake]:
    """The wrong answers of one seed that the model was surest of, surest first.

    Args:
        predictions: columns sample_id, path, label, predicted and a `probability_` column a class.
    Raises:
        ContentChangedError: a file is not the one that ingest saw.
    """
    probabilities = predictions.filter(regex="^probability_").max(axis=1)
    wrong = predictions.assign(probability=probabilities)[predictions["predicted"] != predictions["label"]]
    surest = wrong.sort_values(["probability", "sample_id"], ascending=[False, True]).head(num_mistakes)
    return [
        Mistake(
            thumbnail(data_dir, row["path"], row["sample_id"], row["label"]),
            predicted=row["predicted"],
            probability=row["probability"],
        )
        for row in surest.to_dict("records")
    ]


def first_suspects(data_dir: Path, suspects: pd.DataFrame, num_per_list: int) -> dict[str, list[Suspect]]:
    """kind -> the first of its list.

    Args:
        suspects: what `inspect` wrote to suspects.csv.
    Raises:
        ContentChangedError: a file is not the one that ingest saw.
    """
    first = suspects[suspects["rank"] <= num_per_list].to_dict("records")
    shown: dict[str, list[Suspect]] = {kind: [] for kind in suspects["kind"].unique()}
    for row in first:
        picture = thumbnail(data_dir, row["path"], row["sample_id"], row["label"])
        shown[row["kind"]].append(Suspect(picture, row["suggested_label"], row["score"], row["words"]))
    return shown


def thumbnail(data_dir: Path, path: str, sample_id: str, label: str) -> Thumbnail:
    image = Image.fromarray(decode(verified_bytes(data_dir, path, sample_id)))
    image.thumbnail((THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    image.save(target, format="JPEG", quality=JPEG_QUALITY)
    return Thumbnail(path, label, "data:image/jpeg;base64," + base64.b64encode(target.getvalue()).decode())
