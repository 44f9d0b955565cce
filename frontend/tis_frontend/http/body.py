"""The body of a call that is answered whole, within the limit for JSON."""

from starlette.requests import Request

from tis_frontend.http.sizes import json_too_large


async def bounded_body(request: Request, most_bytes: int) -> bytearray:
    """The whole body; one that is too large is read to its end, but not kept.

    Raises:
        TisError: INVALID_ARG for more than `most_bytes`.
        ClientDisconnect: the client has gone before its body was there.
    """
    body = bytearray()
    size_bytes = 0
    async for piece in request.stream():
        size_bytes += len(piece)
        if size_bytes <= most_bytes:
            body += piece
    if size_bytes > most_bytes:
        raise json_too_large(size_bytes, most_bytes)
    return body
