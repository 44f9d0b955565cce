"""The classification extension over HTTP."""

from typing import Any, Final

from tests.conformance.case import Case, case, infer, infer_binary, tensor


def _ask(model: str, shape: list[int], data: list[Any], **parameters: Any) -> Any:
    return infer(model, {
        "inputs": [tensor("INPUT0", "FP32", shape, data)], "outputs": [{"name": "OUTPUT0", "parameters": parameters}]
    })  # fmt: skip


def _labelled(name: str, rows: int = 1, **parameters: Any) -> Any:
    return infer("labelled", {
        "inputs": [
            tensor("INPUT0", "FP32", [rows, 4], [0.5, 4, -1, 3.25] * rows),
            tensor("INPUT1", "INT32", [rows, 4], [5, -4, 70, 0] * rows),
            tensor("INPUT2", "BYTES", [rows, 4], list("abcd") * rows),
        ],
        "outputs": [{"name": name, "parameters": parameters}],
    })  # fmt: skip


def _of_datatype(datatype: str, tail: bytes, elements: int) -> Any:
    return infer_binary(f"id_{datatype.lower()}", {
        "inputs": [tensor("INPUT0", datatype, [elements], binary_data_size=len(tail))],
        "outputs": [{"name": "OUTPUT0", "parameters": {"classification": 2}}],
    }, tail)  # fmt: skip


CASES: Final[tuple[Case, ...]] = (
    case("best of a row", _labelled("OUTPUT0", classification=1)),
    case("best two", _labelled("OUTPUT0", classification=2)),
    case("all", _labelled("OUTPUT0", classification=4)),
    case("more than there are", _labelled("OUTPUT0", classification=9)),
    case("two rows", _labelled("OUTPUT0", 2, classification=2)),
    case("integers", _labelled("OUTPUT1", classification=3)),
    case("strings", _labelled("OUTPUT2", classification=2)),
    case("as binary", _labelled("OUTPUT0", classification=2, binary_data=True)),
    case("two rows as binary", _labelled("OUTPUT0", 2, classification=2, binary_data=True)),
    case("without labels", _ask("id_fp32", [3], [1, 3, 2], classification=2)),
    case("without labels, with batching", _ask("batched", [2, 4], [1, 2, 3, 4, 8, 7, 6, 5], classification=2)),
    case("flat with labels", _ask("labelled_flat", [4], [1, 3, 2, 9], classification=4)),
    case("of several dimensions", _ask("variable", [2, 2], [1, 3, 2, 9], classification=3)),
    case("of no element", _ask("id_fp32", [0], [], classification=2)),
    case("0 classes", _ask("id_fp32", [3], [1, 3, 2], classification=0)),
    case("a negative number of classes", _ask("id_fp32", [3], [1, 3, 2], classification=-1)),
    case("a string of classes", _ask("id_fp32", [3], [1, 3, 2], classification="2")),
    case("a float of classes", _ask("id_fp32", [3], [1, 3, 2], classification=2.0)),
    case("a bool of classes", _ask("id_fp32", [3], [1, 3, 2], classification=True)),
    case("null of classes", _ask("id_fp32", [3], [1, 3, 2], classification=None)),
    case("a huge number of classes", _ask("id_fp32", [3], [1, 3, 2], classification=2**40)),
    case("large and small values", _ask("id_fp32", [4], [1e10, 1e-10, -1e10, 0.1234567], classification=4)),
    case("UINT8", _of_datatype("UINT8", bytes([1, 250, 3]), 3)),
    case("INT8", _of_datatype("INT8", bytes([1, 250, 3]), 3)),
    case("INT64", _of_datatype("INT64", b"".join(n.to_bytes(8, "little", signed=True) for n in (-5, 2**62)), 2)),
    case("UINT64", _of_datatype("UINT64", b"".join(n.to_bytes(8, "little") for n in (2**64 - 1, 4)), 2)),
    case("UINT16", _of_datatype("UINT16", b"\x01\x00\xff\xff", 2)),
    case("FP16", _of_datatype("FP16", b"\x00\x3c\x00\x40", 2)),
    case("BOOL", _of_datatype("BOOL", b"\0\1", 2)),
    case("FP64", infer("id_fp64", {
        "inputs": [tensor("INPUT0", "FP64", [2], [0.1, 1e300])],
        "outputs": [{"name": "OUTPUT0", "parameters": {"classification": 2}}]})),
)  # fmt: skip
