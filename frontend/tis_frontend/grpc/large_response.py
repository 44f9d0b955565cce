"""A large ModelInferResponse on its way out: its tensors are sent from where the worker wrote them. Knows no transport."""

from typing import Any, Final

import numpy as np

from tis.contracts.inference import Answer
from tis_frontend.core import Core
from tis_frontend.grpc.wire import varint

#: Responses with so much data are worth it.
LARGE_BYTES: Final = 16 << 10
#: The tag of `raw_output_contents`, field 6 of ModelInferResponse and its last one.
RAW_CONTENTS: Final = b"\x32"


class _Loan:
    """Gives an answer's blocks back when nobody refers to any byte of them any more."""

    def __init__(self, core: Core, answer: Answer) -> None:
        self._core = core
        self._answer = answer

    def __del__(self) -> None:
        self._core.release(self._answer)


class _Lent(np.ndarray[Any, np.dtype[np.uint8]]):
    """Bytes of a block. Whatever is sliced from its memoryview refers to it, and through it to the loan."""

    loan: _Loan | None = None


class LargeResponse:
    """The serialized message in pieces.

    The answer's blocks are held as long as there are references to the pieces, so a transport only has to drop what it has
    written, and nothing has to be told when a connection is lost in the middle.
    """

    __slots__ = ("pieces", "size_bytes")

    def __init__(self, core: Core, answer: Answer, head: bytes) -> None:
        """`head`: all of the message but the tensors. Takes the answer over."""
        loan = _Loan(core, answer)
        self.pieces: list[bytes | memoryview] = [head]
        for tensor in answer.outputs:
            self.pieces.append(RAW_CONTENTS + varint(len(tensor.data)))
            lent = np.frombuffer(tensor.data, np.uint8).view(_Lent)
            lent.loan = loan
            self.pieces.append(lent.data)
        # Nothing else may hold on to the pool's memory, nor be read when it is given back.
        answer.outputs = []
        self.size_bytes = sum(map(len, self.pieces))

    def joined(self) -> bytes:
        """A copy of the whole message."""
        return b"".join(self.pieces)
