"""NVIDIA's own `model_config_pb2`, loaded without gRPC. Only access to the messages lives here, no rule about them.

Facts: the installed `tritonclient` ships the generated module as `tritonclient.grpc.model_config_pb2`. Danger: importing it
by name first runs `tritonclient/grpc/__init__.py`, which imports grpc, and the supervisor must stay free of grpc. Decision:
load that one file by its path and leave it out of `sys.modules`, where it would break `import tritonclient.grpc.…` for want
of its parent. A later real import in the same process runs the file again, which protobuf allows: it hands out one class per
message type, so both modules hold the very same classes. Cost: we rely on the file's place in the package.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeAlias

#: A message of `model_config.proto`, such as ModelConfig. The package ships no stubs, so checkers cannot see inside.
Message: TypeAlias = Any

_PACKAGE: Final = "tritonclient.grpc"
_NAME: Final = f"{_PACKAGE}.model_config_pb2"


def _load() -> ModuleType:
    """The generated module; loaded from its file unless somebody already imported its package."""
    if _PACKAGE in sys.modules:
        return importlib.import_module(_NAME)
    root = importlib.util.find_spec("tritonclient")
    for folder in root.submodule_search_locations or () if root else ():
        path = Path(folder) / "grpc" / "model_config_pb2.py"
        spec = importlib.util.spec_from_file_location(_NAME, path) if path.is_file() else None
        if spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ImportError(f"{_NAME} not found: install tritonclient, which carries Triton's model_config.proto", name=_NAME)


model_config_pb2: Final[Any] = _load()
ModelConfig: Final[Any] = model_config_pb2.ModelConfig
ModelInput: Final[Any] = model_config_pb2.ModelInput
ModelOutput: Final[Any] = model_config_pb2.ModelOutput
ModelInstanceGroup: Final[Any] = model_config_pb2.ModelInstanceGroup


def copy_of(message: Message) -> Message:
    """A deep copy, so that a function can hand back a changed message and leave the caller's alone."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def enum_name(message: Message, field: str) -> str:
    """Name of the value of an enum field: `TYPE_FP32`. A number without a name comes back as digits."""
    return value_name(message.DESCRIPTOR.fields_by_name[field].enum_type, getattr(message, field))


def value_name(enum_type: Any, number: int) -> str:
    """Name of a number in an enum descriptor, or its digits where it has none (proto3 enums are open)."""
    value = enum_type.values_by_number.get(number)
    return str(number) if value is None else str(value.name)


def is_repeated(field: Any) -> bool:
    """True for a repeated or map field descriptor. protobuf 6.31 renamed the question; this asks whichever exists."""
    known = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if known is None else known)


def is_map(field: Any) -> bool:
    """True for a map field descriptor."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)
