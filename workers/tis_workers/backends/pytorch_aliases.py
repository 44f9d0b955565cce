"""Whether TorchScript may write to its inputs, or keep them: they lie in memory that others read, and that others get next.

Facts: operations such as `add_` write to what they are given, and `relu_` does in many networks, mostly to results of their
own; a module may put a tensor into an attribute. Danger: a model that writes to an input would change a tensor of a client's
shared memory, or that of another step of an ensemble; one that keeps it would find another request's data in it. Decision:
follow the inputs through the graph, over every operation whose schema says that a result may be a view of an argument, to see
whether something writes to one of them or puts one away. Cost: where the graph cannot say, inputs are copied in vain.
"""

from collections.abc import Iterable
from typing import Any

import torch


def touches_inputs(graph: Any) -> bool:
    """True where a graph with everything inlined may write to one of its inputs or keep it (its first is the module)."""
    aliases = {value.debugName() for value in list(graph.inputs())[1:]}
    # Loops hand values back to their beginning: go on until nothing new is found.
    while True:
        before = len(aliases)
        if _touches(graph.nodes(), aliases):
            return True
        if len(aliases) == before:
            return False


def _touches(nodes: Iterable[Any], aliases: set[str]) -> bool:
    for node in nodes:
        given = [value.debugName() in aliases for value in node.inputs()]
        text = node.schema()
        if any(given) and text.startswith("("):
            if node.kind() == "prim::SetAttr":
                return True
            # No schema: it builds or takes apart containers, or runs blocks; all that it gives may be an input.
            aliases.update(value.debugName() for value in node.outputs())
        elif any(given):
            schema = torch._C.parse_schema(text)  # noqa: SLF001 - PyTorch has no other name for it
            told = [argument.alias_info for argument in schema.arguments]
            writes = any(info is not None and info.is_write for info in told)
            for is_alias, info in zip(given, told, strict=False):
                # Where something else is written to, the alias is put into it: into a list, or a dictionary.
                if is_alias and info is not None and (info.is_write or writes):
                    return True
            if any(result.alias_info is not None for result in schema.returns):
                aliases.update(value.debugName() for value in node.outputs())
        for block in node.blocks():
            if any(given):
                aliases.update(value.debugName() for value in block.inputs())
            if _touches(block.nodes(), aliases):
                return True
            if any(value.debugName() in aliases for value in block.outputs()):
                aliases.update(value.debugName() for value in (*node.outputs(), *block.inputs()))
    return False
