"""Images of the report."""

import base64
import io
from pathlib import Path

import pandas as pd
from pictures import build, folder_of_classes
from PIL import Image

from graft.report.images import pair_thumbnails, rank_pairs


def test_pairs_with_conflicting_labels_come_first_and_plain_copies_last() -> None:
    pairs = pd.DataFrame(
        [
            ("a", "b", "cat", "cat", "exact", 1.0),
            ("c", "d", "cat", "cat", "alike", 0.95),
            ("e", "f", "cat", "dog", "alike", 0.94),
            ("g", "h", "cat", "cat", "near", 0.97),
            ("i", "j", "cat", "dog", "near", 0.96),
            ("k", "l", "cat", "dog", "exact", 1.0),
        ],
        columns=["path_a", "path_b", "label_a", "label_b", "kind", "similarity"],
    )
    assert rank_pairs(pairs)["path_a"].tolist() == ["i", "k", "g", "c", "e", "a"]


def test_a_pair_is_shown_side_by_side(tmp_path: Path) -> None:
    manifest = build(folder_of_classes(tmp_path / "data", 2))
    pairs = pd.DataFrame(
        [("cat/0.png", "cat/1.png", "cat", "cat", "train", "test", "near", 0.97)],
        columns=["path_a", "path_b", "label_a", "label_b", "split_a", "split_b", "kind", "similarity"],
    )
    (pair,) = pair_thumbnails(tmp_path / "data", pairs, manifest)
    content = base64.b64decode(pair.thumbnail.data_uri.partition(",")[2])
    assert Image.open(io.BytesIO(content)).size == (324, 160)
    assert pair.alt == "side by side: cat/0.png and cat/1.png"
