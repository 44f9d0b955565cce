"""What gathering and scattering see of a request."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt

from tis.errors import TisError

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

#: What a request is answered with: its part of each output, or why there is none.
Answers = list[dict[str, Array] | TisError]


class Part(Protocol):
    """A request of a batch."""

    #: Items, that is rows of every input; 0 for a model without batching.
    batch_size: int

    @property
    def inputs(self) -> Arrays:
        """Input arrays by name, with the batch dimension first where the model has one."""
