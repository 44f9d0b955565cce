"""What a declaration is made of: tensors and the way of batching. Wrong ones are refused where they are written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tis.contracts.arrays import NUMPY

#: Protocol names that a function can take and give: numpy has no BF16.
DATATYPES: Final = tuple(name for name in (*NUMPY, "BYTES") if name != "BF16")
_ANY: Final = -1


class DeclarationError(TypeError):
    """A declaration says something that cannot be served; the text says what, and what is expected."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output: protocol name of its datatype, and dims without the batch dimension; -1 is any size."""

    datatype: str
    dims: tuple[int, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Batching:
    """How requests are put together: up to so many items, and how long the first of them waits for more."""

    max_size: int = 8
    delay_us: int = 0


def tensor(datatype: Any, dims: Sequence[int], *, name: str = "") -> Tensor:
    """An input or output of a function.

    Args:
        datatype: `"FP32"`, `"INT64"`, `"BYTES"` and so on, as in the protocol; or a numpy type.
        dims: the shape without the batch dimension, at least one dimension; -1 is any size.
        name: what an output is called where a type annotation describes it.

    Raises:
        DeclarationError: a datatype or shape that does not exist.
    """
    if isinstance(dims, int) or not dims or not all(type(dim) is int and (dim > 0 or dim == _ANY) for dim in dims):
        raise DeclarationError(
            f"a tensor has a list of dims, each -1 (any size) or at least 1, such as [-1] or [3, 224, 224]; got {dims!r}"
        )
    return Tensor(_datatype(datatype), tuple(dims), name)


def batching(max_size: int = 8, delay_us: int = 0) -> Batching:
    """Requests in batches.

    Args:
        max_size: how many items a batch has at most. A request may bring several.
        delay_us: how many microseconds a request may wait for others while an instance is free.

    Raises:
        DeclarationError: a size or delay that makes no sense.
    """
    if type(max_size) is not int or max_size < 1:
        raise DeclarationError(f"batching has a max_size of at least 1; got {max_size!r}")
    if type(delay_us) is not int or delay_us < 0:
        raise DeclarationError(f"batching has a delay_us of at least 0; got {delay_us!r}")
    return Batching(max_size, delay_us)


def _datatype(given: Any) -> str:
    if isinstance(given, str) and given in DATATYPES:
        return given
    if isinstance(given, type) and issubclass(given, str | bytes | np.character):
        return "BYTES"
    if given is not None and not isinstance(given, str):
        try:
            dtype = np.dtype(given)
        except TypeError:
            dtype = None
        for name in DATATYPES:
            if dtype is not None and NUMPY.get(name) == dtype:
                return name
    raise DeclarationError(f"a tensor has one of the datatypes {', '.join(DATATYPES)}; got {given!r}")
