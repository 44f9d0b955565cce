"""A worker's reply as the answer that a face renders: where its outputs are to be read. Copies nothing."""

from typing import Final

from tis.contracts import messages as m
from tis.contracts.inference import Answer, OutputTensor, id_prefix
from tis.errors import Code, TisError, internal
from tis.log import get_logger
from tis_shm.pool import Block, Pool, PoolError

_NOTHING: Final = memoryview(b"")

_log = get_logger(__name__)


def answer_of(message: m.Reply | m.Failure, pool: Pool, client_id: str) -> Answer:
    """The answer to a request; the blocks that its outputs lie in are this process's to release."""
    if isinstance(message, m.Failure):
        text = message.text if message.complete else id_prefix(client_id) + message.text
        return Answer([], TisError(Code(message.code), text), final=message.final)
    blocks: tuple[Block, ...] = ()
    if message.blocks:
        blocks = tuple([Block(ref.offset, ref.generation) for ref in message.blocks])
    answer = Answer([], blocks=blocks, parameters=message.parameters, final=message.final)
    if message.outputs is None:
        answer.is_empty = True
        return answer
    own = memoryview(message.data)
    try:
        for ref in message.outputs:
            start, size_bytes = ref.start, ref.size_bytes
            if ref.region:
                tensor = OutputTensor(ref.name, ref.datatype, ref.shape, _NOTHING, True, size_bytes)
            elif blocks:
                tensor = OutputTensor(
                    ref.name, ref.datatype, ref.shape, pool.view(blocks[ref.block], start, size_bytes)
                )
            else:
                tensor = OutputTensor(ref.name, ref.datatype, ref.shape, own[start : start + size_bytes])
            answer.outputs.append(tensor)
    except PoolError as error:
        _log.error("request %s: %s", client_id, error)
        answer.outputs, answer.blocks = [], ()
        answer.error = internal(f"{id_prefix(client_id)}the answer is lost: {error}")
    return answer
