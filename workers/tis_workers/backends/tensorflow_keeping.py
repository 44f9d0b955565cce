"""Whether a graph may keep a tensor that it is fed. Looks at a GraphDef's nodes; TensorFlow is not imported here.

TensorFlow does not copy an array that it is fed if it is aligned, and a variable that is assigned such a tensor takes the
array's memory for its own. An input's memory is the pool's, which another request has a moment later, so that a graph that
keeps what it is fed must be fed copies. Plain networks keep nothing, and are fed the pool's memory itself.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

#: Operations that TensorFlow calls stateful though they keep no tensor that they are given.
_HARMLESS: Final = frozenset(
    {
        *("VarHandleOp", "ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape", "VarIsInitializedOp"),
        *("Variable", "VariableV2", "PartitionedCall", "StatefulPartitionedCall", "Placeholder", "_Arg", "_Retval"),
        *("If", "StatelessIf", "While", "StatelessWhile", "Case", "Assert", "Print", "PrintV2", "NoOp"),
        *("HashTable", "HashTableV2", "LookupTableFind", "LookupTableFindV2", "LookupTableSize", "LookupTableSizeV2"),
        *(
            "RandomUniform",
            "RandomUniformInt",
            "RandomStandardNormal",
            "TruncatedNormal",
            "RandomShuffle",
            "Multinomial",
        ),
    }
)


def keeps_inputs(graph_def: Any, fetches: Iterable[str], is_stateful: Callable[[str], bool]) -> bool:
    """True where some operation that the fetched tensors need may hold on to what it is given.

    Args:
        graph_def: a GraphDef, with the library of its functions.
        fetches: names of the tensors that are asked for.
        is_stateful: whether TensorFlow calls an operation of a name stateful; True for one that it does not know.
    """
    functions = {function.signature.name: function for function in graph_def.library.function}
    seen: set[str] = set()
    waiting = list(_needed(graph_def.node, fetches))
    while waiting:
        node = waiting.pop()
        called = [name for name in (node.op, *_functions_of(node)) if name in functions]
        if not called and (node.op.startswith("Assign") or (node.op not in _HARMLESS and is_stateful(node.op))):
            return True
        for name in called:
            if name not in seen:
                seen.add(name)
                waiting.extend(functions[name].node_def)
    return False


def _needed(nodes: Iterable[Any], fetches: Iterable[str]) -> Iterator[Any]:
    """The nodes that these tensors are computed from."""
    by_name = {node.name: node for node in nodes}
    waiting = [_node_name(fetch) for fetch in fetches]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in by_name:
            continue
        seen.add(name)
        node = by_name[name]
        waiting.extend(_node_name(given) for given in node.input)
        yield node


def _functions_of(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        elif value.HasField("list"):
            yield from (each.name for each in value.list.func)


def _node_name(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]
