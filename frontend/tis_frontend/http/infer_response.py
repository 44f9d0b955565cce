"""An answer as the HTTP response of an infer call: JSON header, then the binary outputs in the order of the header."""

from typing import Any

import msgspec

from tis.contracts.inference import Answer, OutputTensor, Parameter
from tis_frontend.http import json_tensor, json_text
from tis_frontend.http.infer_request import HttpInfer

_encode = msgspec.json.Encoder().encode


def render(call: HttpInfer, answer: Answer) -> tuple[bytes, bytes, list[memoryview]]:
    """Header lines (without status line and Content-Length), JSON, and the binary parts, which are views into the pool.

    Raises:
        TisError: an output cannot be written as JSON.
    """
    form = [(tensor.name, tensor.datatype, tensor.shape) for tensor in answer.outputs]
    parameters = answer.parameters
    if call.rendered is not None and call.rendered[0] == form and not parameters:
        return call.rendered[1], call.rendered[2], [tensor.data for tensor in answer.outputs if tensor.data]
    request = call.request
    document: dict[str, Any] = {"id": request.client_id} if request.client_id else {}
    document["model_name"] = request.model
    document["model_version"] = str(request.version)
    if parameters:
        document["parameters"] = parameters_json(parameters)
    outputs: list[dict[str, Any]] = []
    blobs: list[memoryview] = []
    all_binary = True
    for tensor in answer.outputs:
        entry: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if tensor.placed:
            pass
        elif call.binary.get(tensor.name, call.all_binary):
            entry["parameters"] = {"binary_data_size": len(tensor.data)}
            if len(tensor.data):
                blobs.append(tensor.data)
        else:
            all_binary = False
            entry["data"] = _json_data(tensor)
        outputs.append(entry)
    document["outputs"] = outputs
    text = _encode(document)
    if not blobs:
        return b"Content-Type: application/json\r\n", text, blobs
    head = b"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: %d\r\n" % len(text)
    if all_binary and not parameters and not any(tensor.datatype == "BYTES" for tensor in answer.outputs):
        call.rendered = (form, head, text)
    return head, text, blobs


def parameters_json(parameters: dict[str, Parameter]) -> dict[str, Any]:
    """Parameters of a response, doubles as Triton prints them."""
    return {
        name: msgspec.Raw(json_text.number(value).encode()) if type(value) is float else value
        for name, value in parameters.items()
    }


def _json_data(tensor: OutputTensor) -> msgspec.Raw:
    return msgspec.Raw(json_tensor.decode(tensor))
