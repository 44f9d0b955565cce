"""Tensor datatypes: their protocol names, config names and element sizes. Their numpy forms are in `arrays`.

Protocol names (`FP32`, `BYTES`) are KServe's; config names (`TYPE_FP32`, `TYPE_STRING`) are ModelConfig's.
"""

from typing import Final

#: Size of one element in bytes, by protocol name. BYTES is variable and stands as 0.
ELEMENT_BYTES: Final[dict[str, int]] = {
    "BOOL": 1,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "FP16": 2,
    "BF16": 2,
    "FP32": 4,
    "FP64": 8,
    "BYTES": 0,
}


def from_config(config_name: str) -> str:
    """Protocol name for a ModelConfig enum name: `TYPE_FP32` gives `FP32`, `TYPE_STRING` gives `BYTES`.

    An unknown or unset type (`TYPE_INVALID`) gives `<invalid>`, as Triton prints it.
    """
    if config_name == "TYPE_STRING":
        return "BYTES"
    name = config_name.removeprefix("TYPE_")
    return name if name in ELEMENT_BYTES else "<invalid>"


def to_config(name: str) -> str:
    """ModelConfig enum name for a protocol name: `BYTES` gives `TYPE_STRING`."""
    return "TYPE_STRING" if name == "BYTES" else f"TYPE_{name}"
