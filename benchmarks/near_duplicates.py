"""Recall of planted copies, and false pairs of distinct images: `python -m benchmarks.near_duplicates [folder]`.

Prints a table, writes docs/near_duplicates.png, and with `--sheets FOLDER` a image of each pair of originals that is
joined, side by side. `--rows 1000000` times the search for candidates on made-up signatures instead.

Measured 2026-11-22, 2 cores of an AMD EPYC that other programs used too (load 3.4), faiss-cpu 1.15.1: 1,000,000 rows
in 115 s (113 s of CPU) with a peak of 960 MB, 160 MB of it the signatures; 99.98 % of the planted pairs found.
A signature 0.3 to 0.4 ms, a similarity 2 ms (unlike) to 5 ms (alike).
"""

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from graft.data.describe import describe_samples
from graft.data.duplicates import candidate_pairs, clusters
from graft.modalities.image.reading import SUFFIXES, reduced_grey
from graft.modalities.image.signature import image_signature
from graft.modalities.image.similarity import Prepared, prepare, similarity

PROJECT = Path(__file__).parents[1]
DEFAULT_THRESHOLD = 0.96
NUM_COPIED = 300
THRESHOLDS = np.round(np.arange(0.85, 0.996, 0.005), 3)


def saved(image: Image.Image, **options: object) -> Image.Image:
    file = BytesIO()
    image.save(file, **options)
    return Image.open(file).convert(image.mode)


def resized(image: Image.Image, factor: float) -> Image.Image:
    size = round(image.width * factor), round(image.height * factor)
    return image.resize(size, Image.Resampling.LANCZOS)


def cropped(image: Image.Image, percent: int) -> Image.Image:
    """Image with a share of each side cropped."""
    x, y = image.width * percent // 100, image.height * percent // 100
    return image.crop((x, y, image.width - x, image.height - y))


def shifted(image: Image.Image, percent: int) -> Image.Image:
    """Image shifted right and down, with the border repeated into the gap."""
    x, y = image.width * percent // 100, image.height * percent // 100
    pixels = np.pad(np.asarray(image), ((y, 0), (x, 0)), mode="edge")
    return Image.fromarray(pixels[: image.height, : image.width])


Copier = Callable[[Image.Image], Image.Image]
COPIERS: dict[str, Copier] = {
    "JPEG 70": lambda image: saved(image, format="JPEG", quality=70),
    "JPEG 90": lambda image: saved(image, format="JPEG", quality=90),
    "PNG saved again": lambda image: saved(image, format="PNG", compress_level=1),
    "half size": lambda image: resized(image, 0.5),
    "1.5 times the size": lambda image: resized(image, 1.5),
    "brightness x 0.8": lambda image: image.point(lambda level: level * 0.8),
    "brightness x 1.3": lambda image: image.point(lambda level: min(255, level * 1.3)),
    **{f"cropped {n} %": lambda image, n=n: cropped(image, n) for n in (1, 2, 3, 5)},
    **{f"shifted {n} %": lambda image, n=n: shifted(image, n) for n in (1, 2, 3, 5)},
    "turned by 90 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned by 180 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}
UNCROPPED = list(COPIERS)[:7]


def grey(image: Image.Image) -> np.ndarray:
    """Image as ingest reads a file of it."""
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return reduced_grey(file.getvalue())


pool: list[np.ndarray] = []
"""Images under test; worker processes that are forked later read them."""


def signatures() -> tuple[np.ndarray, np.ndarray]:
    found = [image_signature(image) for image in pool]
    return tuple(
        np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(len(pool), -1)
        for parts in ([one.perceptual_hash for one in found], [one.descriptor for one in found])
    )  # type: ignore[return-value]


def _similarities(pairs: np.ndarray) -> np.ndarray:
    @lru_cache(maxsize=512)
    def prepared(number: int) -> Prepared:
        return prepare(pool[number])

    return np.array([similarity(prepared(one), prepared(other)) for one, other in pairs.tolist()])


def verified(pairs: np.ndarray) -> np.ndarray:
    with ProcessPoolExecutor(2) as workers:
        return np.concatenate(list(workers.map(_similarities, np.array_split(pairs, max(2, len(pairs) // 500)))))


def measure(paths: list[Path], num_copied: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], float]:
    """Pairs of originals, their similarities, each kind of copy's similarities to its originals (0: no pair), and the
    share of copies in their original's cluster."""
    opened = [Image.open(path) for path in paths]
    pool[:] = [grey(image) for image in opened]
    num_originals = len(pool)
    hashes, descriptors = signatures()
    pairs = candidate_pairs(hashes, descriptors)
    likeness = verified(pairs)
    copied = np.sort(np.random.default_rng(0).choice(num_originals, min(num_copied, num_originals), replace=False))
    by_kind = {}
    for kind, copier in COPIERS.items():
        by_kind[kind] = _planted(num_originals, copied, [copier], opened)[0]
    _, together = _planted(num_originals, copied, [COPIERS[kind] for kind in UNCROPPED], opened)
    return pairs, likeness, by_kind, together


def _planted(
    num_originals: int, copied: np.ndarray, copiers: list[Copier], opened: list[Image.Image]
) -> tuple[np.ndarray, float]:
    """Similarities of copies to originals, and the share of copies that end in their original's cluster."""
    del pool[num_originals:]
    owners = np.concatenate([np.arange(num_originals), np.tile(copied, len(copiers))])
    pool.extend(grey(copier(opened[number].convert("L"))) for copier in copiers for number in copied)
    pairs = candidate_pairs(*signatures())
    pairs = pairs[owners[pairs[:, 0]] == owners[pairs[:, 1]]]
    likeness = verified(pairs)
    similarity = np.zeros(len(pool))
    to_original = pairs[:, 0] < num_originals
    similarity[pairs[to_original, 1]] = likeness[to_original]
    joined = clusters(len(pool), pairs[likeness >= DEFAULT_THRESHOLD])
    del pool[num_originals:]
    return similarity[num_originals:], float((joined[num_originals:] == owners[num_originals:]).mean())


def joined_fraction(num_originals: int, pairs: np.ndarray, likeness: np.ndarray, threshold: float) -> float:
    return len(np.unique(pairs[likeness >= threshold])) / num_originals


def draw(num_originals: int, pairs: np.ndarray, likeness: np.ndarray, by_kind: dict[str, np.ndarray]) -> None:
    import matplotlib.pyplot as plt

    joined = [100 * joined_fraction(num_originals, pairs, likeness, threshold) for threshold in THRESHOLDS]
    figure, (over_threshold, over_joined) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    lines = {"re-encoded, resized, brightness": UNCROPPED} | {
        kind: [kind] for kind in by_kind if kind.startswith(("cropped", "shifted")) and "1" not in kind
    }
    at_default = list(THRESHOLDS).index(DEFAULT_THRESHOLD)
    for (name, kinds), colour in zip(lines.items(), plt.get_cmap("tab10").colors, strict=False):
        recall = [100 * np.mean([by_kind[kind] >= threshold for kind in kinds]) for threshold in THRESHOLDS]
        for axes, places in ((over_threshold, THRESHOLDS), (over_joined, joined)):
            axes.plot(places, recall, linewidth=1.1, color=colour, label=name)
            axes.plot(places[at_default], recall[at_default], "o", markersize=4, color=colour)
    over_threshold.plot(THRESHOLDS, joined, linewidth=1.1, color="black", linestyle="--")
    over_threshold.axvline(DEFAULT_THRESHOLD, color="0.6", linewidth=0.8, linestyle=":")
    over_threshold.set(xlabel="threshold of similarity", ylabel="copies found, %", ylim=(0, 102))
    over_joined.plot([], [], linewidth=1.1, color="black", linestyle="--", label="originals joined to another")
    over_joined.legend(frameon=False, fontsize=8, loc="center right", bbox_to_anchor=(0.95, 0.35))
    over_joined.axvline(1, color="0.6", linewidth=0.8, linestyle=":")
    over_joined.set_xscale("symlog", linthresh=1)
    over_joined.set_xticks([0, 0.5, 1, 2, 5, 10, 20, 40], ["0", "0.5", "1", "2", "5", "10", "20", "40"])
    over_joined.set(xlabel="originals joined to another, %", xlim=(-0.05, 50))
    for axes in (over_threshold, over_joined):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"Planted copies of solar cells; dots: the default threshold, {DEFAULT_THRESHOLD}", fontsize=10)
    figure.savefig(PROJECT / "docs" / "near_duplicates.png", dpi=130)


def write_sheets(folder: Path, paths: list[Path], pairs: np.ndarray, likeness: np.ndarray, threshold: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for one, other in pairs[likeness >= threshold]:
        images = [ImageOps.contain(Image.open(paths[number]).convert("L"), (600, 600)) for number in (one, other)]
        sheet = Image.new("L", (1210, 600), 255)
        for place, image in enumerate(images):
            sheet.paste(image, (610 * place, 0))
        sheet.save(folder / f"{paths[one].stem}-{paths[other].stem}.png")


def made_up_rows(num_rows: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Hashes and descriptors of images with 48 factors of variation; every second one is a noisy copy of the
    previous."""
    generator = np.random.default_rng(0)
    bases = [generator.normal(size=(48, width)).astype(np.float32) for width in (256, 128)]
    for _ in range(0, num_rows, 20_000):
        factors = np.repeat(generator.normal(size=(10_000, 48)).astype(np.float32), 2, axis=0)
        factors[1::2] += 0.1 * generator.normal(size=(10_000, 48)).astype(np.float32)
        yield np.packbits(factors @ bases[0] > 0, axis=1), (128 + 6 * factors @ bases[1]).clip(0, 255).astype(np.uint8)


def time_candidates(num_rows: int) -> None:
    hashes, descriptors = np.empty((num_rows, 32), np.uint8), np.empty((num_rows, 128), np.uint8)
    for number, rows in enumerate(made_up_rows(num_rows)):
        part = slice(20_000 * number, 20_000 * (number + 1))
        hashes[part], descriptors[part] = rows[0][: num_rows - part.start], rows[1][: num_rows - part.start]
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    pairs = candidate_pairs(hashes, descriptors)
    took_s, took_cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    planted = np.isin(
        np.arange(0, num_rows - 1, 2), pairs[(pairs[:, 0] % 2 == 0) & (pairs[:, 1] - pairs[:, 0] == 1), 0]
    )
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{num_rows:,} rows: {took_s:.0f} s ({took_cpu_s:.0f} s of CPU), "
        f"peak memory of the whole process {peak_mb:.0f} MB, {len(pairs):,} "
        f"candidates, {100 * planted.mean():.2f} % of planted pairs among them"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=PROJECT / "data")
    parser.add_argument("--sheets", type=Path)
    parser.add_argument("--sheets-from", type=float, default=DEFAULT_THRESHOLD)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--copies", type=int, default=NUM_COPIED)
    asked = parser.parse_args()
    if asked.rows:
        time_candidates(asked.rows)
        return
    described = describe_samples(asked.folder, SUFFIXES)
    paths = [asked.folder / path for path in sorted(sample.path for sample in described)]
    started_s = time.perf_counter()
    pairs, likeness, by_kind, together = measure(paths, asked.copies)
    shown = [0.9, 0.94, 0.95, DEFAULT_THRESHOLD, 0.97]
    print(f"{len(paths)} originals, {len(pairs)} candidate pairs; {time.perf_counter() - started_s:.0f} s in total")
    print("| at the threshold | " + " | ".join(map(str, shown)) + " |\n|---|" + "---|" * len(shown))
    for kind, found in by_kind.items():
        print(f"| {kind} | " + " | ".join(f"{100 * np.mean(found >= threshold):.1f}" for threshold in shown) + " |")
    falsely = [f"{100 * joined_fraction(len(paths), pairs, likeness, threshold):.2f}" for threshold in shown]
    print("| originals joined to another | " + " | ".join(falsely) + " |")
    print(f"all of the first seven kinds in one pool, in their original's cluster: {100 * together:.1f} %")
    for one, other, value in sorted(zip(*pairs.T, likeness, strict=True), key=lambda row: -row[2]):
        if value >= DEFAULT_THRESHOLD:
            print(f"{value:.3f} {paths[one].name} {paths[other].name}")
    if asked.sheets:
        write_sheets(asked.sheets, paths, pairs, likeness, asked.sheets_from)
    if asked.folder.resolve() == (PROJECT / "data").resolve() or "elpv" in asked.folder.name:
        draw(len(paths), pairs, likeness, by_kind)


if __name__ == "__main__":
    main()
