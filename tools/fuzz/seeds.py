"""What both of the fuzzer's protocols start from."""

import random
import struct
from typing import Final

MODELS: Final = ("simple", "mixed", "strings", "id_fp32")
#: A region that is registered while fuzzing: two inputs of `simple`, then room for its outputs.
REGION: Final = "fuzz"
REGION_BYTES: Final = 256
#: An input of `simple`.
ROW: Final = struct.Struct("<16i")
#: One request out of so many is a good one.
GOOD_EVERY: Final = 12
#: What an error says where nobody has foreseen it: the name of a Python exception.
UNFORESEEN: Final = ("Error: ", "Exception: ")
#: Bytes that mean something in JSON and headers.
_MARKS: Final = b'{}[]",:0123456789-+.eE\\u \r\n\t\x00'
#: Names of members and parameters.
KEYS: Final = (
    *("id", "inputs", "outputs", "parameters", "name", "shape", "datatype", "data", "binary_data_size", "binary_data"),
    *("classification", "shared_memory_region", "shared_memory_offset", "shared_memory_byte_size", "priority"),
    *("timeout", "sequence_id", "sequence_start", "sequence_end", "binary_data_output", "headers", "", "triton_x"),
)


def cut(rng: random.Random, data: bytes) -> bytes:
    """Bytes with a piece changed, taken out or put in."""
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice((0, 0, 1, 1, 1, 2, 4, 8, 64)))
    size_bytes = rng.choice((0, 1, 1, 1, 2, 5))
    new = bytes(rng.choices(_MARKS, k=size_bytes)) if rng.randrange(3) else rng.randbytes(size_bytes)
    return data[:start] + new + data[end:]
