"""What the response cache knows an answer by: a hash of everything that a model may make its answer of. Pure functions.

In it: the model, its version, what its files and config were when it was loaded; of each input, by name, its datatype,
shape and bytes; which outputs are wanted; the client's own parameters, headers handed on among them. Not in it: the
request's id, priority and timeout, which no model sees, and what is said of outputs' form, which a frontend gives them.

Triton's own key is a 64-bit hash of the model, the version and the inputs' bytes only. So there a request may get the answer
to another shape, parameter or choice of outputs, or that of a model that has been replaced; and whoever can send requests
can look for collisions. SHA-256 is the fastest of Python's hashes that withstand that (machines have instructions for it).
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

import msgspec

from tis.contracts.model_spec import ModelSpec

_encoder = msgspec.msgpack.Encoder(order="sorted")


def cache_head(
    spec: ModelSpec,
    inputs: Iterable[tuple[str, str, Sequence[int]]],
    outputs: Iterable[int] | None,
    parameters: Mapping[str, str | int | bool | float],
) -> bytes:
    """The part that stays the same when only the data differ: 32 bytes.

    `inputs` are (name, datatype, shape); `outputs` are positions in the specification, None for all of them.
    """
    wanted = range(len(spec.outputs)) if outputs is None else sorted(set(outputs))
    listed = sorted((name, datatype, list(shape)) for name, datatype, shape in inputs)
    # A type beside each value: 1, 1.0 and true are different parameters.
    typed = {name: (type(value).__name__, value) for name, value in parameters.items()}
    model = (spec.identifier, spec.version, spec.fingerprint, sha256(spec.config).digest())
    packed = _encoder.encode((model, listed, list(wanted), typed))
    return sha256(packed).digest()


def cache_key(head: bytes, data: Iterable[memoryview | bytes]) -> bytes:
    """The key of a request whose inputs' bytes are these, in the order of their names: 32 bytes."""
    hashed = sha256(head)
    for each in data:
        hashed.update(len(each).to_bytes(8, "little"))
        hashed.update(each)
    return hashed.digest()
