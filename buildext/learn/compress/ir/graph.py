"""A network as nodes and tensors: read from ONNX, changed in place, written again.

A *node* computes named tensors from named tensors; a *constant* is a tensor that is known
beforehand. Nodes stand in an order in which they can be computed. A *slot* is one input of one
node: the place where a quantiser may stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildext.errors import ModelError

# Of the ONNX standard, the newest version whose models all supported engines read.
IR_VERSION = 9
Slot = tuple[str, int]


@dataclass(slots=True)
class Node:
    """One operation.

    Attributes:
        name: unique in the graph.
        op: ONNX operator, such as `Conv`.
        inputs: names of tensors; empty where an optional input is left out.
        outputs: names of tensors.
        attributes: as ONNX has them; tensors as arrays.
    """

    name: str
    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Graph:
    """Nodes in the order of computation, constants by name, and what goes in and out."""

    nodes: list[Node]
    constants: dict[str, NDArray[Any]]
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    opset: int

    @property
    def input_name(self) -> str:
        """Name of the image."""
        return str(self.inputs[0].name)

    @property
    def output_name(self) -> str:
        """Name of the probabilities."""
        return str(self.outputs[0].name)

    def producers(self) -> dict[str, Node]:
        """The node that makes each tensor; constants and the image have none."""
        return {name: node for node in self.nodes for name in node.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """The nodes that use each tensor, in order; one that uses it twice stands there twice."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                if name:
                    found.setdefault(name, []).append(node)
        return found

    def by_name(self) -> dict[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    def fresh(self, stem: str) -> str:
        """A name, beginning with `stem`, that no tensor and no node has."""
        taken = {name for node in self.nodes for name in (node.name, *node.outputs)}
        taken |= set(self.constants)
        number, name = 0, stem
        while name in taken:
            number += 1
            name = f"{stem}.{number}"
        return name

    def drop_unused(self) -> None:
        """Remove nodes and constants that nothing needs."""
        needed = {value.name for value in self.outputs}
        kept = []
        for node in reversed(self.nodes):
            if needed & set(node.outputs):
                kept.append(node)
                needed |= set(node.inputs)
        self.nodes = kept[::-1]
        self.constants = {k: v for k, v in self.constants.items() if k in needed}

    def copy(self) -> Graph:
        """A graph whose nodes can be changed without changing this one; arrays are shared."""
        nodes = [
            Node(n.name, n.op, list(n.inputs), list(n.outputs), dict(n.attributes))
            for n in self.nodes
        ]
        return Graph(nodes, dict(self.constants), self.inputs, self.outputs, self.opset)


def read_graph(path: Path) -> Graph:
    """The graph in an ONNX file.

    Raises:
        ModelError: it is no ONNX file, or has not one input and one output.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import helper, numpy_helper

    try:
        model = onnx.load(str(path))
    except (DecodeError, OSError) as error:
        raise ModelError(
            f"got {path}, which cannot be read as ONNX: {error}", hint="export the model again"
        ) from error
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    inputs = tuple(value for value in model.graph.input if value.name not in constants)
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise ModelError(
            f"got {path} with {len(inputs)} inputs and {len(model.graph.output)} outputs; expected "
            "an image and probabilities",
            hint="use a model exported by buildext",
        )
    nodes, names = [], set()
    for number, proto in enumerate(model.graph.node):
        attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        for key, value in attributes.items():
            if isinstance(value, onnx.TensorProto):
                attributes[key] = numpy_helper.to_array(value)
            elif isinstance(value, bytes):
                attributes[key] = value.decode()
        name = proto.name or f"{proto.op_type}.{number}"
        while name in names:
            name += "'"
        names.add(name)
        nodes.append(Node(name, proto.op_type, list(proto.input), list(proto.output), attributes))
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    return Graph(nodes, constants, inputs, tuple(model.graph.output), opset)


def write_graph(graph: Graph, path: Path) -> None:
    """Write the graph as ONNX, checked."""
    import onnx
    from onnx import helper, numpy_helper

    protos = []
    for node in graph.nodes:
        attributes = {
            k: numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v
            for k, v in node.attributes.items()
        }
        protos.append(
            helper.make_node(node.op, node.inputs, node.outputs, name=node.name, **attributes)
        )
    # Scalars of numpy have lost their being arrays; ONNX wants them back.
    tensors = [numpy_helper.from_array(np.asarray(v), name) for name, v in graph.constants.items()]
    made = helper.make_graph(protos, "buildext", graph.inputs, graph.outputs, tensors)
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", graph.opset)], producer_name="buildext"
    )
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def data_inputs(graph: Graph, node: Node) -> Iterator[tuple[int, str]]:
    """Inputs of a node that are neither constants nor left out, with their positions."""
    for index, name in enumerate(node.inputs):
        if name and name not in graph.constants:
            yield index, name
