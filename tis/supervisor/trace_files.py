"""The files that traces are written to, in Triton's form: a JSON array of pieces that name the trace they belong to.

The supervisor alone writes, so that traces of several frontends share a file without mixing. A trace that cannot be
written is lost and the log says so once for each file; requests are never concerned.
"""

from itertools import count
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from tis.contracts import messages as m
from tis.log import get_logger

#: Traces that may wait for their file to be complete; a file that is to hold more is written in parts.
MOST_BUFFERED: Final = 50_000
#: The same in bytes, which traces of tensors reach first.
MOST_BUFFERED_BYTES: Final = 64 << 20

#: Events of a trace that its tensors stand behind: the request has been begun and queued.
_BEFORE_TENSORS: Final = 2

_log = get_logger(__name__)


def rendered(number: int, trace: m.Trace) -> bytes:
    """The pieces of a trace, with commas between them and no brackets around them; empty for a trace of nothing."""
    pieces = [_event(number, *event) for event in trace.arrival]
    if trace.events:
        head: dict[str, Any] = {"id": number, "model_name": trace.model, "model_version": trace.version}
        if trace.client_id:
            head["request_id"] = trace.client_id
        pieces.append(head)
    pieces += [_event(number, *event) for event in trace.events[:_BEFORE_TENSORS]]
    pieces += [_tensor(number, tensor) for tensor in trace.tensors]
    pieces += [_event(number, *event) for event in trace.events[_BEFORE_TENSORS:]]
    return msgspec.json.encode(pieces)[1:-1]


def _event(number: int, name: str, ns: int) -> dict[str, Any]:
    return {"id": number, "timestamps": [{"name": name, "ns": ns}]}


def _tensor(number: int, tensor: m.TracedTensor) -> dict[str, Any]:
    content = {"name": tensor.name, "data": tensor.data, "shape": tensor.shape, "dtype": tensor.datatype}
    return {"id": number, "activity": tensor.activity, "tensor": content}


class TraceFile:
    """A path: the file of that name, which grows until the server ends, and numbered files, each written at once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._numbers = count()
        self._file: IO[bytes] | None = None
        self._failed = False

    def append(self, traces: list[bytes]) -> None:
        """Add to the file without a number."""
        try:
            if self._file is None:
                self._file = Path(self._path).open("wb")  # noqa: SIM115 - closed by `close`
                self._file.write(b"[")
            else:
                self._file.write(b",")
            self._file.write(b",".join(traces))
        except OSError as error:
            self._lost(error)

    def write_numbered(self, traces: list[bytes]) -> None:
        """Write the next numbered file."""
        try:
            with Path(f"{self._path}.{next(self._numbers)}").open("wb") as file:
                file.write(b"[%s]" % b",".join(traces))
        except OSError as error:
            self._lost(error)

    def close(self) -> None:
        """Complete the file without a number."""
        if self._file is None:
            return
        try:
            with self._file as file:
                file.write(b"]")
        except OSError as error:
            self._lost(error)
        self._file = None

    def _lost(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            _log.error("traces cannot be written to '%s': %s", self._path, error.strerror or error)
