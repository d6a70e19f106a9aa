"""Support for batches without images, which ONNX Runtime's kernels for networks refuse."""

from onnx import GraphProto, ModelProto, NodeProto, TensorProto
from onnx.helper import make_node, make_tensor

ADDED = "at_least_one"
"""Suffix of the names of everything that is added to a graph."""


def answer_empty_batches(model: ModelProto) -> None:
    """Changes the graph so that 0 images get 0 predictions; other batches are computed as before.

    A batch without images is computed as one black image, whose prediction is dropped.

    Args:
        model: model with one input [batch, height, width, channels], uint8, and one output [batch, ...].
    """
    graph = model.graph
    pixels, answers = graph.input[0].name, graph.output[0].name
    _rename(graph, {pixels: f"{pixels}_{ADDED}", answers: f"{answers}_{ADDED}"})
    integers = {"zero": [0], "one": [1], "four": [4]}
    names = {name: f"{name}_{ADDED}" for name in (*integers, "shape", "batch", "rest", "missing", "few", "black")}
    before = [
        *(_constant(names[name], values) for name, values in integers.items()),
        make_node("Shape", [pixels], [names["shape"]]),
        make_node("Slice", [names["shape"], names["zero"], names["one"]], [names["batch"]]),
        make_node("Slice", [names["shape"], names["one"], names["four"]], [names["rest"]]),
        make_node("Sub", [names["one"], names["batch"]], [names["few"]]),
        make_node("Max", [names["few"], names["zero"]], [names["missing"]]),
        make_node("Concat", [names["missing"], names["rest"]], [f"{names['black']}_shape"], axis=0),
        make_node(
            "ConstantOfShape", [f"{names['black']}_shape"], [names["black"]],
            value=make_tensor("black", TensorProto.UINT8, [1], [0]),
        ),
        make_node("Concat", [pixels, names["black"]], [f"{pixels}_{ADDED}"], axis=0),
    ]  # fmt: skip
    after = make_node("Slice", [f"{answers}_{ADDED}", names["zero"], names["batch"], names["zero"]], [answers])
    nodes = [*before, *graph.node, after]
    del graph.node[:]
    graph.node.extend(nodes)


def _rename(graph: GraphProto, names: dict[str, str]) -> None:
    """Renames inputs and outputs of the nodes; the graph's own inputs and outputs keep their names."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _constant(name: str, values: list[int]) -> NodeProto:
    return make_node("Constant", [], [name], value=make_tensor(name, TensorProto.INT64, [len(values)], values))
