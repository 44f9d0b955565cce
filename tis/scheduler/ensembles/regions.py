"""Outputs that a client wants written over its own inputs: allowed where no step reads the input afterwards.

Triton writes all outputs at the end, from copies. Here the step that makes an output writes it where the client wants it, so
that an input in the same bytes must have been read by then.
"""

from tis.contracts import messages as m
from tis.errors import invalid
from tis.scheduler.ensembles.graph import Graph, Pruning


def check_places(graph: Graph, pruning: Pruning, body: m.WorkBody) -> None:
    """Check where a request's outputs go.

    Raises:
        TisError: INVALID_ARG for an output over an input that a step may read after it has been written.
    """
    if not body.placements:
        return
    spec = graph.spec
    inputs = [ref for ref in body.inputs if ref.region]
    for place in body.placements:
        output = spec.outputs[place.index].name
        if output not in pruning.wanted:
            continue
        before = graph.upstream(graph.producers[output][0])
        for ref in inputs:
            name = spec.inputs[ref.index].name
            apart = (
                place.region != ref.region
                or place.start + place.size_bytes <= ref.start
                or ref.start + ref.size_bytes <= place.start
            )
            if not apart and (spec.decoupled or not before.issuperset(pruning.readers.get(name, ()))):
                raise invalid(
                    f"output '{output}' would be written over input '{name}' while steps of ensemble '{spec.name}' "
                    "still read it; give the output a place of its own"
                )
