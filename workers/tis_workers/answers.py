"""What takes a request's answers: the pool and the mailbox of whoever asked, or nobody, while a model is warmed up."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tis.contracts import messages as m
from tis.contracts.arrays import NUMPY
from tis.contracts.inference import id_prefix
from tis.errors import TisError
from tis_workers.output import Lendable, Parameters, Reservation
from tis_workers.own_blocks import OwnBlock
from tis_workers.regions import Placements


class Answers(Protocol):
    """What a `WorkRequest` answers through. See `OutputWriter` for what each of these does."""

    def reply(
        self,
        asker: int,
        request_id: int,
        outputs: list[tuple[str, npt.NDArray[Any], str]],
        placements: Placements | None = None,
        parameters: Parameters | None = None,
        *,
        final: bool = True,
        takes_data: bool = False,
    ) -> None:
        """Take a response."""

    def reply_own(
        self,
        asker: int,
        request_id: int,
        outputs: list[tuple[str, npt.NDArray[Any], str]],
        placements: Placements | None,
        parameters: Parameters | None,
        own: Mapping[str, Lendable],
        *,
        final: bool,
    ) -> None:
        """Take a response of which some outputs lie in blocks already."""

    def own_block(
        self, dtype: Any, shape: tuple[int, ...], size_bytes: int
    ) -> tuple[OwnBlock, npt.NDArray[Any]] | None:
        """A block to be filled; None where none is needed."""

    def end(self, asker: int, request_id: int) -> None:
        """Take the news that there will be no more responses."""

    def reserve(
        self, outputs: list[tuple[str, str, tuple[int, ...]]], placements: Placements | None = None
    ) -> Reservation | None:
        """Arrays to be filled."""

    def reply_reserved(self, asker: int, request_id: int, reservation: Reservation) -> None:
        """Take the response whose arrays have been filled."""

    def give_back(self, reservation: Reservation) -> None:
        """Take back arrays that were not used."""

    def fail(self, asker: int, request_id: int, error: TisError, /, *, final: bool = True) -> None:
        """Take an error."""

    def tell(self, asker: int, message: m.Message) -> None:
        """Take what is no answer."""


class NoAnswers:
    """Drops every answer and keeps the texts of the errors among them."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def reply(self, *_arguments: Any, **_named: Any) -> None:
        """Drop a response."""

    def reply_own(self, *_arguments: Any, **_named: Any) -> None:
        """Drop a response."""

    def own_block(self, *_arguments: Any) -> None:
        """There is none."""
        return

    def end(self, *_arguments: Any) -> None:
        """Drop it."""

    def reserve(self, outputs: list[tuple[str, str, tuple[int, ...]]], *_arguments: Any) -> Reservation:
        """Arrays of this process's own memory."""
        return Reservation(None, (), [np.empty(shape, NUMPY[datatype]) for _, datatype, shape in outputs])

    def reply_reserved(self, *_arguments: Any) -> None:
        """Drop a response."""

    def give_back(self, *_arguments: Any) -> None:
        """Drop the arrays."""

    def fail(self, _asker: int, _request_id: int, error: TisError, /, **_named: Any) -> None:
        """Keep the text, without the request's id: nobody gave one."""
        self.errors.append(error.message.removeprefix(id_prefix("")))

    def tell(self, *_arguments: Any) -> None:
        """Drop it."""
