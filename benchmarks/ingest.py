"""Speed of ingest, compared with a loop that only reads and hashes: `python -m benchmarks.ingest [speed|memory]`.

Measured 2026-11-22, 2 cores of an AMD EPYC (AVX-512-BF16), shared with others; 2,624 cells, the original PNG files (34
KB) and saved as JPEG 90 (13 KB), warm page cache, best of 3. "Times" is the time over that of the plain loop in the
same run, on one core.

                                PNG                        JPEG
  reading and hashing alone     25,651 files/s             53,066 files/s
  headers, exact copies         6,609 files/s, 3.9 times   8,506 files/s, 6.2 times
  after 1 % changed             0.16 s                     0.14 s
  pixels and near duplicates    146 files/s, 176 times     166 files/s, 320 times
  after 1 % changed             1.5 s, 12 times as fast    1.0 s, 16 times as fast

Decoding a cell takes 0.9 ms of a core where reading and hashing it takes 0.04; comparing the pairs that look alike, as
these cells all do, takes two thirds of the rest.

  memory, exact copies:    10,000 rows   2 s, again 1 s, peak 198 MB, each worker 88 MB
                        1,000,000 rows 155 s, again 35 s, peak 234 MB, each worker 95 MB
"""

import argparse
import hashlib
import io
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF

from PIL import Image

from graft.data.build import IngestRules, build_manifest
from graft.data.index import SETTLED_NS
from graft.data.stratify import SplitMemory
from graft.modalities.image.modality import ImageModality
from infra.fetch_example import fetch_example

NUM_RUNS = 3
CHANGED_FRACTION = 0.01
SIMILARITY = 0.96
MEMORY_ROWS = [10_000, 1_000_000]


def seconds(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def read_and_hash(folder: Path) -> int:
    paths = [entry.path for entry in os.scandir(folder)]
    for path in paths:
        with open(path, "rb") as file:
            hashlib.sha256(file.read()).hexdigest()
    return len(paths)


def speed(folder: Path) -> None:
    """Prints the speed on ELPV (grey PNG, 300 px), and on the same cells as JPEG."""
    fetch_example("elpv", folder / "png")
    (folder / "jpeg" / "images").mkdir(parents=True)
    for path in (folder / "png" / "images").iterdir():
        Image.open(path).save(folder / "jpeg" / "images" / f"{path.stem}.jpg", quality=90)
    shutil.copy(folder / "png" / "labels.csv", folder / "jpeg" / "labels.csv")
    labels = (folder / "jpeg" / "labels.csv").read_text()
    (folder / "jpeg" / "labels.csv").write_text(labels.replace(".png", ".jpg"))
    for kind in ("png", "jpeg"):
        images = folder / kind / "images"
        plain_s = min(seconds(lambda images=images: read_and_hash(images)) for _ in range(NUM_RUNS))
        num_files = len(list(images.iterdir()))
        print(f"{kind}: {num_files} files; reading and hashing alone {num_files / plain_s:,.0f} files/s")
        for name, threshold in (("headers", None), ("pixels and near duplicates", SIMILARITY)):
            first_s = min(seconds(lambda: ingest(folder, kind, threshold, forget=True)) for _ in range(NUM_RUNS))  # noqa: B023
            _change(images)
            again_s = seconds(lambda: ingest(folder, kind, threshold))  # noqa: B023
            print(
                f"  {name}: {num_files / first_s:,.0f} files/s, {first_s / plain_s:.1f} times the plain loop's time; "
                f"after {CHANGED_FRACTION:.0%} changed {again_s:.2f} s, {first_s / again_s:.0f} times as fast"
            )


def ingest(folder: Path, kind: str, near_duplicate_similarity: float | None, *, forget: bool = False) -> None:
    index = folder / f"{kind}.sqlite"
    if forget:
        index.unlink(missing_ok=True)
    (folder / "out").mkdir(exist_ok=True)
    rules = IngestRules("graft", 0.25, 0.1, [], near_duplicate_similarity)
    build_manifest(folder / kind, folder / "out", index, ImageModality(), rules, SplitMemory(by_key={}))


def _change(images: Path) -> None:
    """Reduces the brightness of every hundredth image by a tenth, in place."""
    for path in sorted(images.iterdir())[:: round(1 / CHANGED_FRACTION)]:
        with Image.open(path) as image:
            dimmed = image.point(lambda level: level * 0.9)
        dimmed.save(path)
    time.sleep(SETTLED_NS / 1e9)


def memory(folder: Path) -> None:
    """Prints the peak memory of an ingest of many small files with different bytes, without the search for look-alikes.

    Memory of that search at a million rows: benchmarks/near_duplicates.py.
    """
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((32, 32)).save(buffer, "PNG")
    written = 0
    for num_rows in MEMORY_ROWS:
        for number in range(written, num_rows):
            path = folder / "data" / f"class{number % 10}" / f"{number // 10 % 1000:03}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(buffer.getvalue() + number.to_bytes(4))
        written = num_rows
        output = subprocess.check_output([sys.executable, "-m", "benchmarks.ingest", "child", str(folder)], text=True)
        print(f"{num_rows:>9,} rows: {output.splitlines()[-1]}", flush=True)


def child(folder: Path) -> None:
    first_s = seconds(lambda: ingest(folder, "data", None, forget=True))
    again_s = seconds(lambda: ingest(folder, "data", None))
    own_mb, worker_mb = (resource.getrusage(who).ru_maxrss / 1e3 for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
    print(f"{first_s:.0f} s, again {again_s:.0f} s, peak {own_mb:.0f} MB, each worker {worker_mb:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "memory", "child"], nargs="?", default="speed")
    parser.add_argument("folder", type=Path, nargs="?")
    arguments = parser.parse_args()
    if arguments.what == "child":
        child(arguments.folder)
        return
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        (speed if arguments.what == "speed" else memory)(folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
