"""What a peer may send to this server, and how it is told so: the server's first frames (RFC 9113, 3.4 and 6.5.2)."""

from typing import Final

from tis_frontend.http2 import frames as f

#: What a peer may send without being given room anew, on a stream and in all.
STREAM_WINDOW_BYTES: Final = 1 << 20
CONNECTION_WINDOW_BYTES: Final = 16 << 20
MOST_STREAMS: Final = 1024
MOST_HEADER_BYTES: Final = 16 << 10
#: Of the fields of all streams that are open; as many streams as there may be have 4 KiB each.
MOST_OPEN_HEADER_BYTES: Final = 4 << 20
#: Frames of this size at most are taken: larger ones save little and hold up the others on the connection.
FRAME_BYTES: Final = 64 << 10
MOST_BLOCK_BYTES: Final = 2 * MOST_HEADER_BYTES
PRIORITY_BYTES: Final = 5
DRAIN_PING: Final = b"tisdrain"
OUR_SETTINGS: Final = f.settings(
    {
        f.MAX_CONCURRENT_STREAMS: MOST_STREAMS,
        f.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
        f.MAX_FRAME_SIZE: FRAME_BYTES,
        f.MAX_HEADER_LIST_SIZE: MOST_HEADER_BYTES,
    }
)
OUR_WINDOW: Final = f.window_update(0, CONNECTION_WINDOW_BYTES - f.DEFAULT_WINDOW_BYTES)
