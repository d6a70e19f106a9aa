"""Emoji by category, in the drawings of two vendors: colour images of 64 px on a white ground, in seven classes.

Source: the npm packages emoji-datasource-google and -twitter, which `npm pack` downloads and nothing installs.
Licences: packages MIT, Noto Emoji (Google) Apache-2.0, Twemoji (Twitter) CC BY 4.0; fetched for the benchmark, not
redistributed.
"""

import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from graft.core.errors import DownloadError

VERSION = "16.0.0"
SHA256 = {
    "google": "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    "twitter": "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
}
EXCLUDED = {"Component", "Flags", "Symbols"}
"""Categories that hardly look like drawings of something."""
PERSONS = {"1F468", "1F469", "1F9D1", "2640", "2642", "200D", "FE0F"}
"""Code points in which the emoji of a man, a woman and a person differ, and those that join them to the rest."""


def read_emoji(vendor: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images [N, 64, 64, 3] uint8, classes [N] 0..6, and groups [N]: one per activity, whoever does it.

    Both vendors have the same emoji in the same order.
    Raises:
        DownloadError: npm could not download the package, or it is not the pinned one.
    """
    with tarfile.open(fileobj=io.BytesIO(_package(vendor))) as archive:
        listed = json.load(_member(archive, "package/emoji.json"))
        emoji = sorted(
            (entry for entry in listed if entry["category"] not in EXCLUDED
             and all(entry[f"has_img_{name}"] for name in SHA256)),
            key=lambda entry: entry["unified"],
        )  # fmt: skip
        images = [_on_white(_member(archive, f"package/img/{vendor}/64/{entry['image']}")) for entry in emoji]
    _, classes_N = np.unique([entry["category"] for entry in emoji], return_inverse=True)
    groups = ["-".join(point for point in entry["unified"].split("-") if point not in PERSONS) for entry in emoji]
    groups = [group or entry["unified"] for group, entry in zip(groups, emoji, strict=True)]
    return np.stack(images), classes_N, np.array(groups)


def _member(archive: tarfile.TarFile, name: str) -> io.BytesIO:
    content = archive.extractfile(name)
    assert content is not None
    return io.BytesIO(content.read())


def _on_white(png: io.BytesIO) -> np.ndarray:
    drawing = Image.open(png).convert("RGBA")
    ground = Image.new("RGBA", drawing.size, "white")
    return np.asarray(Image.alpha_composite(ground, drawing).convert("RGB").resize((64, 64)))


def _package(vendor: str) -> bytes:
    requirement = f"emoji-datasource-{vendor}@{VERSION}"
    with tempfile.TemporaryDirectory() as baseline:
        done = subprocess.run(["npm", "pack", requirement], cwd=baseline, capture_output=True, text=True)
        if done.returncode != 0:
            raise DownloadError(f"the emoji come as an npm package: npm pack {requirement} said {done.stderr}")
        content = next(Path(baseline).glob("*.tgz")).read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256[vendor]:
        raise DownloadError(f"{requirement} is not the known one.")
    return content
