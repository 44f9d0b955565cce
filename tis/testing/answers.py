"""What a model answers outside a server: responses kept as arrays, in place of the pool and the mailboxes of frontends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tis.contracts import messages as m
from tis.contracts.arrays import NUMPY
from tis.errors import Code, TisError
from tis_workers.output import Lendable, Parameters, Reservation
from tis_workers.regions import Placements
from tis_workers.wire_form import wire_form

Array = npt.NDArray[Any]


class ModelError(Exception):
    """A request's error, as its client would get it: a code such as INVALID_ARG or INTERNAL, and a text."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Outputs(dict[str, Array]):
    """A response: its outputs by name, BYTES as objects, BF16 as its bits in uint16; and what the model says beside them."""

    def __init__(self, outputs: dict[str, Array], datatypes: dict[str, str], parameters: Parameters) -> None:
        super().__init__(outputs)
        #: The protocol's names of the datatypes, by output.
        self.datatypes = datatypes
        #: The parameters of the response.
        self.parameters = parameters


@dataclass
class Answered:
    """All that came for a request."""

    responses: list[Outputs | ModelError] = field(default_factory=list)
    ended: bool = False


class Collector:
    """Takes the answers of requests by their numbers; the rest of what an `OutputWriter` offers, in this process's memory."""

    def __init__(self) -> None:
        self.answered: dict[int, Answered] = {}

    def expect(self, request_id: int) -> Answered:
        """Where the answers of a request will be found."""
        return self.answered.setdefault(request_id, Answered())

    def reply(
        self,
        _asker: int,
        request_id: int,
        outputs: list[tuple[str, Array, str]],
        _placements: Placements | None = None,
        parameters: Parameters | None = None,
        *,
        final: bool = True,
        takes_data: bool = False,  # noqa: ARG002 - the writer's
    ) -> None:
        """Keep a response; a copy, since its arrays are the model's own.

        Raises:
            TisError: an array has no datatype of the protocol.
        """
        arrays: dict[str, Array] = {}
        datatypes: dict[str, str] = {}
        for name, array, configured in outputs:
            datatypes[name], _ = wire_form(name, array, configured)
            arrays[name] = as_strings(array) if datatypes[name] == "BYTES" else np.array(array, order="C")
        self._keep(request_id, Outputs(arrays, datatypes, parameters or {}), final=final)

    def own_block(self, _dtype: Any, _shape: tuple[int, ...], _size_bytes: int) -> None:
        """None: there is no pool that an output could be written to directly."""

    def reply_own(
        self,
        asker: int,
        request_id: int,
        outputs: list[tuple[str, Array, str]],
        placements: Placements | None,
        parameters: Parameters | None,
        _own: Mapping[str, Lendable],
        *,
        final: bool,
    ) -> None:
        """The same as `reply`: no output lies in a block."""
        self.reply(asker, request_id, outputs, placements, parameters, final=final)

    def end(self, _asker: int, request_id: int) -> None:
        """No more responses will come."""
        self.expect(request_id).ended = True

    def reserve(
        self,
        outputs: list[tuple[str, str, tuple[int, ...]]],
        _placements: Placements | None = None,
    ) -> Reservation:
        """Arrays of this process's own memory."""
        refs = tuple(m.OutputRef(name, datatype, shape, 0, 0) for name, datatype, shape in outputs)
        return Reservation(None, refs, [np.empty(shape, NUMPY[datatype]) for _, datatype, shape in outputs])

    def reply_reserved(self, _asker: int, request_id: int, reservation: Reservation) -> None:
        """Keep the response whose arrays have been filled."""
        refs = reservation.refs
        arrays = {ref.name: array for ref, array in zip(refs, reservation.arrays, strict=True)}
        self._keep(request_id, Outputs(arrays, {ref.name: ref.datatype for ref in refs}, {}), final=True)

    def give_back(self, reservation: Reservation) -> None:
        """Arrays that were not used are garbage."""

    def fail(self, _asker: int, request_id: int, error: TisError, /, *, final: bool = True) -> None:
        """Keep an error."""
        self._keep(request_id, ModelError(error.code, error.message), final=final)

    def tell(self, asker: int, message: m.Message) -> None:
        """Nobody asks for anything else."""

    def _keep(self, request_id: int, response: Outputs | ModelError, *, final: bool) -> None:
        answered = self.expect(request_id)
        answered.responses.append(response)
        answered.ended = answered.ended or final


def as_strings(array: Array) -> Array:
    """BYTES as models and clients get them: objects of type bytes."""
    texts = np.empty(array.shape, np.object_)
    texts.ravel()[:] = [each if isinstance(each, bytes) else str(each).encode() for each in array.ravel().tolist()]
    return texts
