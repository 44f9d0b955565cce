"""A direct client's `infer` as an `InferRequest`, and the bytes of its tensors. Touches no socket and no pool."""

from collections.abc import Sequence
from typing import Final

from tis.contracts.inference import InferRequest, InputTensor, Place
from tis.contracts.model_spec import ModelSpec
from tis.contracts.validation import check_output_names
from tis.errors import invalid
from tis_frontend.direct import messages as dm
from tis_frontend.http.parameters import read_parameters
from tis_frontend.regions import RegionTable

_ALIGNMENT_BYTES: Final = 64

Data = bytes | bytearray


def parse(
    spec: ModelSpec, message: dm.Infer, frames: Sequence[Data], regions: RegionTable, client: str
) -> tuple[InferRequest, list[Data], int]:
    """The request, the bytes of each input in order (none for one in a region), and how much of a block they take.

    Raises:
        TisError: INVALID_ARG or NOT_FOUND.
    """
    request = InferRequest(spec.name, spec.version, message.request_id, [])
    if message.parameters:
        read_parameters(request, message.parameters)
    pieces: list[Data] = []
    at = 0
    for entry in message.inputs:
        piece: Data = b""
        if (entry.data is not None) + (entry.frame is not None) + (entry.region is not None) != 1:
            raise invalid(f"input '{entry.name}' must have exactly one of 'data', 'frame' and 'region'")
        if entry.region is not None:
            place = _place(entry, "input", regions, client)
            tensor = InputTensor(
                entry.name, entry.datatype, tuple(entry.shape), place.size_bytes, place.start, place.region
            )
        else:
            if entry.size is not None or entry.offset:
                raise invalid(f"input '{entry.name}' has an 'offset' or a 'size' without a 'region'")
            if entry.data is not None:
                piece = entry.data
            elif entry.frame is not None:
                if entry.frame >= len(frames):
                    raise invalid(
                        f"input '{entry.name}' is in frame {entry.frame}, but there are {len(frames)} behind the head"
                    )
                piece = frames[entry.frame]
            tensor = InputTensor(entry.name, entry.datatype, tuple(entry.shape), len(piece), at)
            at += -(-len(piece) // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        request.inputs.append(tensor)
        pieces.append(piece)
    _read_outputs(request, message.outputs, regions, client)
    check_output_names(spec, request.outputs)
    return request, pieces, at


def _read_outputs(request: InferRequest, outputs: list[dm.WantedOutput], regions: RegionTable, client: str) -> None:
    for output in outputs:
        request.outputs.append(output.name)
        if output.classes:
            request.classification[output.name] = output.classes
        if output.region is not None:
            if output.classes:
                raise invalid(f"output '{output.name}' can't have both 'region' and 'classes'")
            place = _place(output, "output", regions, client)
            request.placements[output.name] = place._replace(spill=output.spill)
        elif output.size is not None or output.offset or output.spill:
            raise invalid(f"output '{output.name}' has an 'offset', a 'size' or 'spill' without a 'region'")


def _place(entry: dm.Input | dm.WantedOutput, side: str, regions: RegionTable, client: str) -> Place:
    if entry.size is None or entry.region is None:
        raise invalid(f"{side} '{entry.name}' has a 'region' without a 'size'")
    return regions.place(entry.region, entry.offset, entry.size, client)
