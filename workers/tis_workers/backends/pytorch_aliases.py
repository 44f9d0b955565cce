"""Whether TorchScript may write to its inputs, which lie in memory that others read.

Facts: operations such as `add_` write to what they are given, and `relu_` does in many networks, mostly to results of their
own. Danger: a model that writes to an input would change a tensor of a client's shared memory, or that of another step of an
ensemble. Decision: follow the inputs through the graph, over every operation whose schema says that a result may be a view of
an argument, to see whether something writes to one of them. Cost: where the graph cannot say, inputs are copied in vain.
"""

from collections.abc import Iterable
from typing import Any

import torch


def writes_to_inputs(graph: Any) -> bool:
    """True where a graph with everything inlined may write to one of its inputs (its first is the module)."""
    aliases = {value.debugName() for value in list(graph.inputs())[1:]}
    # Loops hand values back to their beginning: go on until nothing new is found.
    while True:
        before = len(aliases)
        if _writes(graph.nodes(), aliases):
            return True
        if len(aliases) == before:
            return False


def _writes(nodes: Iterable[Any], aliases: set[str]) -> bool:
    for node in nodes:
        given = [value.debugName() in aliases for value in node.inputs()]
        text = node.schema()
        if any(given) and text.startswith("("):
            # No schema: it builds or takes apart containers, or runs blocks; all that it gives may be an input.
            aliases.update(value.debugName() for value in node.outputs())
        elif any(given):
            schema = torch._C.parse_schema(text)  # noqa: SLF001 - PyTorch has no other name for it
            for is_alias, argument in zip(given, schema.arguments, strict=False):
                if is_alias and argument.alias_info is not None and argument.alias_info.is_write:
                    return True
            if any(result.alias_info is not None for result in schema.returns):
                aliases.update(value.debugName() for value in node.outputs())
        for block in node.blocks():
            if any(given):
                aliases.update(value.debugName() for value in block.inputs())
            if _writes(block.nodes(), aliases):
                return True
            if any(value.debugName() in aliases for value in block.outputs()):
                aliases.update(value.debugName() for value in (*node.outputs(), *block.inputs()))
    return False
