"""Broken and hostile files end in quarantine with a reason; odd but whole ones are read."""

import csv
import io
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pictures import IMAGES, build, folder_of_classes, noise
from PIL import Image

from graft.data.images import load_images
from graft.data.manifest import quarantined
from graft.data.reading import read_sample, remedies_of
from graft.modalities.image.reading import decode


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def _sixteen_bit_colour() -> bytes:
    """A PNG that Pillow itself cannot write: 4 x 4, RGB, 16 bits."""
    rows = b"".join(b"\0" + bytes(range(24)) for _ in range(4))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _bomb() -> bytes:
    """A PNG of a few hundred bytes that says it is 50,000 x 50,000."""
    small = bytearray(_png(np.zeros((4, 4), np.uint8)))
    small[16:24] = struct.pack(">II", 50_000, 50_000)
    small[29:33] = struct.pack(">I", zlib.crc32(bytes(small[12:29])))
    return bytes(small)


def _palette_with_transparency() -> bytes:
    image = Image.fromarray(noise(7)).convert("P")
    return _saved(image, "PNG", transparency=int(np.asarray(image)[0, 0]))


FRAMES = [Image.fromarray(noise(number)) for number in range(3)]
HOSTILE: dict[str, tuple[str, bytes]] = {
    "truncated PNG": ("a.png", _png(noise(1))[:-200]),
    "truncated JPEG": ("a.jpg", _saved(Image.fromarray(noise(1)), "JPEG")[:-200]),
    "zero bytes": ("a.png", b""),
    "text named .png": ("a.png", b"I am no picture"),
    "postscript named .png": ("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "JPEG named .png": ("a.png", _saved(FRAMES[0], "JPEG")),
    "PNG named .txt": ("a.txt", _png(noise(1))),
    "flipped byte": ("a.png", _png(noise(1))[:200] + b"\0" + _png(noise(1))[201:]),
    "bomb": ("a.png", _bomb()),
    "animated GIF": ("a.gif", _saved(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:])),
    "animated PNG": ("a.png", _saved(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:])),
    "many pages": ("a.tif", _saved(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:])),
    "16-bit grey": ("a.png", _png(np.arange(256, dtype=np.uint16).reshape(16, 16))),
    "16-bit colour": ("a.png", _sixteen_bit_colour()),
    "16-bit TIFF": ("a.tif", _saved(Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16)), "TIFF")),
    "floating point": ("a.tif", _saved(Image.fromarray(np.ones((9, 9), np.float32)), "TIFF")),
    "CMYK": ("a.jpg", _saved(FRAMES[0].convert("CMYK"), "JPEG")),
    "palette with transparency": ("a.png", _palette_with_transparency()),
    "half transparent": ("a.png", _png(np.dstack([noise(1), np.full((16, 20), 128, np.uint8)]))),
}
REASONS = {
    "truncated PNG": "truncated", "truncated JPEG": "truncated", "zero bytes": "empty",
    "text named .png": "not_a_picture", "postscript named .png": "not_a_picture", "JPEG named .png": "wrong_extension",
    "PNG named .txt": "wrong_extension", "flipped byte": "damaged", "bomb": "bomb", "animated GIF": "animated",
    "animated PNG": "animated", "many pages": "animated", "16-bit grey": "deep", "16-bit colour": "deep",
    "16-bit TIFF": "deep", "floating point": "colour_mode", "CMYK": "cmyk", "palette with transparency": "transparent",
    "half transparent": "transparent",
}  # fmt: skip


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """120 small pictures of two classes that are all right."""
    return folder_of_classes(tmp_path / "data")


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_quarantined_with_its_reason_and_a_remedy(data_dir: Path, kind: str) -> None:
    name, content = HOSTILE[kind]
    (data_dir / "cat" / f"x{name}").write_bytes(content)
    manifest = build(data_dir)
    assert len(manifest) == 121
    (row,) = quarantined(manifest).to_dict("records")
    assert row["path"] == f"cat/x{name}"
    assert row["status"].startswith(REASONS[kind] + ": ")
    assert row["split"] == ""
    (listed,) = csv.DictReader((data_dir.parent / "artifacts" / "quarantine.csv").open())
    assert listed == {"path": row["path"], "reason": row["status"], "what_to_do": remedies_of(IMAGES)[REASONS[kind]]}


@pytest.mark.parametrize("kind", ["JPEG named .png", "animated GIF", "16-bit grey", "CMYK", "half transparent"])
def test_unusual_kinds_are_used_where_the_user_accepts_them(data_dir: Path, kind: str) -> None:
    name, content = HOSTILE[kind]
    (data_dir / "cat" / f"x{name}").write_bytes(content)
    manifest = build(data_dir, accept=[REASONS[kind]])
    assert quarantined(manifest).empty
    assert decode(content).shape[2] == 3
    assert len(load_images(data_dir, manifest[manifest["path"].str.startswith("cat/x")], 8)) == 1


def test_sixteen_bit_grey_keeps_its_range_where_it_is_accepted() -> None:
    assert decode(_png(np.array([[0, 65535]], dtype=np.uint16)))[0, :, 0].tolist() == [0, 255]


def test_opaque_pictures_with_an_alpha_channel_are_no_reason_to_stop(data_dir: Path) -> None:
    (data_dir / "cat" / "x.png").write_bytes(_png(np.dstack([noise(1), np.full((16, 20), 255, np.uint8)])))
    assert quarantined(build(data_dir)).empty


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_honoured(data_dir: Path, orientation: int) -> None:
    upright = np.zeros((16, 40, 3), np.uint8)
    upright[:8, :10] = 255  # a white corner, top left
    undo = {2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}  # Pillow's numbers of the turn that the tag undoes
    stored = Image.fromarray(upright)
    for turn in undo.get(orientation, []):
        stored = stored.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = _saved(stored, "JPEG", exif=exif, quality=95)
    (data_dir / "cat" / "x.jpg").write_bytes(content)
    row = build(data_dir).set_index("path").loc["cat/x.jpg"]
    assert (row["status"], row["width"], row["height"]) == ("ok", 40, 16)
    seen = decode(content)
    assert seen.shape == (16, 40, 3)
    assert seen[2:6, 2:8].min() > 200
    assert seen[10:, 12:].max() < 50


@pytest.mark.parametrize(
    "name", ["a b.png", 'it\'s "quoted".png', "two\nlines.png", "клетка-セル.png", "-rf.png", "%s,;.png"]
)
def test_names_may_hold_what_a_file_system_allows(data_dir: Path, name: str) -> None:
    (data_dir / "cat" / name).write_bytes(_png(noise(4711)))
    manifest = build(data_dir)
    (row,) = manifest[manifest["path"] == f"cat/{name}"].to_dict("records")
    assert row["status"] == "ok"
    assert len(load_images(data_dir, pd.DataFrame([row]), 8)) == 1


def test_a_name_that_is_no_utf8_is_quarantined(data_dir: Path) -> None:
    (Path(os.fsdecode(os.fsencode(data_dir / "cat") + b"/\xff.png"))).write_bytes(_png(noise(4711)))
    assert quarantined(build(data_dir))["status"].tolist() == ["bad_name: it is no UTF-8"]


@pytest.mark.parametrize("names", [("Ab.png", "aB.png"), ("caf\u00e9.png", "cafe\u0301.png")])
def test_two_names_that_differ_by_case_or_accents_alone_are_both_quarantined(
    data_dir: Path, names: tuple[str, str]
) -> None:
    for number, name in enumerate(names):
        (data_dir / "cat" / name).write_bytes(_png(noise(4711 + number)))
    found = quarantined(build(data_dir))
    assert sorted(found["path"]) == sorted(f"cat/{name}" for name in names)
    assert found["status"].str.startswith("same_name: ").all()
    (data_dir / "cat" / names[1]).unlink()
    assert quarantined(build(data_dir)).empty


def test_links_out_of_the_data_folder_are_quarantined_and_links_inside_are_followed(data_dir: Path) -> None:
    secret = data_dir.parent / "secret.png"
    secret.write_bytes(_png(noise(4711)))
    (data_dir / "cat" / "out.png").symlink_to(secret)
    (data_dir / "cat" / "nowhere.png").symlink_to(data_dir / "gone.png")
    (data_dir / "cat" / "inside.png").symlink_to(data_dir / "dog" / "3.png")
    (data_dir / "bird").symlink_to(data_dir.parent)
    manifest = build(data_dir).set_index("path")
    assert manifest.loc["cat/out.png", "status"].startswith("outside: ")
    assert manifest.loc["bird/", "status"].startswith("outside: ")
    assert manifest.loc["cat/nowhere.png", "status"].startswith("missing: ")
    assert manifest.loc["dog/3.png", "duplicate_of"] == "cat/inside.png"


def test_a_table_cannot_reach_out_of_the_data_folder(tmp_path: Path) -> None:
    data_dir = folder_of_classes(tmp_path / "data")
    (tmp_path / "secret.png").write_bytes(_png(noise(4711)))
    paths = [path.relative_to(data_dir).as_posix() for path in sorted(data_dir.rglob("*.png"))]
    rows = [f"{path},{path[:3]}" for path in paths] + [
        "../secret.png,cat",
        f"{tmp_path / 'secret.png'},cat",
        "gone.png,cat",
    ]
    (data_dir / "labels.csv").write_text("path,label\n" + "\n".join(rows))
    reasons = quarantined(build(data_dir))["status"].str.partition(":")[0]
    assert sorted(reasons) == ["missing", "outside", "outside"]


def test_what_is_no_ordinary_file_is_not_waited_for(data_dir: Path) -> None:
    os.mkfifo(data_dir / "cat" / "pipe.png")
    assert quarantined(build(data_dir))["status"].str.startswith("not_a_file: ").tolist() == [True]


@pytest.fixture
def as_nobody() -> Iterator[Callable[[], None]]:
    """Gives up root's power to read everything, for the time of a test."""
    user = os.geteuid()
    yield lambda: os.seteuid(65534) if user == 0 else None
    os.seteuid(user)


def test_a_file_that_may_not_be_read_is_quarantined(as_nobody: Callable[[], None]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        picture = folder / "a.png"
        picture.write_bytes(_png(noise(1)))
        picture.chmod(0o000)
        as_nobody()
        assert read_sample(picture, [folder.resolve()], IMAGES, []).status == "no_permission: Permission denied"
    finally:
        os.seteuid(os.getuid())
        shutil.rmtree(folder)
