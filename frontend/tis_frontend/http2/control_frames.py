"""What small frames say, checked as far as that needs no state (RFC 9113, 6.3 to 6.9). Pure functions.

Each raises ProtocolError where the frame breaks a rule in a way that ends the connection.
"""

from tis_frontend.http2 import frames as f
from tis_frontend.http2.frames import Error, ProtocolError


def read_preface(data: bytes | memoryview) -> int:
    """How many bytes of a connection's first ones are the preface; 0 where it has not all come yet (3.4)."""
    begun = bytes(data[: len(f.PREFACE)])
    if not f.PREFACE.startswith(begun):
        raise ProtocolError(Error.PROTOCOL_ERROR, "the connection does not begin with HTTP/2's preface")
    return len(f.PREFACE) if begun == f.PREFACE else 0


def read_settings(flags: int, stream_id: int, payload: memoryview) -> list[tuple[int, int]] | None:
    """Names and values of a SETTINGS frame; None for an acknowledgement."""
    if stream_id:
        raise ProtocolError(Error.PROTOCOL_ERROR, "settings of a stream (6.5)")
    if len(payload) % f.SETTING.size or (flags & f.ACK and payload):
        raise ProtocolError(Error.FRAME_SIZE_ERROR, f"a SETTINGS frame of {len(payload)} bytes (6.5)")
    if flags & f.ACK:
        return None
    values: list[tuple[int, int]] = list(f.SETTING.iter_unpack(payload))
    for name, value in values:
        if name == f.INITIAL_WINDOW_SIZE and value > f.MOST_WINDOW_BYTES:
            raise ProtocolError(Error.FLOW_CONTROL_ERROR, f"an initial window of {value} bytes (6.5.2)")
        if name == f.MAX_FRAME_SIZE and not f.DEFAULT_FRAME_BYTES <= value <= f.MOST_FRAME_BYTES:
            raise ProtocolError(Error.PROTOCOL_ERROR, f"a frame size of {value} (6.5.2)")
        if name == f.ENABLE_PUSH and value > 1:
            raise ProtocolError(Error.PROTOCOL_ERROR, f"SETTINGS_ENABLE_PUSH is {value} (6.5.2)")
    return values


def check_priority(stream_id: int) -> None:
    """The stream of a PRIORITY frame."""
    if not stream_id:
        raise ProtocolError(Error.PROTOCOL_ERROR, "a priority of stream 0 (6.3)")


def check_reset(stream_id: int, last_stream: int, payload: memoryview) -> None:
    """A RST_STREAM frame, where the peer has begun streams up to `last_stream`."""
    if len(payload) != f.WORD.size:
        raise ProtocolError(Error.FRAME_SIZE_ERROR, "a RST_STREAM frame that has not 4 bytes (6.4)")
    if not stream_id or stream_id > last_stream:
        raise ProtocolError(Error.PROTOCOL_ERROR, f"a reset of stream {stream_id}, which is idle (6.4)")


def read_ping(stream_id: int, payload: memoryview) -> bytes:
    """The 8 bytes of a PING frame."""
    if stream_id:
        raise ProtocolError(Error.PROTOCOL_ERROR, "a ping of a stream (6.7)")
    if len(payload) != 8:
        raise ProtocolError(Error.FRAME_SIZE_ERROR, "a PING frame that has not 8 bytes (6.7)")
    return bytes(payload)


def check_goaway(stream_id: int, payload: memoryview) -> None:
    """A GOAWAY frame."""
    if stream_id:
        raise ProtocolError(Error.PROTOCOL_ERROR, "a GOAWAY of a stream (6.8)")
    if len(payload) < 2 * f.WORD.size:
        raise ProtocolError(Error.FRAME_SIZE_ERROR, "a GOAWAY frame of less than 8 bytes (6.8)")


def read_window_update(stream_id: int, last_stream: int, payload: memoryview) -> int:
    """The increment of a WINDOW_UPDATE frame in bytes; 0 only for a stream, whose own error that is."""
    if len(payload) != f.WORD.size:
        raise ProtocolError(Error.FRAME_SIZE_ERROR, "a WINDOW_UPDATE frame that has not 4 bytes (6.9)")
    if stream_id > last_stream:
        raise ProtocolError(Error.PROTOCOL_ERROR, f"a WINDOW_UPDATE of stream {stream_id}, which is idle (5.1)")
    increment: int = f.WORD.unpack(payload)[0] & f.MOST_WINDOW_BYTES
    if not increment and not stream_id:
        raise ProtocolError(Error.PROTOCOL_ERROR, "a WINDOW_UPDATE of nothing (6.9)")
    return increment


def refuse_push(_flags: int, _stream_id: int, _payload: memoryview) -> None:
    """A PUSH_PROMISE frame, which no client may send."""
    raise ProtocolError(Error.PROTOCOL_ERROR, "a client cannot push (8.4)")
