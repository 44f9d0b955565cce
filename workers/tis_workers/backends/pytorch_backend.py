"""PyTorch models: TorchScript (`model.pt`), programs of torch.export and packages of AOTInductor (`model.pt2`), classes.

Parameters of the config are in `pytorch_options.py`, names of inputs and outputs in `pytorch_names.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tis.config.proto import ModelConfig
from tis.contracts.model_spec import InstanceSpec, ModelSignature, ModelSpec, TensorSignature, TensorSpec
from tis.errors import TisError, internal, invalid, not_found, unsupported
from tis_workers.backends.base import Arrays, LoadContext, TensorBackend, Timings
from tis_workers.backends.pytorch_names import input_positions, output_positions
from tis_workers.request import WorkRequest

try:
    import torch
except ImportError as error:
    raise unsupported(
        "the model needs PyTorch, which is not installed; install it with: pip install 'tis[torch]'"
    ) from error

from tis_workers.backends.pytorch_module import RUNTIME, load_module
from tis_workers.backends.pytorch_options import load_operations, read_options
from tis_workers.backends.pytorch_programs import Results, load_program, told
from tis_workers.backends.pytorch_tensors import (
    DATATYPES,
    array_of,
    array_of_strings,
    from_gpu,
    on_gpu,
    pinned_batch,
    register,
    strings_of,
    tensor_of,
)


def load(context: LoadContext) -> "PyTorchBackend":
    """Load the model file of an instance.

    Raises:
        TisError: NOT_FOUND without a file, INTERNAL with PyTorch's text where it refuses the file, INVALID_ARG where the
            config does not fit it.
    """
    return PyTorchBackend(context)


class PyTorchBackend(TensorBackend):
    """One program on one device."""

    def __init__(self, context: LoadContext) -> None:
        spec, path = context.spec, context.model_file
        is_module = ModelConfig.FromString(spec.config).runtime == RUNTIME
        if not is_module and not path.exists():
            raise not_found(f"unable to find '{path}' for model instance '{spec.name}'")
        self._options = read_options(spec.parameters, spec.name)
        self._options.apply(context.threads)
        load_operations(spec)
        self._device = _device(context.instance)
        self._on_gpu = self._device is not None and self._device.type == "cuda"
        self._guard = self._options.guard()
        with self._guard:
            if is_module:
                self._program = load_module(spec, context.version_dir, self._device)
            else:
                self._program = load_program(path, self._device, spec.name)
        self._partial = spec
        if self._program.inputs is None:
            # Nothing can be completed: what does not fit is told now.
            self._bind(spec)

    def signature(self) -> ModelSignature | None:
        """What a program of torch.export declares, by the names of the config where it has some; None for other kinds."""
        program, spec = self._program, self._partial
        if program.inputs is None or program.outputs is None:
            return None
        inputs, outputs = program.inputs, program.outputs
        if spec.inputs or spec.batch_inputs:
            positions = input_positions(spec, program.arguments)
            inputs = tuple(_renamed(inputs[position], name) for name, position in positions.items())
        if spec.outputs:
            outputs = tuple(_renamed(each, name) for name, each in _chosen(spec, outputs).items())
        return ModelSignature(inputs, outputs)

    def serve(self, spec: ModelSpec) -> None:
        """Fix which tensor is which argument."""
        super().serve(spec)
        self._bind(spec)

    def finalize(self) -> None:
        """What the model has put on disk goes."""
        self._program.close()

    def map_pool(self, memory: memoryview) -> None:
        """A GPU copies the inputs of a request that runs alone from where they lie."""
        if self._on_gpu:
            register(memory)

    def _bind(self, spec: ModelSpec) -> None:
        positions = input_positions(spec, self._program.arguments, takes_dict=self._program.takes_dict)
        self._names = sorted(positions, key=positions.__getitem__)
        self._outputs = output_positions(spec)
        self._datatypes = {tensor.name: tensor.datatype for tensor in (*spec.inputs, *spec.outputs)}
        if spec.sequences is not None:
            for state in spec.sequences.states:
                self._datatypes |= {state.input_name: state.datatype, state.output_name: state.datatype}
        self._bf16 = frozenset(name for name, datatype in self._datatypes.items() if datatype == "BF16")
        for side, tensors in (("input", spec.inputs), ("output", spec.outputs)):
            for tensor in tensors:
                _check_strings(spec, side, tensor)

    def execute(self, requests: list[WorkRequest]) -> Timings:
        """As any model of tensors; one that may write to its inputs, or keep them, gets copies. A batch is one anyway."""
        if self._program.touches and self.goes_as_it_is(requests):
            request = requests[0]
            request.inputs = {name: array.copy() for name, array in request.inputs.items()}
        return super().execute(requests)

    def _gather(self, requests: list[WorkRequest], *, beside: bool) -> Arrays:
        return (
            pinned_batch(requests)
            if self._on_gpu and self._shaping is None
            else super()._gather(requests, beside=beside)
        )

    def run(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        """One call of the program."""
        try:
            with self._guard:
                values = [self._value(name, inputs) for name in self._names]
                results = self._program.call(self._names, values)
                answers = self._answers(results, outputs)
                if self._on_gpu:
                    # Copies of inputs out of the pool may be under way still, where no output is the GPU's.
                    torch.cuda.current_stream(self._device).synchronize()
                return answers
        except TisError:
            raise
        except Exception as error:
            raise internal(f"PyTorch execute failure: {told(error)}") from error
        finally:
            if self._on_gpu and self._options.clean_cache:
                torch.cuda.empty_cache()

    def _value(self, name: str, inputs: Arrays) -> Any:
        array = inputs.get(name)
        if array is None:
            raise unsupported(f"input '{name}' was left out, which a PyTorch model does not take")
        if array.dtype == object:
            return strings_of(name, array)
        tensor = tensor_of(array, is_bf16=name in self._bf16)
        return on_gpu(tensor, self._device) if self._on_gpu else tensor

    def _answers(self, results: Results, outputs: Sequence[str]) -> Arrays:
        chosen = [self._result(name, results) for name in outputs]
        answers = zip(outputs, from_gpu(chosen), strict=True)
        return {
            name: array_of_strings(value) if isinstance(value, list) else array_of(value) for name, value in answers
        }

    def _result(self, name: str, results: Results) -> Any:
        if isinstance(results, Mapping) and name in results:
            found = results[name]
        else:
            ordered = list(results.values()) if isinstance(results, Mapping) else results
            position = self._outputs[name]
            if position >= len(ordered):
                raise invalid(
                    f"The output {name} in the model configuration refers to an output index which doesn't exist. This model "
                    f"has {len(ordered)} outputs"
                )
            found = ordered[position]
        configured = self._datatypes[name]
        given = "BYTES" if isinstance(found, list) else DATATYPES.get(found.dtype, str(found.dtype))
        if given != configured:
            raise invalid(
                f"configuration expects datatype TYPE_{configured} for output '{name}', model provides TYPE_{given}"
            )
        if given != "BYTES" and not found.dim():
            raise invalid(f"output '{name}' is a scalar which is not supported.")
        return found


def _device(instance: InstanceSpec) -> Any:
    """Where an instance runs; None for KIND_MODEL, which leaves a model where its file says.

    Raises:
        TisError: UNSUPPORTED for a GPU instance where PyTorch cannot use one.
    """
    if instance.kind == "MODEL":
        return None
    if instance.kind != "GPU":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU only"
        raise unsupported(
            f"a KIND_GPU instance needs a GPU that PyTorch can use; PyTorch {torch.__version__} is built for {built}; "
            "install a build for the machine's CUDA, or use KIND_CPU"
        )
    # The worker sees one GPU only, so that it is number 0 here whatever number the machine gives it.
    return torch.device("cuda", 0)


def _renamed(declared: TensorSignature, name: str) -> TensorSignature:
    return TensorSignature(name, declared.datatype, declared.shape)


def _chosen(spec: ModelSpec, declared: Sequence[TensorSignature]) -> dict[str, TensorSignature]:
    """What the model declares of each output of a config, by keys of its dictionary or by position."""
    by_name = {each.name: each for each in declared}
    found: dict[str, TensorSignature] = {}
    for name, position in output_positions(spec).items():
        if name not in by_name and position >= len(declared):
            raise invalid(
                f"The output {name} in the model configuration refers to an output index which doesn't exist. This model has "
                f"{len(declared)} outputs"
            )
        found[name] = by_name[name] if name in by_name else declared[position]
    return found


def _check_strings(spec: ModelSpec, side: str, tensor: TensorSpec) -> None:
    """A list of strings has one dimension."""
    dims = tensor.shape if tensor.reshape is None else tensor.reshape
    if tensor.datatype == "BYTES" and len(dims) + (spec.max_batch_size > 0) > 1:
        raise internal(
            f"Triton only supports 1 dimensional List of String as {side} for '{tensor.name}' for model '{spec.name}'"
        )
