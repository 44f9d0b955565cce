"""A request as a backend sees it: input arrays in place, the outputs wanted, and one way to answer."""

from collections.abc import Container, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tis.contracts import messages as m
from tis.contracts.arrays import NUMPY, decode_bytes
from tis.contracts.inference import id_prefix
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.validation import check_bytes_elements
from tis.errors import TisError, internal
from tis_shm.pool import Block, Pool, PoolError
from tis_workers.answers import Answers
from tis_workers.model_inputs import ModelInputs
from tis_workers.output import Lendable, OutputWriter, Parameters, Reservation
from tis_workers.own_blocks import OwnBlock
from tis_workers.regions import ClientRegions, Placements


class WorkRequest:
    """One request of a batch.

    Most models answer once, with `respond`, `respond_reserved` or `fail`. A decoupled one sends any number of responses
    with `respond` and `fail`, and ends with a final one or with `end`; perhaps after its batch is done.
    """

    __slots__ = (
        "_batched",
        "_body",
        "_item",
        "_placements",
        "_writer",
        "answered",
        "batch_size",
        "cancelled",
        "failed",
        "inputs",
        "rescheduled",
        "responses",
        "spec",
        "unfinished",
        "wanted",
    )

    def __init__(
        self,
        spec: ModelSpec,
        item: m.BatchItem,
        pool: Pool,
        writer: Answers,
        regions: ClientRegions,
        owned: ModelInputs | None = None,
    ) -> None:
        """`owned`: what makes the inputs the model's own, where it may write to them and keep them."""
        self._item = item
        self._writer = writer
        self.spec = spec
        self._body = m.decode_body(item.body)
        self._batched = spec.max_batch_size > 0
        self.batch_size = item.batch_size
        #: The last response has been sent; failed: it was an error, and none of the model's own.
        self.answered = False
        self.failed = False
        #: The client does not want the answer any more.
        self.cancelled = False
        #: Set by a backend whose model answers later, or wants the request to run again.
        self.unfinished = False
        self.rescheduled = False
        #: How many responses have been sent.
        self.responses = 0
        #: Where outputs go that the client wants in its own memory; None where it wants none there.
        self._placements: Placements | None = None
        #: Input arrays by name: views into the pool or a client's region, good until the request is answered. BYTES are
        #: object arrays. A model's own are good for as long as it holds them.
        self.inputs: dict[str, npt.NDArray[Any]] = {}
        outputs = spec.outputs
        chosen = self._body.outputs
        #: The outputs to answer with.
        self.wanted: tuple[TensorSpec, ...] = outputs if chosen is None else tuple(outputs[index] for index in chosen)
        try:
            if self._body.placements:
                self._placements = Placements(regions, spec, self._body.placements)
            self._view_inputs(spec, pool, regions, owned)
        except TisError as error:
            self.fail(error)
        except (PoolError, ValueError) as error:
            self.fail(internal(f"unable to read the inputs of a request for model '{spec.name}': {error}"))

    @property
    def traced(self) -> bool:
        """True where the asker wants to know when the request was computed."""
        return self._body.traced

    def tell_times(self, start_ns: int, input_end_ns: int, output_start_ns: int, end_ns: int) -> None:
        """Say when the request was computed; after the answer."""
        self._writer.tell(
            self._item.asker, m.ComputeTimes(self._item.request_id, start_ns, input_end_ns, output_start_ns, end_ns)
        )

    @property
    def key(self) -> tuple[int, int]:
        """What the asker's cancellation names it by: asker and number."""
        return (self._item.asker, self._item.request_id)

    @property
    def wishes(self) -> m.Wishes | None:
        """Priority, timeout and sequence of the request, where it has any."""
        return self._item.wishes

    @property
    def slot(self) -> int:
        """The slot of its sequence on this instance; -1 outside sequences."""
        return self._item.slot

    @property
    def parameters(self) -> Mapping[str, str | int | bool | float]:
        """The client's own parameters."""
        return self._body.parameters

    @property
    def client_id(self) -> str:
        """The client's id for the request; empty where it gave none."""
        return self._body.client_id

    @property
    def wanted_names(self) -> Container[str]:
        """The names of the outputs to answer with."""
        if self._body.outputs is None:
            return self.spec.outputs_by_name
        return [output.name for output in self.wanted]

    @property
    def writes_over_inputs(self) -> bool:
        """True where the client wants an output in memory that it also gave an input in."""
        return self._placements is not None and self._placements.meet(self._body.inputs)

    def _view_inputs(self, spec: ModelSpec, pool: Pool, regions: ClientRegions, owned: ModelInputs | None) -> None:
        blocks = [Block(ref.offset, ref.generation) for ref in self._body.blocks]
        # A copy, since a model may write to its inputs.
        own = memoryview(b"" if blocks else bytearray(self._body.data))
        for ref in self._body.inputs:
            tensor = spec.inputs[ref.index]
            if ref.region:
                view = regions.view(ref.region, ref.start, ref.size_bytes)
                if tensor.datatype == "BYTES":
                    # Nobody has counted the elements yet, and the client may change them at any moment.
                    view = memoryview(bytes(view))
                    check_bytes_elements(tensor.name, spec.name, ref.shape, view)
            elif blocks:
                view = pool.view(blocks[ref.block], ref.start, ref.size_bytes)
            else:
                view = own[ref.start : ref.start + ref.size_bytes]
            shape = ref.shape
            if tensor.reshape is not None:
                shape = reshaped(shape, tensor.shape, tensor.reshape, batched=self._batched)
            if tensor.datatype == "BYTES":
                self.inputs[tensor.name] = decode_bytes(view, shape)
                continue
            dtype = NUMPY[tensor.datatype]
            if owned is None or not (ref.region or blocks):
                array = np.frombuffer(view, dtype)
            else:
                lent = self._lent(ref, blocks, owned, dtype)
                array = np.frombuffer(view, dtype).copy() if lent is None else lent
            array = array.reshape(shape)
            # A client may send tensors of odd sizes one after another, so that the next one starts anywhere.
            self.inputs[tensor.name] = array if array.flags.aligned else array.copy()

    def _lent(
        self, ref: m.TensorRef, blocks: list[Block], owned: ModelInputs, dtype: "np.dtype[Any]"
    ) -> npt.NDArray[Any] | None:
        """An input that may become the model's own without a copy; None where it has to be copied."""
        if ref.region:
            # What is written there first would change what is read then.
            if self.writes_over_inputs:
                return None
            return owned.of_region(ref.region, ref.start, ref.size_bytes, dtype)
        return owned.of_pool(blocks[ref.block].offset + ref.start, ref.size_bytes, dtype, shared=ref.shared)

    def respond(
        self, outputs: Mapping[str, npt.NDArray[Any]], parameters: Parameters | None = None, *, final: bool = True
    ) -> None:
        """Answer with these outputs; those that were not asked for are left out.

        Raises:
            TisError: an output cannot have its configured shape, or there is no room for the answer.
        """
        chosen = [
            (
                spec.name,
                outputs[spec.name] if spec.reshape is None else self._as_configured(spec, outputs[spec.name]),
                spec.datatype,
            )
            for spec in self.wanted
            if spec.name in outputs
        ]
        try:
            self._reply(chosen, parameters, final=final)
        except TisError as error:
            if self._placements is None:
                raise
            # A place that is too small is this request's own affair; others of its batch are still to be answered.
            self.fail(error)
            return
        self.responses += 1
        self.answered = final

    def _as_configured(self, spec: TensorSpec, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An output in the shape that clients see, where the backend's is another (`reshape`)."""
        try:
            return array.reshape(reshaped(array.shape, spec.reshape or (), spec.shape, batched=self._batched))
        except ValueError:
            raise internal(
                f"output '{spec.name}' has the shape {list(array.shape)}, which does not fit its reshape "
                f"{list(spec.reshape or ())} of dims {list(spec.shape)}"
            ) from None

    def respond_with(
        self,
        outputs: list[tuple[str, npt.NDArray[Any], str]],
        parameters: Parameters | None = None,
        *,
        final: bool = True,
        own: Mapping[str, Lendable] | None = None,
    ) -> None:
        """Answer with (name, array, datatype) outputs in this order; those that were not asked for are left out.

        `own`: the outputs, by name, that lie in blocks already.

        Raises:
            TisError: there is no room, or an array has no datatype of the protocol.
        """
        wanted = self.wanted_names
        chosen = [output for output in outputs if output[0] in wanted]
        if own is None:
            self._reply(chosen, parameters, final=final)
        else:
            item = self._item
            self._writer.reply_own(item.asker, item.request_id, chosen, self._placements, parameters, own, final=final)
        self.responses += 1
        self.answered = final

    def _reply(
        self, outputs: list[tuple[str, npt.NDArray[Any], str]], parameters: Parameters | None, *, final: bool
    ) -> None:
        item, body = self._item, self._body
        self._writer.reply(
            item.asker,
            item.request_id,
            outputs,
            self._placements,
            parameters,
            final=final,
            takes_data=body.takes_data,
        )

    @property
    def pool_writer(self) -> OutputWriter | None:
        """What puts its answer into the pool; None where the answer goes anywhere else."""
        return self._writer if type(self._writer) is OutputWriter else None

    @property
    def has_placements(self) -> bool:
        """Whether the client wants any output in memory of its own."""
        return self._placements is not None

    def respond_lent(self, blocks: list[Block], refs: list[m.OutputRef]) -> None:
        """Answer with outputs that lie in blocks already; only where there is a `pool_writer`."""
        writer = self.pool_writer
        if writer is not None:
            writer.reply_lent(self._item.asker, self._item.request_id, blocks, refs)
            self.answered = True

    def goes_elsewhere(self, name: str) -> bool:
        """Whether the client wants an output in memory of its own."""
        return self._placements is not None and name in self._placements

    def own_block(
        self, dtype: "np.dtype[Any]", shape: tuple[int, ...], size_bytes: int
    ) -> tuple[OwnBlock, npt.NDArray[Any]] | None:
        """An array for an output that is to be filled in place, not empty; None where nobody will read it.

        Raises:
            TisError: there is no room.
        """
        return self._writer.own_block(dtype, shape, size_bytes)

    def end(self) -> None:
        """Say that no more responses will come."""
        self._writer.end(self._item.asker, self._item.request_id)
        self.answered = True

    def reserve(self, outputs: list[tuple[str, str, tuple[int, ...]]]) -> Reservation | None:
        """Arrays for (name, datatype, shape), to be filled and sent with `respond_reserved`.

        They lie in the pool or the client's region. None where an output goes to memory that cannot be written in place.
        """
        return self._writer.reserve(outputs, self._placements)

    def respond_reserved(self, reservation: Reservation) -> None:
        """Answer with arrays that were filled in place."""
        self._writer.reply_reserved(self._item.asker, self._item.request_id, reservation)
        self.answered = True

    def give_back(self, reservation: Reservation) -> None:
        """Free a reservation that is not sent after all."""
        self._writer.give_back(reservation)

    def fail(self, error: TisError, *, verbatim: bool = False, counts: bool = True, final: bool = True) -> None:
        """Answer with an error; the request's id is put before its text, unless that is for the client as it stands.

        A request fails with an error that ends it. One that is followed by more responses, or that does not count, is a
        response like any other.
        """
        text = error.message
        if not verbatim and not text.startswith("[request id: "):
            text = id_prefix(self.client_id) + text
        item = self._item
        self._writer.fail(item.asker, item.request_id, TisError(error.code, text), final=final)
        self.responses += 1
        self.answered = final
        self.failed = final and counts


def reshaped(
    shape: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...], *, batched: bool
) -> tuple[int, ...]:
    """A shape of the dims `before` as one of the dims `after`: the sizes of -1 dimensions are taken over in order.

    Raises:
        ValueError: the shape does not have the dims `before`.
    """
    lead, dims = (shape[:1], shape[1:]) if batched else ((), shape)
    variable = iter([dim for dim, configured in zip(dims, before, strict=True) if configured == -1])
    return lead + tuple(next(variable) if dim == -1 else dim for dim in after)
