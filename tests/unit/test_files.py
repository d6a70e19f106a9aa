"""Files are whole or not there, and are what they were."""

from pathlib import Path

import pytest
import torch

from graft.core.errors import ContentChangedError, DiskSpaceError
from graft.core.files import require_disk_space, sha256_of_file, write_text, written_atomically
from graft.core.tensors import load_tensors, save_tensors
from graft.validation.result import Validation


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")

    def write_half() -> None:
        with written_atomically(tmp_path / "file") as temporary:
            temporary.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    save_tensors(tmp_path / "t.safetensors", {"a": torch.arange(6).reshape(2, 3).T})
    assert torch.equal(load_tensors(tmp_path / "t.safetensors")["a"], torch.arange(6).reshape(2, 3).T)


def test_a_flipped_byte_in_saved_tensors_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_tensors(path, {"a": torch.arange(6)})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ContentChangedError, match=r"t\.safetensors"):
        load_tensors(path)


def test_an_artifact_whose_input_changed_is_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "manifest.parquet", "first")
    promised = {"manifest.parquet": sha256_of_file(tmp_path / "manifest.parquet")}
    Validation(inputs=promised, passed=True, expectations=[]).save(tmp_path / "r.json")
    assert Validation.load_verified(tmp_path, "r.json").passed
    write_text(tmp_path / "manifest.parquet", "second")
    with pytest.raises(ContentChangedError, match=r"manifest\.parquet is not the input"):
        Validation.load_verified(tmp_path, "r.json")


def test_too_little_disk_space_is_said_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(DiskSpaceError, match=r"GB free; this needs 1000000\.0 GB"):
        require_disk_space(tmp_path / "not" / "yet", 10**15)
