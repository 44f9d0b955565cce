"""Requests of a worker whose answers are kept instead of sent."""

from collections.abc import Mapping
from typing import Any, cast

import numpy.typing as npt

from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis.errors import TisError
from tis_shm.pool import Pool
from tis_workers.output import Parameters, Reservation
from tis_workers.regions import ClientRegions, Placements
from tis_workers.request import WorkRequest

#: No test that uses this module gives a request any tensors in the pool.
NO_POOL = cast(Pool, None)


class Recorder:
    """Keeps what a request is answered with: outputs by name, an error's text, or None for a bare end; and if it is final."""

    def __init__(self) -> None:
        self.answers: list[tuple[Any, bool]] = []
        self.parameters: list[Parameters] = []

    def reply(
        self,
        _asker: int,
        _request_id: int,
        outputs: list[tuple[str, npt.NDArray[Any], str]],
        _placements: Placements | None = None,
        parameters: Parameters | None = None,
        *,
        final: bool = True,
        takes_data: bool = False,  # noqa: ARG002 - the writer's
    ) -> None:
        self.answers.append(({name: array.tolist() for name, array, _ in outputs}, final))
        self.parameters.append(parameters or {})

    def end(self, *_arguments: Any) -> None:
        self.answers.append((None, True))

    def reserve(self, *_arguments: Any) -> Reservation | None:
        return None

    def reply_reserved(self, *_arguments: Any) -> None:
        raise AssertionError("nothing was reserved")

    def give_back(self, *_arguments: Any) -> None:
        raise AssertionError("nothing was reserved")

    def fail(self, _asker: int, _request_id: int, error: TisError, /, *, final: bool = True) -> None:
        self.answers.append((error.message, final))

    def tell(self, *_arguments: Any) -> None:
        raise AssertionError("there is nothing to tell")


def request_of(
    spec: ModelSpec,
    inputs: Mapping[str, npt.NDArray[Any]],
    *,
    batch_size: int = 0,
    outputs: tuple[int, ...] | None = None,
) -> tuple[WorkRequest, Recorder]:
    """A request with these inputs, and what keeps its answers."""
    recorder = Recorder()
    item = m.BatchItem(1, 1, batch_size, m.encode_body(m.WorkBody("", (), (), outputs)))
    request = WorkRequest(spec, item, NO_POOL, cast(Any, recorder), ClientRegions())
    request.inputs.update(inputs)
    return request, recorder
