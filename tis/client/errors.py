"""What can go wrong for a client."""


class ClientError(Exception):
    """The root of all errors of this package."""


class InferenceError(ClientError):
    """The server's answer was an error: `code` by Triton's names (`NOT_FOUND`, `INVALID_ARG`, …), and `text`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"[{code}] {text}")
        self.code = code
        self.text = text


class ConnectionLostError(ClientError):
    """The server did not answer in time, or has been restarted; a request that was under way may have run or not."""


class RefusedError(ConnectionLostError):
    """What is at the address does not let this client in, and will not if it is asked again."""


class StaleError(ClientError):
    """A result, or memory of a client, is used after it was given back."""
