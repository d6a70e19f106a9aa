"""Splits any network that torch.fx can trace into a sequence of blocks, as a person would.

A network can be split where exactly one tensor is alive: all before is then one function of an image, all after one
function of that tensor. Such points are between residual blocks, but also between the layers of a plain chain; so
modules are kept whole unless they contain several branching modules in sequence, as a stage of residual blocks does.
Single layers (the stem and the top) are merged: a block begins at a convolution or a linear layer, and normalisation,
activation and pooling belong to the block before them.
"""

import inspect
import math
from collections.abc import Iterable

import torch
import torchvision.ops
from timm.layers import SelectAdaptivePool2d, get_notrace_functions, get_notrace_modules
from torch import fx, nn

ROOT = ""
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.MultiheadAttention)


class UncuttableError(Exception):
    """The network cannot be traced, or its blocks cannot be separated."""


def cut(network: nn.Module) -> list[nn.Module]:
    """Blocks of `network` (they share its layers) that compute in sequence what it computes in eval mode.

    A global average over [B, C, H, W] at the end of the network is dropped: the last block gives the map.

    Raises:
        UncuttableError: control flow depends on values, or two blocks share parameters.
    """
    was_training = network.training
    network.eval()  # operations for training in the graph, such as dropout as a function, must be off
    try:
        whole = _modules_kept_whole(network, _Rows(network, _trace(network, frozenset())))
        graph = _trace(network, whole)
    except Exception as error:  # a traced network runs its own code on proxies of tensors: it can raise anything
        raise UncuttableError(f"{type(error).__name__}: {error}") from error
    finally:
        network.train(was_training)
    nodes = _without_pooling(network, [node for node in graph.nodes if node.op not in ("placeholder", "output")])
    source = next(node for node in graph.nodes if node.op == "placeholder")
    blocks = []
    for piece in _gathered(network, _pieces(source, nodes)):
        blocks.append(_as_module(network, piece, source))
        source = piece[-1]
    _require_disjoint(blocks)
    return blocks


class _Tracer(fx.Tracer):
    """Traces a network down to layers, modules that its library marks as untraceable, and the modules in `whole`."""

    def __init__(self, whole: frozenset[str]) -> None:
        super().__init__(
            autowrap_modules=(math, torchvision.ops),  # type: ignore[arg-type]  # annotated as a tuple of one
            autowrap_functions=tuple(get_notrace_functions()),
        )
        classes = [member for _, member in inspect.getmembers(torchvision.ops, inspect.isclass)]
        of_torchvision = [kind for kind in classes if issubclass(kind, nn.Module)]
        self._leaf_classes = (nn.BatchNorm2d, *of_torchvision, *get_notrace_modules())
        self._whole = whole

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_kept = module_qualified_name in self._whole or isinstance(m, self._leaf_classes)
        return is_kept or super().is_leaf_module(m, module_qualified_name)


def _trace(network: nn.Module, whole: frozenset[str]) -> fx.Graph:
    """The graph of `forward` with one input; further arguments, such as masks, have their default values."""
    further = list(inspect.signature(network.forward).parameters.values())[1:]
    graph = _Tracer(whole).trace(network, concrete_args={argument.name: argument.default for argument in further})
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    for placeholder in placeholders[1:]:
        _erase_with_users(graph, placeholder)  # its users only assert that it is the default
    # assertions would keep sizes alive and hide cuts; where one fails, a later layer fails too
    graph.eliminate_dead_code(is_impure_node=lambda node: node.op in ("placeholder", "output"))
    return graph


def _erase_with_users(graph: fx.Graph, node: fx.Node) -> None:
    for user in list(node.users):
        _erase_with_users(graph, user)
    graph.erase_node(node)


class _Rows:
    """Positions of a network's modules in its traced graph, and the points at which only one tensor is alive.

    Point p is after node p; the point before the first node is -1.
    """

    def __init__(self, network: nn.Module, graph: fx.Graph) -> None:
        nodes = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
        source = next(node for node in graph.nodes if node.op == "placeholder")
        self.tight = _tight_points(source, nodes)
        calls: dict[str, set[str]] = {}
        indices: dict[str, list[int]] = {}
        for index, node in enumerate(nodes):
            for key, (name, _) in node.meta.get("nn_module_stack", {}).items():
                calls.setdefault(name, set()).add(key)
                indices.setdefault(name, []).append(index)
        self.spans = {
            name: (found[0], found[-1])
            for name, found in indices.items()
            if len(calls[name]) == 1 and len(found) == found[-1] - found[0] + 1
        }
        self.network = network
        self.kinds_of_blocks = {
            type(network.get_submodule(name)) for name in self.spans if name != ROOT and self.branches_itself(name)
        }

    def is_separable(self, name: str) -> bool:
        """One tensor goes in, one comes out, and nothing bypasses it."""
        if name not in self.spans:
            return False
        first, last = self.spans[name]
        return first - 1 in self.tight and last in self.tight

    def is_branching(self, name: str) -> bool:
        first, last = self.spans[name]
        return any(point not in self.tight for point in range(first, last))

    def children(self, name: str) -> list[str]:
        """The modules called directly inside; a container that is only iterated over is replaced by its children."""
        found = []
        for child, _ in self.network.get_submodule(name).named_children():
            path = f"{name}.{child}" if name else child
            found += [path] if path in self.spans else self.children(path)
        return found

    def branches_itself(self, name: str) -> bool:
        """Several tensors are alive between its parts, as in a residual block, and not only inside one of them."""
        first, last = self.spans[name]
        inside_parts = {
            point for child in self.children(name) if self.is_separable(child) for point in range(*self.spans[child])
        }
        return any(point not in self.tight and point not in inside_parts for point in range(first, last))

    def num_branching(self, name: str) -> int:
        """Number of outermost branching modules with weights in sequence."""
        total = 0
        for child in self.children(name):
            module = self.network.get_submodule(child)
            if self.is_separable(child) and _has_weights(module):
                inside = self.num_branching(child)
                is_stage = inside >= 2 or _is_plain_row(module)
                total += inside if is_stage else int(self.is_branching(child))
        return total


def _modules_kept_whole(network: nn.Module, rows: _Rows, name: str = ROOT) -> frozenset[str]:
    whole: set[str] = set()
    for child in rows.children(name):
        if rows.is_separable(child) and _is_taken_apart(network, rows, child):
            whole |= _modules_kept_whole(network, rows, child)
        else:
            whole.add(child)
    return frozenset(whole)


def _is_taken_apart(network: nn.Module, rows: _Rows, name: str) -> bool:
    module = network.get_submodule(name)
    if rows.num_branching(name) >= 2:
        return _is_plain_row(module) or type(module) not in rows.kinds_of_blocks
    if not _is_plain_row(module):
        return False
    children = list(module.children())
    # one weighted layer with its norm and activation stays together
    return len(children) == 1 or sum(map(_has_weights, children)) != 1


def _is_plain_row(module: nn.Module) -> bool:
    return type(module) is nn.Sequential


def _has_weights(module: nn.Module) -> bool:
    return any(isinstance(inner, WEIGHTED) for inner in module.modules())


def _constants(nodes: list[fx.Node]) -> set[fx.Node]:
    """Nodes that depend on parameters only; every piece that needs one computes it itself."""
    constants: set[fx.Node] = set()
    for node in nodes:
        is_computed = node.op in ("call_function", "call_method") and set(node.all_input_nodes) <= constants
        if node.op == "get_attr" or is_computed:
            constants.add(node)
    return constants


def _tight_points(source: fx.Node, nodes: list[fx.Node]) -> set[int]:
    constants = _constants(nodes)
    index_of = {node: index for index, node in enumerate(nodes)}
    is_alive_until = {
        node: max((index_of.get(user, len(nodes)) for user in node.users), default=-1)
        for node in [source, *nodes]
        if node not in constants
    }
    num_alive = [0] * (len(nodes) + 1)  # at point p: num_alive[p + 1]
    for node, last_use in is_alive_until.items():
        for point in range(index_of.get(node, -1), last_use):
            num_alive[point + 1] += 1
    return {point for point in range(-1, len(nodes)) if num_alive[point + 1] == 1}


def _pieces(source: fx.Node, nodes: list[fx.Node]) -> list[list[fx.Node]]:
    """The smallest runs of nodes between tight points; the last node of each is the tensor that is alive there."""
    tight = _tight_points(source, nodes)
    constants = _constants(nodes)
    pieces: list[list[fx.Node]] = [[]]
    for index, node in enumerate(nodes):
        if node not in constants:
            pieces[-1].append(node)
            if index in tight:
                pieces.append([])
    return [piece for piece in pieces if piece]


def _gathered(network: nn.Module, pieces: list[list[fx.Node]]) -> list[list[fx.Node]]:
    """Pieces merged into blocks; each block begins at a piece with a weighted layer."""

    def is_weighted(piece: list[fx.Node]) -> bool:
        targets = [str(node.target) for node in piece if node.op == "call_module"]
        return any(_has_weights(network.get_submodule(target)) for target in targets)

    blocks: list[list[fx.Node]] = []
    for piece in pieces:
        if blocks and not (is_weighted(piece) and is_weighted(blocks[-1])):
            blocks[-1] = blocks[-1] + piece
        else:
            blocks.append(piece)
    return blocks


def _without_pooling(network: nn.Module, nodes: list[fx.Node]) -> list[fx.Node]:
    """The nodes before a global average over height and width, if only flattening and the like follow it."""
    for number, node in reversed(list(enumerate(nodes))):
        module = network.get_submodule(str(node.target)) if node.op == "call_module" else None
        if _is_average(node, module):
            return nodes[:number]
        passes = isinstance(module, nn.Identity | nn.Dropout | nn.Flatten) or node.target in (torch.flatten, "flatten")
        if not passes:
            break
    return nodes


def _is_average(node: fx.Node, module: nn.Module | None) -> bool:
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return module.output_size in (1, (1, 1))
    if isinstance(module, SelectAdaptivePool2d):
        return _is_average(node, module.pool)
    if node.target is nn.functional.adaptive_avg_pool2d:
        return node.args[1:] in ((1,), ((1, 1),))
    return node.target == "mean" and node.args[1:] in (([2, 3],), ((2, 3),))


def _as_module(network: nn.Module, piece: list[fx.Node], source: fx.Node) -> nn.Module:
    """The layers themselves where they form a chain, otherwise a graph of them."""
    previous = source
    modules = []
    for node in piece:
        if node.op != "call_module" or node.args != (previous,) or node.kwargs:
            return _as_graph(network, piece, source)
        modules.append(network.get_submodule(str(node.target)))
        previous = node
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


def _as_graph(network: nn.Module, piece: list[fx.Node], source: fx.Node) -> fx.GraphModule:
    graph = fx.Graph()
    copies = {source: graph.placeholder("activations")}

    def copy(node: fx.Node) -> fx.Node:
        if node not in copies:
            for needed in node.all_input_nodes:
                copy(needed)
            copies[node] = graph.node_copy(node, copies.__getitem__)
        return copies[node]

    for node in piece:
        copy(node)
    graph.output(copies[piece[-1]])
    block = fx.GraphModule(network, graph, class_name="Block")
    for module in block.modules():
        if isinstance(module, fx.GraphModule) or type(module) is nn.Module:  # holds the attributes of the graph
            for name, buffer in list(module.named_buffers(recurse=False)):
                module.register_buffer(name, buffer.clone())  # another piece may need the same constant
    return block


def _require_disjoint(blocks: Iterable[nn.Module]) -> None:
    owner: dict[int, int] = {}
    for number, block in enumerate(blocks):
        for name, parameter in block.named_parameters():
            if owner.setdefault(id(parameter), number) != number:
                raise UncuttableError(f"blocks {owner[id(parameter)]} and {number} share the parameter {name}")
