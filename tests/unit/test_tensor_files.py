"""Foreign weights files: what is whole is read, anything else is refused by name and none of it is run."""

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from graft.core.errors import UnsafeWeightsError
from graft.hub.tensor_files import read_tensors

WEIGHT = torch.arange(6, dtype=torch.float32).view(2, 3)


def _write_onnx(path: Path, *, is_external: bool = False) -> None:
    initializer = numpy_helper.from_array(WEIGHT.numpy(), "a")
    if is_external:
        onnx.external_data_helper.set_external_data(initializer, location="../../etc/passwd")
        initializer.ClearField("raw_data")
    constant = helper.make_node("Constant", [], ["b"], value=numpy_helper.from_array(np.ones(4, np.float16)))
    graph = helper.make_graph([constant], "g", [], [helper.make_tensor_value_info("b", TensorProto.FLOAT16, [4])])
    graph.initializer.append(initializer)
    path.write_bytes(helper.make_model(graph).SerializeToString())


def _write(path: Path) -> None:
    half = torch.ones(4, dtype=torch.float16)
    match path.suffix:
        case ".safetensors":
            save_file({"a": WEIGHT, "b": half}, path)
        case ".npz":
            np.savez(path, a=WEIGHT.numpy(), b=half.numpy())
        case ".onnx":
            _write_onnx(path)
        case _:
            torch.save({"a": WEIGHT, "b": half}, path)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".onnx", ".pth", ".pt", ".bin"])
def test_tensors_are_read_by_name_and_halves_become_float32(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    _write(path)
    tensors = read_tensors(path)
    assert torch.equal(tensors["a"], WEIGHT)
    assert torch.equal(tensors["b"], torch.ones(4))


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".onnx", ".pth"])
@pytest.mark.parametrize("damage", ["empty", "truncated", "another format"])
def test_damaged_files_are_refused_by_name(suffix: str, damage: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    _write(path)
    content = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "truncated": content[: len(content) // 2], "another format": b"<html>404</html>"}[damage]
    )
    with pytest.raises(UnsafeWeightsError, match=r"weights\.\w+") as caught:
        read_tensors(path)
    assert "sources.yaml" in str(caught.value) or "safetensors" in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".npz", ".safetensors", ".onnx"])
def test_code_in_a_file_is_never_run(suffix: str, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "exploded",))

    path = tmp_path / f"weights{suffix}"
    if suffix == ".npz":
        np.savez(path, a=np.array([Bomb()], dtype=object))
    else:
        path.write_bytes(pickle.dumps({"a": Bomb()}, protocol=2))
    with pytest.raises(UnsafeWeightsError):
        read_tensors(path)
    assert not (tmp_path / "exploded").exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "weights.pth")
    with pytest.raises(UnsafeWeightsError, match="plain tensors"):
        read_tensors(tmp_path / "weights.pth")


def test_a_checkpoint_with_more_than_tensors_says_what_it_holds(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": WEIGHT}, "epoch": 3}, tmp_path / "weights.pth")
    with pytest.raises(UnsafeWeightsError, match=r"state_dict \(dict\), epoch \(int\)"):
        read_tensors(tmp_path / "weights.pth")
    torch.save([WEIGHT], tmp_path / "weights.pth")
    with pytest.raises(UnsafeWeightsError, match="a list instead of tensors by name"):
        read_tensors(tmp_path / "weights.pth")


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2, dtype=torch.complex64)}, tmp_path / "weights.pth")
    with pytest.raises(UnsafeWeightsError, match=r"a \(torch.complex64\)"):
        read_tensors(tmp_path / "weights.pth")


def test_an_onnx_file_cannot_reach_into_other_files(tmp_path: Path) -> None:
    _write_onnx(tmp_path / "weights.onnx", is_external=True)
    with pytest.raises(UnsafeWeightsError, match="another file"):
        read_tensors(tmp_path / "weights.onnx")
