"""Inputs and outputs of a function from its type annotations: `Annotated[..., tis.tensor("FP32", [-1])]`.

All or nothing: where annotations are to say it, each of them must.
"""

import inspect
import typing
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from tis.functions.specs import DeclarationError, Tensor

_EXAMPLE: Final = 'Annotated[np.ndarray, tis.tensor("FP32", [-1])]'


def annotated_inputs(called: Callable[..., Any], parameters: list[inspect.Parameter]) -> dict[str, Tensor]:
    """The inputs by parameter.

    Raises:
        DeclarationError: a parameter without a default has no such annotation.
    """
    hints = _hints(called)
    found: dict[str, Tensor] = {}
    for each in parameters:
        tensor = _tensor(hints.get(each.name))
        if tensor is not None:
            found[each.name] = tensor
        elif each.default is each.empty:
            raise DeclarationError(
                f"nothing says what the input '{each.name}' is: name it in `inputs`, or annotate it with {_EXAMPLE}"
            )
    return found


def annotated_outputs(called: Callable[..., Any], *, decoupled: bool) -> dict[str, Tensor]:
    """The outputs by name: `output` for a single one without a name, `output0` and so on for those of a tuple.

    Raises:
        DeclarationError: the return annotation does not describe them.
    """
    hint = _hints(called).get("return")
    if decoupled and get_args(hint):
        hint = get_args(hint)[0]
    single = _tensor(hint)
    if single is not None:
        return {single.name or "output": single}
    parts = get_args(hint) if get_origin(hint) is tuple else ()
    tensors = [_tensor(part) for part in parts]
    named = {each.name or f"output{number}": each for number, each in enumerate(tensors) if each is not None}
    if not parts or len(named) != len(parts):
        raise DeclarationError(
            f"nothing says what the outputs are: name them in `outputs`, or annotate what is returned with {_EXAMPLE} or a "
            "tuple of these"
        )
    return named


def _tensor(hint: Any) -> Tensor | None:
    if get_origin(hint) in (Union, UnionType):
        # Such as `… | None` for an input that may be absent.
        return next((found for found in map(_tensor, get_args(hint)) if found is not None), None)
    if get_origin(hint) is not Annotated:
        return None
    return next((each for each in get_args(hint)[1:] if isinstance(each, Tensor)), None)


def _hints(called: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(called, include_extras=True)
    except (NameError, TypeError) as error:
        raise DeclarationError(f"its type annotations cannot be read: {error}") from None
