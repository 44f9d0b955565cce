"""Python models, the very same on both servers: most run the code that a request brings (see tests.harness.python_models)."""

from typing import Any, Final

from tests.conformance.case import (
    Case,
    Grpc,
    GrpcStream,
    Http,
    Step,
    bytes_element,
    case,
    get,
    grpc_infer,
    grpc_request,
    infer,
    post,
    tensor,
)

_SENDER: Final = "s = request.get_response_sender(); "
_X: Final = "out = [pb.InferenceResponse([pb.Tensor('X', {})])]"
_O: Final = "out = [pb.InferenceResponse([pb.Tensor('OUT', {})])]"


def _code(text: str, *inputs: dict[str, Any], model: str = "code", **more: Any) -> Http:
    shape = [1, 1] if model == "code_batched" else [1]
    return infer(model, {"inputs": [tensor("CODE", "BYTES", shape, [text]), *inputs], **more})


def _call(text: str, model: str = "code", **fields: Any) -> Grpc:
    return grpc_infer(model, *_tensors(text), **fields)


def _stream(*texts: str, model: str = "code_decoupled", empty_final: bool = True) -> GrpcStream:
    parameters = {"triton_enable_empty_final_response": {"bool_param": True}} if empty_final else {}
    return GrpcStream(
        tuple(
            grpc_request(model, *_tensors(text), id=str(number), parameters=parameters)
            for number, text in enumerate(texts)
        )
    )


def _tensors(text: str) -> tuple[list[dict[str, Any]], list[bytes]]:
    return [{"name": "CODE", "datatype": "BYTES", "shape": [1]}], [bytes_element(text.encode())]


def _case(name: str, *steps: Step, masks: tuple[str, ...] = ()) -> Case:
    return case(name, *steps, server="python", masks=("folder of the models", *masks))


def _of(texts: dict[str, str], **more: Any) -> list[Case]:
    return [_case(name, _code(text, **more)) for name, text in texts.items()]


_RAISED: Final = {
    "an exception": "raise ValueError('boom')",
    "an exception without text": "raise ValueError()",
    "an exception of two lines": "raise ValueError('one\\ntwo')",
    "an exception that is its argument": "raise KeyError('k')",
    "an exception of two arguments": "class A(Exception): pass\nraise A('x', 'y')",
    "an exception in a function": "def f():\n  return 1 / 0\ndef g():\n  f()\ng()",
    "an exception from another": "try:\n  1 / 0\nexcept Exception as e:\n  raise RuntimeError('two') from e",
    "a TritonModelException": "raise pb.TritonModelException('mine')",
    "sys.exit": "sys.exit(3)",
    "KeyboardInterrupt": "raise KeyboardInterrupt()",
    "a tensor without a name": "pb.Tensor('', np.zeros(1))",
    "a tensor of complex numbers": "pb.Tensor('a', np.zeros(1, complex))",
    "a tensor of str": "pb.Tensor('a', np.array(['u']))",
    "a tensor of the other byte order": "pb.Tensor('a', np.zeros(1, '>f4'))",
    "strings to DLPack": "request.inputs()[0].to_dlpack()",
}
_RETURNED: Final = {
    "a number is returned": "out = 7",
    "a tuple is returned": "out = (R(1),)",
    "a number in the list": "out = [7]",
    "no response": "out = []",
    "a response too many": "out = [R(1), R(2)]",
    "a tuple of tensors": "out = [pb.InferenceResponse((pb.Tensor('X', np.zeros(2, np.float32)),))]",
    "no outputs": "out = [pb.InferenceResponse()]",
}
_ERRORS: Final = (
    "UNKNOWN",
    "INTERNAL",
    "NOT_FOUND",
    "INVALID_ARG",
    "UNAVAILABLE",
    "UNSUPPORTED",
    "ALREADY_EXISTS",
    "CANCELLED",
)
_OUTPUTS: Final = {
    "outputs in the model's order": (
        "out = [pb.InferenceResponse([pb.Tensor('X', np.zeros(2, np.float32)), pb.Tensor('OUT', np.array([b'1'], object))])]"
    ),
    "an output of an unknown name": "out = [pb.InferenceResponse([pb.Tensor('Q', np.zeros(2, np.float32))])]",
    "an output twice": "out = [R(1, 2)]",
    "an output of another datatype": _X.format("np.zeros((2, 2), np.float64)"),
    "an output without dimensions": _X.format("np.array(3, np.float32)"),
    "an output without elements": _X.format("np.zeros((2, 0), np.float32)"),
    "a transposed output": _X.format("np.arange(6, dtype=np.float32).reshape(2, 3).T"),
    "a BOOL output": _X.format("np.array([True, False])"),
    "strings, numbers and None": _O.format("np.array(['ü', b'b', '', 1, 2.5, None], object)"),
    "numpy's bytes": _O.format("np.array([b'ab', b'c'], 'S3')"),
}
_SENDERS: Final = {
    "sender: one response": _SENDER + "s.send(R('a'), 1)",
    "sender: one response, then the end": _SENDER + "s.send(R('a')); s.send(flags=1)",
    "sender: one response beside None": _SENDER + "s.send(R('a'), 1); out = [None]",
    "sender: one response beside a returned one": _SENDER + "s.send(R('a'), 1); out = [R('b')]",
    "sender: an error": _SENDER
    + "s.send(pb.InferenceResponse(error=pb.TritonError('no', pb.TritonError.NOT_FOUND)), 1)",
    "sender: the end before a response": _SENDER + "s.send(flags=1)",
    "sender: nothing": _SENDER + "s.send()",
    "sender: flags 2": _SENDER + "s.send(R(1), 2)",
    "sender: flags 3": _SENDER + "s.send(R(1), 3)",
}
_STREAMS: Final = {
    "three responses and an end": _SENDER + "[s.send(R(i)) for i in range(3)]; s.send(flags=1)",
    "three responses, the last one final": _SENDER + "s.send(R(0)); s.send(R(1)); s.send(R(2), 1)",
    "no response": _SENDER + "s.send(flags=1)",
    "a response without outputs": _SENDER + "s.send(pb.InferenceResponse()); s.send(flags=1)",
    "an error between responses": _SENDER
    + "s.send(R(1)); s.send(pb.InferenceResponse(error=pb.TritonError('bad'))); s.send(R(2)); s.send(flags=1)",
    "an error at the end": _SENDER + "s.send(R(1)); s.send(pb.InferenceResponse(error=pb.TritonError('bad')), 1)",
    "an exception": "raise ValueError('boom')",
    "a returned list": "out = [R(1)]",
    "a response after the end": _SENDER + "s.send(R(1), 1); s.send(R(2))",
    "a thread": "threading.Thread(target=lambda s: (s.send(R(1)), s.send(R(2)), s.send(flags=1)), "
    "args=(request.get_response_sender(),)).start()",
}
_ECHOED: Final[dict[str, list[Any]]] = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "UINT16": [65535],
    "UINT32": [4294967295],
    "UINT64": [18446744073709551615],
    "INT8": [-128],
    "INT16": [-32768],
    "INT32": [-2147483648],
    "INT64": [-9223372036854775808],
    "FP32": [0.5, -1.25],
    "FP64": [0.1],
    "BYTES": ["ü", ""],
}
_READ: Final = "out = [R(request.request_id(), request.correlation_id(), request.flags(), request.timeout(), request.parameters(), sorted(request.requested_output_names()), request.is_cancelled())]"

CASES: Final = [
    *_of(_RAISED),
    *_of(_RETURNED),
    *_of(_OUTPUTS),
    *_of(_SENDERS),
    *(
        _case(
            f"an error response {name}",
            _code(f"out = [pb.InferenceResponse(error=pb.TritonError('mine', pb.TritonError.{name}))]", id="my"),
            _call(f"out = [pb.InferenceResponse(error=pb.TritonError('mine', pb.TritonError.{name}))]", id="my"),
        )
        for name in _ERRORS
    ),
    _case("an exception, with an id", _code("raise ValueError('boom')", id="my"), _call("raise ValueError('boom')", id="my")),
    _case("what a request tells", _code(_READ)),
    _case("what a request tells, with id and parameters", _code(_READ, id="my", parameters={"a": 1, "b": "x", "c": True, "d": 1.5})),
    _case("one output asked for", _code(_OUTPUTS["outputs in the model's order"], outputs=[{"name": "OUT"}])),
    _case("outputs asked for in another order", _code(_OUTPUTS["outputs in the model's order"], outputs=[{"name": "OUT"}, {"name": "X"}])),
    _case("an optional input", _code("out = [R(sorted(t.name() for t in request.inputs()))]", tensor("F", "FP32", [2], [1, 2]))),
    _case("an optional input is absent", _code("out = [R([t.name() for t in request.inputs()])]")),
    _case("what a tensor tells", _code("t = request.inputs()[1]; out = [R(t.name(), t.shape(), t.is_cpu(), t.as_numpy().dtype, t.as_numpy().flags.writeable, t.__dlpack_device__())]", tensor("F", "FP32", [2], [1, 2]))),
    _case("an input changed in place", _code("a = request.inputs()[1].as_numpy(); a += 1; " + _X.format("a"), tensor("F", "FP32", [2], [1, 2]))),
    _case("names of the interface", _code("out = [R([n for n in ('Tensor', 'InferenceRequest', 'InferenceResponse', 'TritonError', 'TritonModelException', 'Logger', 'ModelConfig', 'TRITONSERVER_RESPONSE_COMPLETE_FINAL', 'TRITONSERVER_REQUEST_RELEASE_ALL', 'TRITONSERVER_REQUEST_RELEASE_RESCHEDULE', 'TRITONSERVER_REQUEST_FLAG_SEQUENCE_START', 'TRITON_STRING_TO_NUMPY', 'get_model_dir', 'get_input_tensor_by_name', 'triton_to_numpy_type', 'deserialize_bytes_tensor') if hasattr(pb, n)])]")),
    _case("numpy's types and Triton's", _code("out = [R([(np.dtype(pb.triton_to_numpy_type(n)).name, pb.numpy_to_triton_type(pb.triton_to_numpy_type(n))) for n in range(1, 14)])]")),
    _case("strings serialized", _code("d = pb.serialize_byte_tensor(np.array([b'a', 'ü', 3], object)); out = [R(d, pb.deserialize_bytes_tensor(d), pb.serialize_byte_tensor(np.array([], object)), pb.serialize_byte_tensor(np.zeros(1)))]")),
    _case("codes of errors", _code("out = [R([(n, int(getattr(pb.TritonError, n))) for n in ('UNKNOWN', 'INTERNAL', 'NOT_FOUND', 'CANCELLED')])]")),
    _case("an error looked at", _code("r = pb.InferenceResponse([], pb.TritonError('e')); out = [R(r.has_error(), r.error().message(), r.output_tensors(), R(1).has_error(), R(1).error())]")),
    _case("arguments of initialize", _code("out = [R(sorted((k, v) for k, v in self.args.items() if k not in ('model_config', 'model_repository')))]")),
    _case("the config that initialize gets", _code("out = [R(self.args['model_config'])]")),
    _case("the module's name", _code("out = [R(type(self).__module__)]")),
    _case("printing", _code("print('said'); out = [R(1)]")),
    _case("logging", _code("pb.Logger.log_info('a'); pb.Logger.log_warn('b'); pb.Logger.log_error('c'); pb.Logger.log_verbose('d'); pb.Logger.log('e', pb.Logger.WARNING); out = [R(1)]")),
    _case("BF16", grpc_infer("py_echo", [{"name": "INBF16", "datatype": "BF16", "shape": [2]}], [b"\x80\x3f\x00\x40"])),
    _case("a batch", infer("py_batched", {"inputs": [tensor("INFP32", "FP32", [2, 2], [1, 2, 3, 4])]})),
    _case("a batch that answers errors", _code("out = [pb.InferenceResponse(error=pb.TritonError('e')) for _ in requests]", model="code_batched")),
    *(
        _case(f"echo: {datatype}", infer("py_echo", {"inputs": [tensor(f"IN{datatype}", datatype, [len(data)], data)]}))
        for datatype, data in _ECHOED.items()
    ),
    *(_case(f"decoupled: {name}", _stream(text)) for name, text in _STREAMS.items() if name not in ("an error at the end", "an exception", "a returned list")),
    *(_case(f"decoupled, no empty end: {name}", _stream(text, empty_final=False)) for name, text in _STREAMS.items() if name not in ("no response", "an error at the end")),
    *(
        _case(f"decoupled, {call}: {name}", post(f"/v2/models/code_decoupled/{call}", {"CODE": text}))
        for call in ("generate", "generate_stream")
        for name, text in _STREAMS.items()
        if name in ("three responses and an end", "three responses, the last one final", "no response", "an error between responses")
    ),
    _case("decoupled: HTTP", _code("pass", model="code_decoupled")),
    _case("decoupled: ModelInfer", _call("pass", "code_decoupled")),
    _case("decoupled: config", get("/v2/models/code_decoupled/config")),
]  # fmt: skip
