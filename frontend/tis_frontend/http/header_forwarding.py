"""HTTP headers that become parameters of the request: those whose names match `--http-header-forward-pattern`."""

from tis.contracts.inference import Parameter
from tis.errors import invalid
from tis_frontend.http.parameters import RESERVED, RESERVED_PREFIX


def with_headers(parameters: dict[str, Parameter], headers: list[tuple[str, str]]) -> dict[str, Parameter]:
    """Parameters of a request with the headers that are passed on, which come last and so win.

    Raises:
        TisError: INVALID_ARG for a header that would have a meaning of its own as a parameter.
    """
    for name, _ in headers:
        if name in RESERVED or name.startswith(RESERVED_PREFIX):
            raise invalid(f"Header '{name}' is reserved for Triton usage and cannot be forwarded.")
    return parameters | dict(headers)
