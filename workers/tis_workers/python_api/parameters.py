"""Parameters as models give them, of responses and requests."""

from typing import Any

from tis_workers.python_api.errors import TritonModelException

Parameters = dict[str, str | int | bool | float]


def checked(given: Any) -> Parameters:
    """Parameters that a model gives.

    Raises:
        TritonModelException: not a dictionary, or with keys or values that cannot travel.
    """
    if not isinstance(given, dict):
        raise TritonModelException(f"Expect a dictionary of parameters, got {type(given)}")
    for key, value in given.items():
        if not isinstance(key, str):
            raise TritonModelException(f"Expect parameters keys to have type str, found type {type(key)}")
        if not (_can_travel(key) and (not isinstance(value, str) or _can_travel(value))):
            raise TritonModelException(f"the parameter {key!r} holds text that is not valid Unicode: {value!r}")
        if not isinstance(value, bool | int | str):
            raise TritonModelException(f"Expect parameters values to have type bool/int/str, found type {type(value)}")
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise TritonModelException(f"the parameter '{key}' has the value {value}, which does not fit 64 bits")
    return dict(given)


def _can_travel(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
