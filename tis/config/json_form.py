"""ModelConfig as JSON, exactly as Triton's `/v2/models/<m>/config` shows it, and JSON text back into a ModelConfig.

The form is protobuf's JSON mapping as the C++ library prints it with defaults, with Triton's corrections on top
(ModelConfigToJson in its core): snake_case names in the order of the .proto file; primitives and repeated fields always
there, absent sub-messages not; enums by name; 64-bit integers as numbers. Everything is plain data: dicts, lists, strings,
numbers and booleans, ready for any JSON writer.
"""

import json
import math
import struct
from typing import Any, Final

from google.protobuf import json_format

from tis.config.proto import Message, ModelConfig, is_map, is_repeated, value_name
from tis.errors import invalid

#: 64-bit fields that Triton leaves as protobuf prints them: as strings.
_QUOTED: Final[frozenset[str]] = frozenset(
    {
        "inference.ModelSequenceBatching.InitialState.dims",
        "inference.ModelOptimizationPolicy.Cuda.GraphSpec.Shape.dim",
        "inference.ModelInstanceGroup.SecondaryDevice.device_id",
    }
)
#: Fields younger than Triton 2.51: shown only where they are set, so that its form stays the same.
_YOUNGER: Final[frozenset[str]] = frozenset({"inference.ModelEnsembling.max_inflight_requests"})


def to_json(config: Message) -> dict[str, Any]:
    """The JSON form of a ModelConfig, in Triton's field order. Map entries come sorted by key."""
    return _message(config)


def without_defaults(config: Message) -> dict[str, Any]:
    """The JSON form with the fields only that are set: as short as somebody would write it."""
    return _set_only(config, to_json(config))


def from_document(document: dict[str, Any]) -> Message:
    """A ModelConfig from the plain data of a JSON or YAML document.

    Raises:
        ValueError: it does not fit.
    """
    config = ModelConfig()
    try:
        json_format.ParseDict(_with_enum_names(document, config.DESCRIPTOR), config)
    except (json_format.Error, TypeError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    return config


def from_json(text: str, *, ignore_unknown: bool = False) -> Message:
    """A ModelConfig from JSON text, as a load override brings it.

    64-bit integers may be numbers or strings, field names snake_case or lowerCamelCase, enum names in any case. Unknown
    fields are refused unless they are to be ignored.

    Raises:
        TisError: INVALID_ARG for text that is not JSON, for an unknown field, and for a value that does not fit its field.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            raise invalid("Invalid config override: expected a JSON object")
        config = ModelConfig()
        json_format.ParseDict(_with_enum_names(document, config.DESCRIPTOR), config, ignore_unknown)
    except (json_format.Error, ValueError, TypeError, RecursionError) as error:
        raise invalid(f"Invalid config override: {error}") from error
    return config


def _set_only(message: Message, shown: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for field, value in message.ListFields():
        said = shown[field.name]
        if field.message_type is None:
            kept[field.name] = said
        elif is_map(field):
            nested = field.message_type.fields_by_name["value"].message_type is not None
            kept[field.name] = {str(key): _set_only(value[key], said[str(key)]) for key in value} if nested else said
        elif is_repeated(field):
            kept[field.name] = [_set_only(*pair) for pair in zip(value, said, strict=True)]
        else:
            kept[field.name] = _set_only(value, said)
    return kept


def _message(message: Message) -> dict[str, Any]:
    """A message's fields in .proto order, but primitive members of a oneof last, as the C++ printer has them."""
    shown: dict[str, Any] = {}
    last: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if is_repeated(field):
            shown[field.name] = _repeated(field, getattr(message, field.name))
        elif field.message_type is not None:
            if message.HasField(field.name):
                shown[field.name] = _message(getattr(message, field.name))
        elif field.containing_oneof is not None:
            if message.HasField(field.name):
                last[field.name] = _scalar(field, getattr(message, field.name))
        elif getattr(message, field.name) or field.full_name not in _YOUNGER:
            shown[field.name] = _scalar(field, getattr(message, field.name))
    return shown | last


def _repeated(field: Any, values: Any) -> Any:
    if is_map(field):
        value_field = field.message_type.fields_by_name["value"]
        return {str(key): _value(value_field, values[key]) for key in sorted(values)}
    return [_value(field, value) for value in values]


def _value(field: Any, value: Any) -> Any:
    return _message(value) if field.message_type is not None else _scalar(field, value)


def _scalar(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        name = value_name(field.enum_type, value)
        return value if name.isdigit() else name
    if isinstance(value, float):
        return _float(value, single=field.type == field.TYPE_FLOAT)
    return str(value) if field.full_name in _QUOTED else value


def _float(value: float, *, single: bool) -> float | int | str:
    """A number with as few digits as its precision needs; whole ones without a fraction. JSON has no word for the rest."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if single:
        # A float32 arrives as the nearest Python float: 1.1 as 1.10000002384. 6 to 9 digits tell every float32 apart.
        packed = struct.pack("<f", value)
        spellings = (float(f"{value:.{digits}g}") for digits in range(6, 10))
        value = next((s for s in spellings if _packs_to(s, packed)), value)
    is_whole = value.is_integer() and abs(value) < 2**53
    return int(value) if is_whole and str(value) != "-0.0" else value


def _packs_to(value: float, packed: bytes) -> bool:
    """True where a Python float becomes these float32 bytes. Rounding up past the largest float32 overflows: no."""
    try:
        return struct.pack("<f", value) == packed
    except OverflowError:
        return False


def _with_enum_names(document: dict[str, Any], descriptor: Any) -> dict[str, Any]:
    """The document with enum names in capitals: Triton reads them in any case, Python's protobuf does not."""
    fields = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    return {name: _enums_in(value, fields[name]) if name in fields else value for name, value in document.items()}


def _enums_in(value: Any, field: Any) -> Any:
    if isinstance(value, list):
        return [_enums_in(item, field) for item in value]
    if is_map(field) and isinstance(value, dict):
        return {key: _enums_in(item, field.message_type.fields_by_name["value"]) for key, item in value.items()}
    if field.enum_type is not None and isinstance(value, str):
        return value.upper()
    if field.message_type is not None and isinstance(value, dict):
        return _with_enum_names(value, field.message_type)
    return value
