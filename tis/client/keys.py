"""A client's keys (CURVE), for servers on other machines: files as `zmq.auth.create_certificates` makes them."""

from typing import Any

import zmq
import zmq.auth
from zmq.utils.monitor import parse_monitor_message

from tis.client.errors import RefusedError

#: What a connection's monitor is to tell of: its end, and why it did not come to be.
EVENTS = (
    zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
)


def use_keys(socket: "zmq.Socket[Any]", key_file: str | None, server_key_file: str | None) -> None:
    """Give a socket the client's own key (*.key_secret) and the server's public one (*.key); nothing for None.

    Raises:
        OSError: a file cannot be read.
        ValueError: there is no such key in it, or only one of the two is given.
    """
    if key_file is None and server_key_file is None:
        return
    if key_file is None or server_key_file is None:
        raise ValueError("key_file and server_key_file are to be given together")
    public, secret = zmq.auth.load_certificate(key_file)
    if secret is None:
        raise ValueError(f"{key_file} has no secret key")
    server, _ = zmq.auth.load_certificate(server_key_file)
    socket.curve_publickey, socket.curve_secretkey, socket.curve_serverkey = public, secret, server


def check_refusal(event: list[bytes]) -> None:
    """Raise where the monitor tells that the server does not let this client in.

    Raises:
        RefusedError: it does not, and will not if it is asked again.
    """
    kind = parse_monitor_message(event)["event"]
    if kind == zmq.Event.HANDSHAKE_FAILED_AUTH:
        raise RefusedError("the server does not know this client's key")
    if kind == zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
        raise RefusedError("what is at this address does not speak ZeroMQ as this client does: are keys missing?")
