"""`@tis.model`: what a function says of itself when it is to be a model. The function itself stays as it is."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, overload

from tis.functions.annotations import annotated_inputs, annotated_outputs
from tis.functions.specs import Batching, DeclarationError, Tensor

_MARK: Final = "__tis_model__"
_IN_NO_NAME: Final = frozenset("/\\\0")

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Declaration:
    """A function, or a class whose objects are called, as a model."""

    name: str
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    #: Inputs that a request may leave out: their parameters have defaults.
    optional: frozenset[str]
    batching: Batching | None
    instances: int
    gpu: bool
    #: It yields responses.
    decoupled: bool
    target: Callable[..., Any]
    #: Where it stands.
    file: str
    line: int

    @property
    def place(self) -> str:
        """For errors."""
        return f"{self.file}:{self.line}"


@overload
def model(target: F, /) -> F: ...


@overload
def model(
    *,
    inputs: Mapping[str, Tensor] | None = None,
    outputs: Mapping[str, Tensor] | None = None,
    batching: bool | Batching = False,
    instances: int = 1,
    gpu: bool = False,
    name: str = "",
) -> Callable[[F], F]: ...


def model(
    target: F | None = None,
    /,
    *,
    inputs: Mapping[str, Tensor] | None = None,
    outputs: Mapping[str, Tensor] | None = None,
    batching: bool | Batching = False,
    instances: int = 1,
    gpu: bool = False,
    name: str = "",
) -> F | Callable[[F], F]:
    """Make a function a model; what it is for its own module does not change.

    The function gets numpy arrays by the names of its parameters, and returns an array where it has one output, a tuple in
    the order of `outputs`, or a dict by their names. With `yield` it is a decoupled model: each is a response. A class is
    made once in each instance; its objects are called.

    Args:
        target: the function, where nothing else is said: then its annotations say all.
        inputs: `tis.tensor` by parameter; where absent, parameters are annotated with `Annotated[..., tis.tensor(...)]`.
            A parameter with a default is an input that requests may leave out.
        outputs: `tis.tensor` by name; where absent, the return annotation says it.
        batching: True or `tis.batching(...)`: arrays have a batch dimension before `dims`, and the function is called
            for several requests at once.
        instances: how many processes run it; with `gpu` on each GPU.
        gpu: whether instances run on GPUs; each sees its own as the only one.
        name: the model's name; the function's where absent.

    Raises:
        DeclarationError: something does not fit the function, with what is expected.
    """

    def declare(function: F) -> F:
        declared = _declared(function, inputs, outputs, batching, instances, gpu, name)
        setattr(function, _MARK, declared)
        return function

    return declare if target is None else declare(target)


def declaration_of(value: object) -> Declaration | None:
    """What `@tis.model` has noted on a function or class itself; None for anything else."""
    found = vars(value).get(_MARK) if hasattr(value, "__dict__") else None
    return found if isinstance(found, Declaration) else None


def _declared(
    function: Callable[..., Any],
    inputs: Mapping[str, Tensor] | None,
    outputs: Mapping[str, Tensor] | None,
    batching: bool | Batching,
    instances: int,
    gpu: bool,
    name: str,
) -> Declaration:
    if not (inspect.isfunction(function) or inspect.isclass(function)):
        raise DeclarationError(f"@tis.model stands before a function or a class; got {function!r}")
    name = name or function.__name__
    called = _called(function, name)
    file, line = _place(function)

    def refused(text: str) -> DeclarationError:
        return DeclarationError(f"model '{name}' ({file}:{line}): {text}")

    if not name or _IN_NO_NAME & set(name) or name.startswith("."):
        raise refused("a model's name is not empty, begins with no dot and has no slash")
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise refused("it is asynchronous; a function of an instance runs one call at a time and is a plain `def`")
    if type(instances) is not int or instances < 1:
        raise refused(f"`instances` is a number from 1 on; got {instances!r}")
    if not isinstance(batching, bool | Batching):
        raise refused(f"`batching` is True, False or `tis.batching(...)`; got {batching!r}")
    decoupled = inspect.isgeneratorfunction(called)
    if batching is not False and decoupled:
        raise refused("a function that yields answers one request at a time; leave `batching` out")
    parameters = _parameters(function, called)
    try:
        taken = dict(inputs) if inputs is not None else annotated_inputs(called, parameters)
        given = dict(outputs) if outputs is not None else annotated_outputs(called, decoupled=decoupled)
    except DeclarationError as error:
        raise refused(str(error)) from None
    for side, tensors in (("inputs", taken), ("outputs", given)):
        if not tensors or not all(isinstance(each, Tensor) for each in tensors.values()):
            raise refused(f"`{side}` has a `tis.tensor(datatype, dims)` for each name, at least one; got {tensors!r}")
    _check_parameters(taken, parameters, refused)
    return Declaration(
        name=name,
        inputs=taken,
        outputs=given,
        optional=frozenset(each.name for each in parameters if each.default is not each.empty and each.name in taken),
        batching=Batching() if batching is True else batching or None,
        instances=instances,
        gpu=gpu,
        decoupled=decoupled,
        target=function,
        file=file,
        line=line,
    )


def _called(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """What is called for a request: the function, or the class's `__call__`."""
    if not inspect.isclass(function):
        return function
    called = vars(function).get("__call__") or next(
        (vars(each)["__call__"] for each in function.__mro__ if "__call__" in vars(each)), None
    )
    if not inspect.isfunction(called):
        raise DeclarationError(
            f"model '{name}': class {function.__name__} has no method `__call__`, which runs a request"
        )
    return called


def _place(function: Callable[..., Any]) -> tuple[str, int]:
    if inspect.isfunction(function):
        return function.__code__.co_filename, function.__code__.co_firstlineno
    try:
        return inspect.getsourcefile(function) or "", inspect.getsourcelines(function)[1]
    except (OSError, TypeError):
        return "", 0


def _parameters(function: Callable[..., Any], called: Callable[..., Any]) -> list[inspect.Parameter]:
    """Without `self`."""
    parameters = list(inspect.signature(called).parameters.values())
    return parameters[1:] if inspect.isclass(function) else parameters


def _check_parameters(
    inputs: Mapping[str, Tensor], parameters: list[inspect.Parameter], refused: Callable[[str], DeclarationError]
) -> None:
    """Every input has a parameter that can be given by name, and every parameter without a default is an input."""
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
    named = {each.name: each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
    for each in parameters:
        if each.kind is each.POSITIONAL_ONLY:
            raise refused(f"parameter '{each.name}' cannot be given by name")
    for name in inputs:
        if name not in named and not takes_all:
            raise refused(f"input '{name}' is no parameter of the function, which has {', '.join(named) or 'none'}")
    for each in parameters:
        if each.name in named and each.default is each.empty and each.name not in inputs:
            raise refused(f"parameter '{each.name}' is no input and has no default")
