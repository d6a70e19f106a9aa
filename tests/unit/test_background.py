"""Transparent parts are laid on a background, the same for all that look at an image."""

import base64
import io
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml
from pictures import IMAGES, build, build_profile, noise
from PIL import Image

from graft.core.choices import Quarantine
from graft.core.errors import ParamsError, QuarantineError
from graft.core.params_file import load_params
from graft.data.images import background_of, load_images
from graft.data.manifest import quarantined
from graft.data.profile import check_quarantine
from graft.modalities.image.modality import ImageModality
from graft.modalities.image.reading import REMEDIES, WHITE, decode, reduced_grey
from graft.report.images import sample_thumbnails

PROJECT = Path(__file__).parents[2]


def _cut_out(seed: int) -> Image.Image:
    """Noise whose left half is transparent, with black below: what painting programs leave there."""
    pixels = np.dstack([noise(seed), np.full((16, 20), 255, np.uint8)])
    pixels[:, :10] = 0
    return Image.fromarray(pixels)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As a shop has them: 30 products cut out, and 2 damaged files among them."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    for number in range(30):
        folder = tmp_path / "data" / ("shoe" if number < 15 else "hat")
        folder.mkdir(parents=True, exist_ok=True)
        _cut_out(number).save(folder / f"{number}.png")
    for name in ("a", "b"):
        (tmp_path / "data" / "hat" / f"{name}.png").write_bytes(_saved(_cut_out(99), "PNG")[:-60])
    return tmp_path / "data"


def test_a_folder_of_cut_out_images_is_answered_by_the_line_that_helps(data_dir: Path) -> None:
    profile = build_profile(data_dir)
    assert profile.quarantine_codes == {"transparent": 30, "truncated": 2}
    with pytest.raises(QuarantineError) as raised:
        check_quarantine(profile, 0.01, [], IMAGES)
    first, second, *rest = str(raised.value).splitlines()
    assert first.startswith("30 files are quarantined for one reason, transparent.")
    assert second == "  ingest.accept: [transparent]"
    assert f"  2 truncated: {REMEDIES['truncated']}" in rest
    with pytest.raises(QuarantineError, match=r"accept: \[cmyk, transparent\]"):
        check_quarantine(profile, 0.01, ["cmyk"], IMAGES)


def test_where_several_reasons_share_the_quarantine_none_leads(data_dir: Path) -> None:
    for number in range(5):
        (data_dir / "hat" / f"empty{number}.png").write_bytes(b"")
    with pytest.raises(QuarantineError, match=r"^37 of 37 files cannot be used.*\n  30 transparent: .*\n  5 empty: "):
        check_quarantine(build_profile(data_dir), 0.01, [], IMAGES)


def test_where_nothing_can_be_accepted_the_remedy_itself_leads(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "data" / "cat").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "cat" / f"{number}.png").write_bytes(b"")
    with pytest.raises(QuarantineError, match=r"^3 files are quarantined for one reason, empty: copy it again"):
        check_quarantine(build_profile(tmp_path / "data"), 0.01, [], IMAGES)


@pytest.mark.parametrize(("background", "seen"), [(WHITE, 255), ("#808080", 128), ("#000000", 0)])
def test_what_is_accepted_lies_on_the_background_for_all_that_look_at_it(
    background: str, seen: int, data_dir: Path
) -> None:
    manifest = build(data_dir, accept=["transparent"], modality=ImageModality(background))
    assert quarantined(manifest)["status"].str.startswith("truncated").tolist() == [True, True]
    used = manifest[manifest["status"] == "ok"]
    assert set(used["background"]) == {background}
    assert background_of(manifest) == background
    half = decode((data_dir / used["path"].iloc[0]).read_bytes(), background)[:, :10]
    assert (half == seen).all()
    assert (load_images(data_dir, used, 20, background=background)[:, :, :, :9] == seen).all()
    shown = sample_thumbnails(data_dir, used.assign(split="train"), ["hat"], 1, background)["hat"][0]
    jpeg = Image.open(io.BytesIO(base64.b64decode(shown.data_uri.partition(",")[2])))
    assert abs(int(np.asarray(jpeg)[8, 2].mean()) - seen) < 8
    expected = [decode((data_dir / path).read_bytes(), background).mean() / 255 for path in used["path"]]
    assert np.allclose(used["brightness"], expected, atol=0.02)


def test_images_that_were_ingested_on_one_background_are_not_loaded_on_another(data_dir: Path) -> None:
    used = build(data_dir, accept=["transparent"], modality=ImageModality("#000000")).query("status == 'ok'")
    with pytest.raises(AssertionError, match="another background"):
        load_images(data_dir, used, 20)


def test_transparency_is_found_where_near_duplicates_are_not_looked_for(data_dir: Path) -> None:
    profile = build_profile(data_dir, near_duplicate_similarity=None)
    assert profile.quarantine_codes["transparent"] == 30
    assert profile.num_samples == 0


RGBA = _cut_out(1)
GREY = Image.fromarray(noise(1)[:, :, 0])
BLACK = np.zeros((16, 20, 3), np.uint8)
TRANSPARENT = {
    "RGBA": _saved(RGBA, "PNG"),
    "grey and alpha": _saved(RGBA.convert("LA"), "PNG"),
    "palette": _saved(RGBA.convert("P"), "PNG", transparency=bytes(256)),
    "one colour of RGB": _saved(Image.fromarray(BLACK), "PNG", transparency=(0, 0, 0)),
    "one level of grey": _saved(Image.fromarray(BLACK[:, :, 0]), "PNG", transparency=0),
    "one level of 16 bits": _saved(Image.fromarray(BLACK[:, :, 0].astype(np.uint16)), "PNG", transparency=0),
    "GIF": _saved(Image.fromarray(BLACK[:, :, 0]).convert("P"), "GIF", transparency=0),
    "WEBP": _saved(RGBA, "WEBP", lossless=True),
    "TIFF": _saved(RGBA, "TIFF"),
}


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_every_kind_of_transparency_is_laid_on_white(kind: str) -> None:
    assert (decode(TRANSPARENT[kind])[:, :10] == 255).all()
    assert (reduced_grey(TRANSPARENT[kind])[:, :10] == 255).all()
    assert (decode(TRANSPARENT[kind], "black")[:, :10] == 0).all()


def test_an_alpha_channel_that_hides_nothing_changes_no_pixel() -> None:
    opaque = Image.fromarray(np.dstack([noise(1), np.full((16, 20), 255, np.uint8)]))
    assert np.array_equal(decode(_saved(opaque, "PNG")), noise(1))
    assert np.array_equal(decode(_saved(opaque, "PNG"), "black"), noise(1))


def test_half_of_a_pixel_is_half_of_the_background() -> None:
    half = Image.fromarray(np.full((4, 4, 4), [200, 100, 0, 128], np.uint8))
    assert abs(decode(_saved(half, "PNG")).astype(int) - [227, 177, 127]).max() <= 1


@pytest.mark.parametrize(("written", "meant"), [("white", "#ffffff"), ("#808080", "#808080"), ("#abc", "#aabbcc")])
def test_a_background_is_a_colour_by_name_or_number(written: str, meant: str, tmp_path: Path) -> None:
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["ingest"]["background"] = written
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    assert load_params(tmp_path / "params.yaml").ingest.background == meant


@pytest.mark.parametrize("written", ["whit", 0, None, "#ffffff80", [1, 2, 3]])
def test_a_background_that_is_no_colour_is_named(written: object, tmp_path: Path) -> None:
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["ingest"]["background"] = written
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(ParamsError, match=r"ingest\.background: .*must be a colour, by name or in quotes"):
        load_params(tmp_path / "params.yaml")


def test_every_reason_that_can_be_accepted_has_words_for_how_it_is_used() -> None:
    assert set(IMAGES.waivable) == set(get_args(Quarantine))
    assert all(f"ingest.accept: [{code}]" in REMEDIES[code] for code in IMAGES.waivable)


def test_there_is_one_decoder() -> None:
    files = [path for folder in ("graft", "tasks", "flows") for path in (PROJECT / folder).rglob("*.py")]
    assert len(files) > 50
    opening = {path.name for path in files if "Image.open(" in path.read_text()}
    # recipe.py shows its readers how to decode alike; corruptions.py reads back what it has compressed itself
    assert opening == {"reading.py", "recipe.py", "corruptions.py"}
