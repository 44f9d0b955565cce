"""A client for programs on the server's own machine: ZeroMQ, and tensors in shared memory. docs/zeromq.md tells all.

Nothing of the server is imported here; numpy, pyzmq and msgpack are all that it needs.
"""

from tis.client.asynchronous import AsyncClient
from tis.client.errors import ClientError, ConnectionLostError, InferenceError, RefusedError, StaleError
from tis.client.own_regions import AsyncSharedRegion, SharedRegion
from tis.client.result import Result
from tis.client.sync import Client

__all__ = [
    "AsyncClient",
    "AsyncSharedRegion",
    "Client",
    "ClientError",
    "ConnectionLostError",
    "InferenceError",
    "RefusedError",
    "Result",
    "SharedRegion",
    "StaleError",
]
