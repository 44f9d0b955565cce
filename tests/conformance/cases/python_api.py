"""The interface of Python models, name by name: small programs that say what they see, the very same on both servers."""

from typing import Any, Final

from tests.conformance.case import Case, Http, case, infer, tensor

_CONFIG: Final = "c = json.loads(self.args['model_config']); "
_MADE: Final = "c = pb.ModelConfig(self.args['model_config']); "
_COUNTER: Final = "f = pb.MetricFamily('counted_c', 'C', pb.MetricFamily.COUNTER); m = f.Metric(labels={'a': 'b'}); "
_GAUGE: Final = "f = pb.MetricFamily('counted_g', 'G', pb.MetricFamily.GAUGE); m = f.Metric(); "
_HISTOGRAM: Final = "f = pb.MetricFamily('counted_h', 'H', pb.MetricFamily.HISTOGRAM); m = f.Metric(buckets=[1, 2]); "

#: What a program says, by name.
_SAID: Final = {
    "get_input_config_by_name": _CONFIG + "out = [R(pb.get_input_config_by_name(c, 'F'))]",
    "get_input_config_by_name, unknown": _CONFIG + "out = [R(pb.get_input_config_by_name(c, 'Z'))]",
    "get_input_config_by_name, no inputs": "out = [R(pb.get_input_config_by_name({}, 'Z'))]",
    "get_output_config_by_name": _CONFIG + "out = [R(pb.get_output_config_by_name(c, 'OUT'))]",
    "get_output_config_by_name, unknown": _CONFIG + "out = [R(pb.get_output_config_by_name(c, 'Z'))]",
    "using_decoupled_model_transaction_policy": _CONFIG + "out = [R(pb.using_decoupled_model_transaction_policy(c))]",
    "using_decoupled_model_transaction_policy, true": (
        "out = [R(pb.using_decoupled_model_transaction_policy({'model_transaction_policy': {'decoupled': True}}))]"
    ),
    "triton_string_to_numpy": "out = [R([np.dtype(pb.triton_string_to_numpy(n)).name for n in sorted(pb.TRITON_STRING_TO_NUMPY)])]",
    "triton_string_to_numpy, unknown": "pb.triton_string_to_numpy('TYPE_BF16')",
    "get_input_tensor_by_name": "out = [R(pb.get_input_tensor_by_name(request, 'CODE').name())]",
    "get_input_tensor_by_name, unknown": "out = [R(pb.get_input_tensor_by_name(request, 'Z'))]",
    "get_output_tensor_by_name": "out = [R(pb.get_output_tensor_by_name(R('x'), 'OUT').as_numpy())]",
    "get_output_tensor_by_name, unknown": "out = [R(pb.get_output_tensor_by_name(R('x'), 'Z'))]",
    "get_model_dir": "out = [R(os.path.basename(pb.get_model_dir()), os.path.isfile(os.path.join(pb.get_model_dir(), 'model.py')))]",
    "set_max_batch_size": _MADE + "c.set_max_batch_size(8); out = [R(c.as_dict()['max_batch_size'])]",
    "set_dynamic_batching": _MADE + "c.set_dynamic_batching(); out = [R(c.as_dict()['dynamic_batching'])]",
    "add_input": _MADE + "c.add_input({'name': 'N', 'data_type': 'TYPE_FP32', 'dims': [1]}); out = [R(c.as_dict()['input'][-1])]",
    "add_input, no dims": _MADE + "c.add_input({'name': 'N', 'data_type': 'TYPE_FP32'})",
    "add_input, no name": _MADE + "c.add_input({'data_type': 'TYPE_FP32', 'dims': [1]})",
    "add_input, another property": _MADE + "c.add_input({'name': 'N', 'data_type': 'TYPE_FP32', 'dims': [1], 'x': 1})",
    "add_input, another datatype": _MADE + "c.add_input({'name': 'F', 'data_type': 'TYPE_INT8', 'dims': [-1]})",
    "add_input, other dims": _MADE + "c.add_input({'name': 'F', 'data_type': 'TYPE_FP32', 'dims': [3]})",
    "add_output": _MADE + "c.add_output({'name': 'N', 'data_type': 'TYPE_FP32', 'dims': [1]}); out = [R(c.as_dict()['output'][-1])]",
    "add_output, optional": _MADE + "c.add_output({'name': 'N', 'data_type': 'TYPE_FP32', 'dims': [1], 'optional': True})",
    "set_model_transaction_policy": (
        _MADE + "c.set_model_transaction_policy({'decoupled': True}); out = [R(c.as_dict()['model_transaction_policy'])]"
    ),
    "set_model_transaction_policy, another property": _MADE + "c.set_model_transaction_policy({'x': True})",
    "a tensor's shape": "out = [R(pb.Tensor('a', np.zeros((2, 0, 3), np.int8)).shape(), pb.Tensor('a', np.array(1.0)).shape())]",
    "a tensor that is shared": "a = np.zeros(3, np.float32); t = pb.Tensor('X', a); a[0] = 5; out = [pb.InferenceResponse([t])]",
    "a tensor by way of DLPack": "t = pb.Tensor.from_dlpack('X', pb.Tensor('a', np.arange(3, dtype=np.float32)).to_dlpack()); out = [R(t.name(), t.as_numpy(), t.is_cpu())]",
    "numpy by way of DLPack": "out = [R(np.from_dlpack(pb.Tensor('a', np.arange(3, dtype=np.int16))))]",
    "FP16 and FP64": "out = [R(pb.Tensor('a', np.zeros(1, np.float16)).as_numpy().dtype, pb.Tensor('a', np.zeros(1)).as_numpy().dtype)]",
    "BOOL": "out = [R(pb.Tensor('a', np.array([True])).as_numpy().dtype)]",
    "BYTES of str": "out = [R(pb.Tensor('a', np.array(['x', b'y'], object)).as_numpy())]",
    "an error's code": "out = [R(int(pb.TritonError('x', pb.TritonError.NOT_FOUND).code()), int(pb.TritonError('x').code()))]",
    "an error is no exception": "raise pb.TritonError('x')",
    "a response's outputs": "out = [R([t.name() for t in R(1, 2).output_tensors()])]",
    "flags outside sequences": "out = [R(request.flags(), request.correlation_id(), request.timeout(), request.request_id())]",
    "release flags that are none": "request.set_release_flags(7); out = [R(1)]",
    "a rescheduled request with a response": "request.set_release_flags(2); out = [R(1)]",
    "a log level": "out = [R([int(each) for each in (pb.Logger.INFO, pb.Logger.WARNING, pb.Logger.ERROR, pb.Logger.VERBOSE)])]",
    "a counter": _COUNTER + "m.increment(1.5); m.increment(2); out = [R(m.value())]",
    "a counter decreases": _COUNTER + "m.increment(-1)",
    "a counter is set": _COUNTER + "m.set(1)",
    "a counter observes": _COUNTER + "m.observe(1)",
    "a counter with buckets": _COUNTER + "f.Metric(buckets=[1])",
    "a gauge": _GAUGE + "m.set(4); m.increment(-1.5); out = [R(m.value())]",
    "a gauge observes": _GAUGE + "m.observe(1)",
    "two gauges that are one": _GAUGE + "n = f.Metric(); m.set(3); n.increment(1); out = [R(m.value(), n.value())]",
    "a histogram": _HISTOGRAM + "m.observe(1.5); out = [R(1)]",
    "a histogram's value": _HISTOGRAM + "m.value()",
    "a histogram is incremented": _HISTOGRAM + "m.increment(1)",
    "a histogram without buckets": _HISTOGRAM + "f.Metric()",
    "a histogram with a tuple of buckets": _HISTOGRAM + "f.Metric(buckets=(1, 2))",
    "a metric without its family": _COUNTER + "del f; m.increment(1)",
    "a family of another kind": _COUNTER + "pb.MetricFamily('counted_c', 'C', pb.MetricFamily.GAUGE)",
    "a family's bad name": "pb.MetricFamily('bad name', 'C', pb.MetricFamily.GAUGE)",
    "a metric's bad label": _GAUGE + "f.Metric(labels={'a-b': 'x'})",
    "a metric's label that is a number": _GAUGE + "f.Metric(labels={'a': 1})",
    "preferred memory": "pb.PreferredMemory(pb.TRITONSERVER_MEMORY_GPU, 1); out = [R(int(pb.TRITONSERVER_MEMORY_GPU), int(pb.TRITONSERVER_MEMORY_CPU))]",
    "a trace": "out = [R(hasattr(request.trace(), 'get_context'))]",
}  # fmt: skip
_AWAITED: Final = {
    "a coroutine": "await asyncio.sleep(0.01); out = [R('late')]",
    "a coroutine that raises": "raise ValueError('boom')",
    "a coroutine that raises in a function": "def f():\n  raise KeyError('k')\nf()",
    "a coroutine that returns a number": "out = 7",
    "a coroutine that returns too little": "out = []",
    "a coroutine that sends": "request.get_response_sender().send(R('sent'), 1); out = None",
    "a coroutine of two tasks": "out = [R(await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2)))]",
}


def _asked(text: str, model: str, **more: Any) -> Http:
    return infer(model, {"inputs": [tensor("CODE", "BYTES", [1], [text])], **more})


def _case(name: str, step: Http) -> Case:
    return case(name, step, server="python", masks=("utilities", "folder of the models"))


CASES: Final = [
    *(_case(name, _asked(text, "code")) for name, text in _SAID.items()),
    *(_case(name, _asked(text, "code_async")) for name, text in _AWAITED.items()),
    _case("parameters", _asked("out = [R(sorted(json.loads(request.parameters()).items()))]", "code", parameters={"b": 2, "a": "x"})),
    _case("a wish for time", _asked("out = [R(request.timeout())]", "code", parameters={"timeout": 5_000_000})),
    _case("a request's name", _asked("out = [R(request.request_id())]", "code", id="mine")),
    _case("the wanted outputs", _asked("out = [R(request.requested_output_names())]", "code", outputs=[{"name": "OUT"}])),
]  # fmt: skip
