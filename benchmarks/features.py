"""Cost and precision of forward passes: `OMP_NUM_THREADS=1 python -m benchmarks.features [source ...]`.

Solar cells of ELPV through each source at its own size, in images per second of CPU time: the median of rounds in which
all variants take turns, each compared with plain PyTorch in the same round. All run with freed memory kept, as every
stage does (graft.core.memory); the speed of plain PyTorch without that is measured in a separate process. `--compile`
adds torch.compile with freezing.

Measured 2026-11-22, one thread of an AMD EPYC (AVX-512-BF16, no AMX) that other programs used too, images per second of
CPU time; plain is PyTorch in float32, NCHW, batches of 32:

    source                     plain   plain, memory kept   chosen   over plain   over plain, memory kept
    efficientnet_lite0          19.0                 71.4    188.7          9.9                       2.6
    mobilenet_v2                23.6                 69.7    194.7          8.3                       2.8
    aerial_resnet18              6.1                 10.5     23.9          3.9                       2.3
    drawings_efficientnet_b0    19.1                    -    131.1          6.9                       2.0
    moderation_resnet50_thin    19.5                    -    107.4          5.5                       2.8
    documents_pplcnet_v3        16.7                    -    151.4          9.0                       2.1

The accuracy of the probe on 400 cells changes by -0.1 to +0.5 points, less than the difference between folds. From
cold, 1,000 cells and the five scores of features of six sources, on both cores and alone: 69 s, 42 of them embedding,
15 the probe.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import StratifiedShuffleSplit
from torch import Tensor, nn

from graft.core.device import forward_batch_size, forward_precision
from graft.core.files import sha256_of_file
from graft.core.memory import keep_freed_memory
from graft.core.params_file import load_params
from graft.data.images import load_images
from graft.hub.catalogue import Source, load_catalogue
from graft.hub.weights import load_backbone
from graft.modalities.image.inputs import Normalise
from graft.selection.features import embed
from graft.selection.folding import folded
from graft.selection.scores import h_score, knn_accuracy, linear_probe, logme, transrate
from infra.fetch_example import fetch_example

PROJECT = Path(__file__).parents[1]
CPU = torch.device("cpu")
NUM_TIMED, NUM_ROUNDS, NUM_COMPARED, NUM_COLD = 64, 3, 400, 1000
PLAIN = "plain: fp32, NCHW, batches of 32"
CHOSEN = "chosen: folded, bf16, channels last, batches of 8"
Variant = Callable[[Tensor], Tensor]


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return f"{model}, {torch.get_num_threads()} thread(s), bf16: {forward_precision(CPU) == torch.bfloat16}"


def some_cells(data_dir: Path, num_samples: int) -> pd.DataFrame:
    """Random cells with the overall share of defective ones."""
    samples = pd.read_csv(data_dir / "labels.csv")
    split = StratifiedShuffleSplit(1, train_size=num_samples, random_state=0)
    samples = samples.iloc[next(split.split(samples, samples["label"]))[0]].reset_index(drop=True)
    return samples.assign(sample_id=[sha256_of_file(data_dir / path) for path in samples["path"]])


def in_batches(network: nn.Module, normalise: Normalise, batch_size: int, precision: torch.dtype) -> Variant:
    def variant(images_NCHW: Tensor) -> Tensor:
        batches = (
            normalise(batch).to(precision, memory_format=torch.channels_last) for batch in images_NCHW.split(batch_size)
        )
        return torch.cat([network(batch).float() for batch in batches])

    return variant


def variants(source: Source, example: Tensor, is_compiling: bool) -> Iterator[tuple[str, Variant]]:
    normalise = Normalise.of(source.preprocessing)
    plain, channels_last = load_backbone(source), load_backbone(source).to(memory_format=torch.channels_last)
    yield PLAIN, lambda images: torch.cat([plain(normalise(batch)) for batch in images.split(32)])
    autocast = in_batches(channels_last, normalise, 32, torch.float32)

    def in_autocast(images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return autocast(images)

    yield "autocast to bf16, channels last, batches of 32", in_autocast
    network = folded(plain, normalise(example)).to(memory_format=torch.channels_last)
    yield "folded, fp32, channels last, batches of 8", in_batches(network, normalise, 8, torch.float32)
    half = folded(plain, normalise(example)).to(torch.bfloat16).to(memory_format=torch.channels_last)
    yield "folded, bf16, channels last, batches of 32", in_batches(half, normalise, 32, torch.bfloat16)
    yield CHOSEN, in_batches(half, normalise, forward_batch_size(CPU), torch.bfloat16)
    if is_compiling:
        compiled = torch.compile(half, options={"freezing": True})
        started_s = time.perf_counter()
        variant = in_batches(compiled, normalise, forward_batch_size(CPU), torch.bfloat16)
        variant(example.repeat(forward_batch_size(CPU), 1, 1, 1)[: forward_batch_size(CPU)])
        print(f"{source.name}: compiled in {time.perf_counter() - started_s:.0f} s", flush=True)
        yield "folded, bf16, compiled and frozen, batches of 8", variant


def rate(variant: Variant, images: Tensor) -> float:
    started_s = time.process_time()
    variant(images)
    return len(images) / (time.process_time() - started_s)


@torch.no_grad()
def plain_rate(source: Source) -> float:
    """Images per second of plain PyTorch, on noise; the speed does not depend on the images."""
    side_px = source.preprocessing.image_size_px
    images = torch.randint(0, 256, (NUM_TIMED, 3, side_px, side_px)).to(torch.uint8)
    _, plain = next(variants(source, images[:1], is_compiling=False))
    return statistics.median([rate(plain, images) for _ in range(1 + NUM_ROUNDS)][1:])


@torch.no_grad()
def compare_speed(source: Source, images: Tensor, is_compiling: bool) -> None:
    """Prints the speed of all variants without the folding, which takes another 0.3 s per thousand images."""
    variants_by_name = dict(variants(source, images[:1], is_compiling))
    outputs = {name: variant(images) for name, variant in variants_by_name.items()}
    rates: dict[str, list[float]] = {name: [] for name in variants_by_name}
    for _ in range(NUM_ROUNDS):
        for name, variant in variants_by_name.items():
            rates[name].append(rate(variant, images))
    command = [sys.executable, "-m", "benchmarks.features", "--plain", source.name]
    as_it_comes = float(subprocess.check_output(command, text=True, cwd=PROJECT))
    print(f"{source.name:26} {PLAIN + ', memory given back':50} {as_it_comes:6.1f} images/s")
    for name, measured in rates.items():
        ratio = statistics.median(mine / plain for mine, plain in zip(measured, rates[PLAIN], strict=True))
        error = (outputs[name] - outputs[PLAIN]).norm() / outputs[PLAIN].norm()
        median = statistics.median(measured)
        print(
            f"{source.name:26} {name:50} {median:6.1f} images/s, {ratio:5.2f} x plain, {median / as_it_comes:5.2f} x "
            f"plain with memory given back, error {error:.1e}",
            flush=True,
        )


@torch.no_grad()
def compare_probes(source: Source, images: Tensor, labels_N: np.ndarray, settings: dict[str, float]) -> None:
    """Prints the probe's accuracy with fp32 features (folded, which changes the sixth digit) and the chosen ones."""
    backbone = load_backbone(source)
    normalise = Normalise.of(source.preprocessing)
    network = folded(backbone, normalise(images[:1])).to(memory_format=torch.channels_last)
    exact = in_batches(network, normalise, 8, torch.float32)(images)
    chosen = embed(source, backbone, images, CPU)
    accuracies = [linear_probe(rows.numpy(), labels_N, **settings) for rows in (exact, chosen)]  # type: ignore[arg-type]
    gain = accuracies[1] - accuracies[0]
    alone = torch.cat([embed(source, backbone, image[None], CPU) for image in images[:3]])
    print(
        f"{source.name:26} {len(images)} cells, probe: fp32 {accuracies[0].mean():.1%}, chosen "
        f"{accuracies[1].mean():.1%}; fold by fold {100 * gain.mean():+.2f} points (deviation {100 * gain.std():.2f}); "
        f"alone as in a batch, to the bit: {torch.equal(alone, chosen[:3])}",
        flush=True,
    )


def time_all_from_cold(sources: list[Source], data_dir: Path, settings: dict[str, float]) -> None:
    """Prints the time of decoding, embedding and the scores of features. LEEP and NCE need a head."""
    samples = some_cells(data_dir, NUM_COLD)
    labels_N = (samples["label"] == "defective").to_numpy().astype(int)
    spent_s: dict[str, float] = {}

    @contextmanager
    def timed(what: str) -> Iterator[None]:
        started_s = time.perf_counter()
        yield
        spent_s[what] = spent_s.get(what, 0) + time.perf_counter() - started_s

    decoded: dict[int, Tensor] = {}
    for source in sources:
        side_px = source.preprocessing.image_size_px
        if side_px not in decoded:
            with timed("decoding"):
                decoded[side_px] = load_images(data_dir, samples, side_px)
        images = decoded[side_px]
        with timed("loading weights"):
            backbone = load_backbone(source)
        with timed("embedding"):
            features_ND = embed(source, backbone, images, CPU).numpy()
        for score in (
            logme,
            partial(h_score, shrinkage=True),
            transrate,
            knn_accuracy,
            partial(linear_probe, **settings),
        ):
            with timed(getattr(score, "func", score).__name__):
                score(features_ND, labels_N)
    print(
        f"from cold, {len(sources)} sources, {NUM_COLD} cells: {sum(spent_s.values()):.0f} s: "
        + ", ".join(f"{what} {seconds:.1f}" for what, seconds in spent_s.items())
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--plain", metavar="SOURCE", help="only the rate of plain PyTorch, with memory given back")
    arguments = parser.parse_args()
    catalogue = load_catalogue(PROJECT / "sources.yaml")
    if arguments.plain:
        print(plain_rate(catalogue[arguments.plain]))
        return
    keep_freed_memory()
    sources = [catalogue[name] for name in arguments.sources or catalogue]
    select = load_params(PROJECT / "params.yaml").select
    settings = select.model_dump(include={"num_folds", "num_repeats", "regularisation_strength", "seed"})
    print(f"{processor()}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "elpv"
        fetch_example("elpv", data_dir)
        samples = some_cells(data_dir, NUM_COMPARED)
        labels_N = (samples["label"] == "defective").to_numpy().astype(int)
        for source in sources:
            images = load_images(data_dir, samples, source.preprocessing.image_size_px)
            compare_speed(source, images[:NUM_TIMED], arguments.compile)
            compare_probes(source, images, labels_N, settings)
        time_all_from_cold(sources, data_dir, settings)


if __name__ == "__main__":
    main()
