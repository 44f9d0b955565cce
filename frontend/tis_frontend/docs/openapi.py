"""The OpenAPI document: every route that the server has, and each ready model's calls with its real inputs.

Built anew for each request from the routes and the model table, so it cannot fall behind either. No handler lives here.
"""

import inspect
import re
from collections.abc import Iterable
from math import prod
from typing import Any, Final

from starlette.routing import BaseRoute, Route

from tis import __version__
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis_frontend.server import Server

_CONVERTER: Final = re.compile(r"\{(\w+):\w+\}")
_NAME: Final = re.compile(r"\{(\w+)\}")
#: Elements of an example beyond which it would hide more than it shows.
_MOST_EXAMPLE_ELEMENTS: Final = 4096

_JSON_TYPES: Final = {
    "BOOL": "boolean",
    "BYTES": "string",
    "FP16": "number",
    "BF16": "number",
    "FP32": "number",
    "FP64": "number",
}
_EXAMPLES: Final[dict[str, Any]] = {"BOOL": True, "BYTES": "text", "FP16": 0.5, "BF16": 0.5, "FP32": 0.5, "FP64": 0.5}


#: The calls without tensors, and in what form their answers come.
_GENERATE_CALLS: Final = {"generate": "application/json", "generate_stream": "text/event-stream"}


def document(server: Server, routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """The whole document as JSON-ready data."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if isinstance(route, Route) and route.include_in_schema:
            path = _CONVERTER.sub(r"{\1}", route.path)
            operations = paths.setdefault(path, {})
            for method in sorted((route.methods or set()) - {"HEAD"}):
                operations[method.lower()] = _operation(route, path)
    for spec in ready_models(server):
        at = f"/v2/models/{server.table.plainest(spec).replace('/', '%2F')}"
        paths[f"{at}/infer"] = {"post": _infer_operation(spec)}
        for name, media_type in _GENERATE_CALLS.items():
            paths[f"{at}/{name}"] = {"post": _generate_operation(spec, name, media_type)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": server.settings.server_id,
            "version": __version__,
            "description": "KServe v2 inference protocol with Triton's extensions.",
        },
        "paths": paths,
        "components": {"schemas": {"Error": _error_schema()}},
    }


def ready_models(server: Server) -> list[ModelSpec]:
    """The newest ready version of every model, by name."""
    return [server.table.find(name, None).spec for name in server.table.names() if server.table.is_ready(name, None)]


def example_request(spec: ModelSpec) -> dict[str, Any] | None:
    """A small valid infer request of a model; None where JSON cannot carry its inputs or one would be too long to read."""
    inputs: list[dict[str, Any]] = []
    for tensor in spec.inputs:
        if tensor.optional:
            continue
        shape = _example_shape(spec, tensor)
        if tensor.datatype in ("FP16", "BF16") or prod(shape) > _MOST_EXAMPLE_ELEMENTS:
            return None
        data = [_EXAMPLES.get(tensor.datatype, 1)] * prod(shape)
        inputs.append({"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "data": data})
    return {"inputs": inputs}


def example_generate(spec: ModelSpec) -> dict[str, Any] | None:
    """The same request for `generate`: each input is a member, a scalar where it is one element, else a flat list."""
    request = example_request(spec)
    if request is None:
        return None
    members = {each["name"]: each["data"][0] if len(each["data"]) == 1 else each["data"] for each in request["inputs"]}
    # A list without elements has no place in this form.
    return None if [] in members.values() else members


def _example_shape(spec: ModelSpec, tensor: TensorSpec) -> list[int]:
    return ([1] if spec.max_batch_size else []) + [1 if dim < 0 else dim for dim in tensor.shape]


def _operation(route: Route, path: str) -> dict[str, Any]:
    summary = (inspect.getdoc(route.endpoint) or route.name.strip("_").replace("_", " ")).split("\n", 1)[0]
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": {"description": "Success"}, "default": _error_response()},
    }
    names = _NAME.findall(path)
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    return operation


def _infer_operation(spec: ModelSpec) -> dict[str, Any]:
    batch = f", batches of up to {spec.max_batch_size}" if spec.max_batch_size else ""
    content: dict[str, Any] = {"schema": _request_schema(spec)}
    example = example_request(spec)
    if example is not None:
        content["example"] = example
    return {
        "summary": f"Infer with {spec.name} (version {spec.version}, {spec.backend}{batch})",
        "tags": ["models"],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "200": {
                "description": "The outputs: " + ", ".join(_tensor_text(spec, each) for each in spec.outputs),
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            "default": _error_response(),
        },
    }


def _generate_operation(spec: ModelSpec, name: str, media_type: str) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": _generate_schema(spec)}
    example = example_generate(spec)
    if example is not None:
        content["example"] = example
    how = "as server-sent events, one for each response" if name == "generate_stream" else "as one JSON object"
    return {
        "summary": f"Infer with {spec.name} without tensors, the answer {how}",
        "tags": ["models"],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "200": {
                "description": "The outputs by name: " + ", ".join(_tensor_text(spec, each) for each in spec.outputs),
                "content": {media_type: {"schema": {"type": "object" if name == "generate" else "string"}}},
            },
            "default": _error_response(),
        },
    }


def _generate_schema(spec: ModelSpec) -> dict[str, Any]:
    members: dict[str, Any] = {"id": {"type": "string"}, "parameters": {"type": "object"}}
    for tensor in spec.inputs:
        element = {"type": _JSON_TYPES.get(tensor.datatype, "integer")}
        members[tensor.name] = {
            "description": _tensor_text(spec, tensor),
            "oneOf": [element, {"type": "array", "items": element}],
        }
    return {
        "type": "object",
        "required": [tensor.name for tensor in spec.inputs if not tensor.optional],
        "properties": members,
        "additionalProperties": {"type": ["string", "number", "boolean"], "description": "A parameter of the request"},
    }


def _request_schema(spec: ModelSpec) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "items": {"oneOf": [_tensor_schema(spec, each) for each in spec.inputs]}},
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": {"enum": [each.name for each in spec.outputs]}},
                },
            },
        },
    }


def _tensor_schema(spec: ModelSpec, tensor: TensorSpec) -> dict[str, Any]:
    return {
        "type": "object",
        "description": _tensor_text(spec, tensor),
        "required": ["name", "datatype", "shape", "data"],
        "properties": {
            "name": {"const": tensor.name},
            "datatype": {"const": tensor.datatype},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "data": {"type": "array", "items": {"type": _JSON_TYPES.get(tensor.datatype, "integer")}},
        },
    }


def _tensor_text(spec: ModelSpec, tensor: TensorSpec) -> str:
    dims = ([-1] if spec.max_batch_size else []) + list(tensor.shape)
    return f"{tensor.name} {tensor.datatype}{dims}"


def _error_response() -> dict[str, Any]:
    return {
        "description": "What was wrong",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _error_schema() -> dict[str, Any]:
    return {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
