"""The store of features and decoded pictures: what is new is computed, what is damaged is found, what changed is
refused."""

import errno
import hashlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from safetensors.torch import save as serialise_tensors
from torch import Tensor, nn

from graft.core.device import forward_precision
from graft.core.errors import ContentChangedError
from graft.data import seals, store
from graft.data.images import load_images
from graft.data.loading import row_folder, verify_samples
from graft.hub.catalogue import Source, load_catalogue
from graft.modalities.image import inputs
from graft.modalities.image.inputs import Normalise
from graft.modalities.image.modality import ImageModality
from graft.networks.backbones import build_backbone
from graft.selection import features
from graft.selection.features import cached_features, embed, feature_folder
from graft.selection.folding import folded
from graft.selection.subsample import subsample

CPU = torch.device("cpu")
CATALOGUE = load_catalogue(Path(__file__).parents[2] / "sources.yaml")
SOURCE = CATALOGUE["mobilenet_v2"]
BACKBONE = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
OTHER_BACKBONE = nn.Sequential(nn.MaxPool2d(8), nn.Flatten())
PICTURES = torch.randint(0, 256, (101, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
IDS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(len(PICTURES))]


class Loader:
    """Remembers which pictures were asked for."""

    def __init__(self) -> None:
        self.loaded: list[int] = []

    def __call__(self, positions: list[int]) -> Tensor:
        self.loaded += positions
        return PICTURES[positions]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(features, "SHARD_SIZE", 40)
    return feature_folder(SOURCE, 16, CPU)


def _features(num_samples: int, load: Loader, source: Source = SOURCE) -> Tensor:
    return cached_features(source, BACKBONE, 16, IDS[:num_samples], load, CPU)


def test_a_second_run_loads_no_picture_and_gives_the_same_features() -> None:
    first, second = Loader(), Loader()
    assert torch.equal(_features(100, first), _features(100, second))
    assert first.loaded == list(range(100))
    assert second.loaded == []


def test_one_new_sample_in_a_hundred_costs_one_picture_and_rewrites_nothing(folder: Path) -> None:
    old = _features(100, Loader())
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    load = Loader()
    new = _features(101, load)
    assert load.loaded == [100]
    assert torch.equal(new[:100], old)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir() if path in before} == before


def test_features_follow_the_order_asked_for() -> None:
    in_order = _features(100, Loader())
    load = Loader()
    turned = cached_features(SOURCE, BACKBONE, 16, IDS[:100][::-1], load, CPU)
    assert torch.equal(turned, in_order.flip(0))
    assert load.loaded == []


def test_a_flipped_byte_in_the_cache_is_named_and_costs_its_own_shard_only(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = _features(100, Loader())
    victim = sorted(folder.iterdir())[1]
    content = bytearray(victim.read_bytes())
    content[-9] ^= 1
    victim.write_bytes(content)
    load = Loader()
    assert torch.equal(_features(100, load), whole)
    assert len(load.loaded) in {20, 40}
    said = [line for line in capsys.readouterr().out.splitlines() if "damaged" in line]
    assert len(said) == 1
    assert str(victim) in said[0]
    again = Loader()
    _features(100, again)
    assert again.loaded == []


def _forged(shard: Path, folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """A shard as somebody else can write one who knows the code: changed, and named after its own bytes."""
    tensors = load_file(shard)
    change(tensors)
    content = serialise_tensors(tensors)
    (folder / f"{hashlib.sha256(content).hexdigest()}.safetensors").write_bytes(content)
    shard.unlink()


@pytest.mark.parametrize(
    "change", [lambda held: held["rows"].add_(1), lambda held: held.update(sample_ids=held["sample_ids"].flip(0))]
)
def test_a_shard_that_somebody_else_wrote_is_computed_again(
    change: Callable[[dict[str, Tensor]], object], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = _features(10, Loader())
    _forged(next(folder.iterdir()), folder, change)
    load = Loader()
    assert torch.equal(_features(10, load), whole)
    assert load.loaded == list(range(10))
    assert capsys.readouterr().out.count("not yours") == 1


def test_a_shard_of_another_source_is_computed_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = _features(10, Loader())
    other = SOURCE.model_copy(update={"weights": SOURCE.weights.model_copy(update={"sha256": "0" * 64})})
    expected = cached_features(other, OTHER_BACKBONE, 16, IDS[:10], Loader(), CPU)
    assert not torch.equal(expected, whole)
    for folder_of_other in folder.parent.glob("*"):
        if folder_of_other != folder:
            shutil.rmtree(folder_of_other)
            shutil.copytree(folder, folder_of_other)
    load = Loader()
    assert torch.equal(cached_features(other, OTHER_BACKBONE, 16, IDS[:10], load, CPU), expected)
    assert load.loaded == list(range(10))
    assert capsys.readouterr().out.count("made from something else") == 1


def test_decoded_pictures_that_somebody_else_wrote_are_decoded_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = _pictures_on_disk(tmp_path, 3)
    whole = load_images(tmp_path, samples, 16)
    folder = row_folder(ImageModality(), 16)
    _forged(next(folder.iterdir()), folder, lambda held: held["rows"].zero_())
    assert torch.equal(load_images(tmp_path, samples, 16), whole)
    assert capsys.readouterr().out.count("not yours") == 1


def test_another_decoder_or_background_shares_no_features(monkeypatch: pytest.MonkeyPatch) -> None:
    _features(5, Loader())
    load = Loader()
    cached_features(SOURCE, BACKBONE, 16, IDS[:5], load, CPU, background="#000000")
    assert load.loaded == list(range(5))
    monkeypatch.setattr("PIL.__version__", "0")
    load = Loader()
    _features(5, load)
    assert load.loaded == list(range(5))


@pytest.mark.parametrize("mode", [0o644, 0o660])
def test_a_key_that_others_may_read_is_replaced_and_what_it_sealed_is_computed_again(
    mode: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _features(5, Loader())
    (key,) = [path for path in (tmp_path / "cache" / "keys").iterdir() if not path.name.startswith(".")]
    assert key.stat().st_mode & 0o777 == 0o600
    seals._own_key.cache_clear()
    again = Loader()
    _features(5, again)
    assert again.loaded == []
    key.chmod(mode)
    seals._own_key.cache_clear()
    load = Loader()
    _features(5, load)
    assert load.loaded == list(range(5))
    assert capsys.readouterr().out.count(f"others may know the key {key}") == 1


def test_a_cache_in_which_no_key_can_be_kept_is_said_and_costs_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").mkdir(exist_ok=True)
    shutil.rmtree(tmp_path / "cache" / "keys", ignore_errors=True)
    (tmp_path / "cache" / "keys").write_text("no folder")
    seals._own_key.cache_clear()
    assert len(_features(5, Loader())) == 5
    assert capsys.readouterr().out.count("no key can be kept") == 1


def test_those_who_share_a_key_share_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_CACHE_KEY", "ours")
    _features(5, Loader())
    seals._own_key.cache_clear()
    load = Loader()
    _features(5, load)
    assert load.loaded == []
    monkeypatch.setenv("GRAFT_CACHE_KEY", "theirs")
    _features(5, load)
    assert load.loaded == list(range(5))


def test_a_cut_off_shard_and_a_half_written_one_do_no_harm(folder: Path) -> None:
    whole = _features(100, Loader())
    victim = sorted(folder.iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:5])
    (folder / f".{'0' * 64}.safetensors.killed.part").write_bytes(b"half of a sh")
    assert torch.equal(_features(100, Loader()), whole)


def test_runs_side_by_side_lose_nothing(folder: Path) -> None:
    with ThreadPoolExecutor(4) as runs:
        results = list(runs.map(lambda num_samples: _features(num_samples, Loader()), [30, 60, 90, 101]))
    assert all(torch.equal(result, results[-1][: len(result)]) for result in results)
    load = Loader()
    _features(101, load)
    assert load.loaded == []
    assert all(path.suffix == ".safetensors" for path in folder.iterdir())


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("preprocessing", {"mean": [0.1, 0.2, 0.3]}),
        ("preprocessing", {"channel_order": "bgr"}),
        ("weights", {"sha256": "0" * 64}),
    ],
)
def test_another_way_from_pixels_to_features_shares_nothing(part: str, change: dict[str, object]) -> None:
    _features(10, Loader())
    load = Loader()
    other = getattr(SOURCE, part).model_copy(update=change)
    _features(10, load, SOURCE.model_copy(update={part: other}))
    assert load.loaded == list(range(10))


@pytest.mark.parametrize("architecture", sorted({source.architecture for source in CATALOGUE.values()}))
def test_folding_changes_no_feature_and_leaves_the_network_alone(architecture: str) -> None:
    network = build_backbone(architecture, seed=0)
    pictures = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.train()(pictures)  # statistics that are not 0 and 1
        expected = network.eval()(pictures)
        faster = folded(network, pictures[:1])
        assert torch.allclose(faster(pictures), expected, rtol=1e-3, atol=1e-4)
        assert torch.equal(network(pictures), expected)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in faster.modules())


class Shortcut(nn.Module):
    """What the convolution gives is used twice: normalised and as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, pictures: Tensor) -> Tensor:
        output = self.convolution(pictures)
        return output + self.norm(output)


def test_a_convolution_that_is_not_only_normalised_is_not_folded() -> None:
    network = Shortcut()
    pictures = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network(pictures)
        assert torch.equal(folded(network, pictures)(pictures), network.eval()(pictures))


@pytest.mark.parametrize("architecture", ["torchvision/mobilenet_v2", "torchvision/efficientnet_b0"])
def test_features_are_those_of_the_plain_network_within_the_precision(architecture: str) -> None:
    network = build_backbone(architecture, seed=0)
    pictures = torch.randint(0, 256, (11, 3, 64, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    normalise = Normalise(SOURCE.preprocessing.mean, SOURCE.preprocessing.std)
    with torch.no_grad():
        network.train()(normalise(pictures))
        expected = network.eval()(normalise(pictures))
    found = embed(SOURCE, network, pictures, CPU)
    assert found.dtype == torch.float32
    assert (found - expected).norm() < 0.1 * expected.norm()
    assert torch.equal(embed(SOURCE, network, pictures, CPU), found)
    if forward_precision(CPU) == torch.bfloat16:
        alone = torch.cat([embed(SOURCE, network, picture[None], CPU) for picture in pictures])
        assert torch.equal(alone, found)


def test_a_flipped_byte_in_a_picture_is_caught_though_its_features_are_cached(tmp_path: Path) -> None:
    samples = _pictures_on_disk(tmp_path, 5)
    cached_features(
        SOURCE, BACKBONE, 16, list(samples["sample_id"]), lambda _positions: load_images(tmp_path, samples, 16), CPU
    )
    verify_samples(tmp_path, samples)
    content = bytearray((tmp_path / "3.png").read_bytes())
    content[-20] ^= 1
    (tmp_path / "3.png").write_bytes(content)
    with pytest.raises(ContentChangedError, match=r"3\.png"):
        verify_samples(tmp_path, samples)


def test_a_picture_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = _pictures_on_disk(tmp_path, 5)
    first = load_images(tmp_path, samples.iloc[:4], 16)
    decoded: list[int] = []
    decode = inputs.decode
    monkeypatch.setattr(inputs, "decode", lambda *given: (decoded.append(1), decode(*given))[1])
    assert torch.equal(load_images(tmp_path, samples.iloc[[3, 0, 2, 1]], 16), first[[3, 0, 2, 1]])
    assert not decoded
    assert torch.equal(load_images(tmp_path, samples, 16)[:4], first)
    assert len(decoded) == 1
    load_images(tmp_path, samples, 12)
    load_images(tmp_path, samples, 16, torch.float32)  # unrounded pixels are not kept
    assert len(decoded) == 11


def test_two_samples_of_one_content_both_get_their_picture(tmp_path: Path) -> None:
    samples = _pictures_on_disk(tmp_path, 2)
    twice = samples.iloc[[0, 1, 0]]
    fresh = load_images(tmp_path, twice, 16)
    assert torch.equal(load_images(tmp_path, twice, 16), fresh)
    assert torch.equal(fresh[0], fresh[2])
    assert not torch.equal(fresh[0], fresh[1])


def test_a_changed_file_is_refused_though_its_picture_is_kept(tmp_path: Path) -> None:
    samples = _pictures_on_disk(tmp_path, 3)
    load_images(tmp_path, samples, 16)
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes())
    with pytest.raises(ContentChangedError, match=r"1\.png"):
        load_images(tmp_path, samples, 16)


def test_a_full_disk_costs_the_cache_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    samples = _pictures_on_disk(tmp_path, 3)
    with monkeypatch.context() as patch:
        patch.setattr(store, "written_atomically", refuse)
        fresh = load_images(tmp_path, samples, 16)
    assert "No space left on device" in capsys.readouterr().out
    assert torch.equal(load_images(tmp_path, samples, 16), fresh)


def test_a_subsample_stays_put_as_data_grow_and_holds_every_class() -> None:
    labels = ["common"] * 85 + ["rare"] * 16
    samples = pd.DataFrame({"sample_id": IDS, "path": [f"{number}.png" for number in range(101)], "label": labels})
    chosen = subsample(samples, 20, min_per_class=5)
    assert chosen["label"].value_counts().to_dict() == {"common": 17, "rare": 5}
    fewer = subsample(samples.drop(index=list(range(0, 101, 10))), 18, min_per_class=5)
    kept = set(chosen["sample_id"]) - set(samples["sample_id"][::10])
    assert len(kept - set(fewer["sample_id"])) <= 1


def _pictures_on_disk(folder: Path, count: int) -> pd.DataFrame:
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    paths = [f"{number}.png" for number in range(count)]
    return pd.DataFrame(
        {"path": paths, "sample_id": [hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in paths]}
    )
