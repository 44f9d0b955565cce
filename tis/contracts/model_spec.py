"""What every process needs to know of a model version: plain data derived once, by the supervisor, from its config.

The scheduler, frontends and workers act on these and never parse a config themselves. The completed config travels
along as opaque bytes for those who must show it. No logic lives here beyond derived properties.
"""

from functools import cached_property

import msgspec

from tis.contracts.metrics import FIRST_RESPONSE_BUCKETS_MS
from tis.contracts.namespaces import identifier
from tis.contracts.scheduling_spec import (
    BatchInputSpec,
    BatchOutputSpec,
    DynamicBatcherSpec,
    EnsembleSpec,
    ExtensionSpec,
    RateLimitSpec,
    SequenceBatcherSpec,
    WarmupSpec,
)


class TensorSpec(msgspec.Struct, frozen=True, dict=True):
    """An input or output as configured. `shape` leaves out the batch dimension; -1 is any size."""

    name: str
    datatype: str  # protocol name: "FP32", "BYTES", …
    shape: tuple[int, ...]
    optional: bool = False
    #: Shape as the backend sees it, again without batch dimension; None where it is `shape`.
    reshape: tuple[int, ...] | None = None
    #: Requests whose shapes differ here may still share a batch.
    allow_ragged_batch: bool = False
    #: File of labels, one a line, relative to the model's directory; empty for none.
    label_filename: str = ""
    #: The directory of the model whose labels these are, where that is another one; empty for the model's own.
    label_folder: str = ""

    @cached_property
    def has_variable_dims(self) -> bool:
        """True where some dimension is -1."""
        return -1 in self.shape


class InstanceSpec(msgspec.Struct, frozen=True):
    """One instance of a model version: one worker process."""

    name: str  # `<group>_<n>`, as Triton names them
    kind: str  # "CPU", "GPU" or "MODEL"
    device_id: int = 0
    rate_limit: RateLimitSpec = RateLimitSpec()
    #: A passive instance is loaded and never given anything to run.
    passive: bool = False
    #: The host policy that the group names; empty: the one named after its kind.
    host_policy: str = ""
    #: Optimization profiles of a TensorRT engine that it runs with; empty: the first one.
    profiles: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Its name, with the GPU that it runs on."""
        return f"{self.name}:{self.device_id}" if self.kind == "GPU" else self.name

    def is_but_for_its_name(self, other: "InstanceSpec") -> bool:
        """True where a process that is the one may go on as the other."""
        return msgspec.structs.replace(self, name=other.name) == other


class ModelSpec(msgspec.Struct, frozen=True, dict=True):
    """A model version, completed and checked."""

    name: str
    version: int
    platform: str
    backend: str
    max_batch_size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    #: None: the default scheduler, one execution a request.
    batcher: DynamicBatcherSpec | None = None
    sequences: SequenceBatcherSpec | None = None
    ensemble: EnsembleSpec | None = None
    decoupled: bool = False
    #: The model's directory and the file (or directory) inside the version directory that the backend loads.
    model_path: str = ""
    filename: str = ""
    #: `parameters` of the config, string values only.
    parameters: dict[str, str] = {}
    instances: tuple[InstanceSpec, ...] = ()
    #: The completed ModelConfig, serialized: for metadata answers and for backends that read their own fields of it.
    config: bytes = b""
    #: Labels that its metrics bear besides name and version.
    metric_tags: dict[str, str] = {}
    #: Bounds of the histogram of first responses.
    first_response_buckets_ms: tuple[float, ...] = FIRST_RESPONSE_BUCKETS_MS
    batch_inputs: tuple[BatchInputSpec, ...] = ()
    batch_outputs: tuple[BatchOutputSpec, ...] = ()
    warmups: tuple[WarmupSpec, ...] = ()
    response_cache: bool = False
    #: What its files were when it began to load; empty where nobody asks.
    fingerprint: str = ""
    #: `optimization.priority`: "DEFAULT", "MAX" or "MIN".
    priority: str = "DEFAULT"
    extensions: ExtensionSpec = ExtensionSpec()
    #: Of a Python-based backend: its Python file, which serves all models of the backend.
    backend_file: str = ""
    #: Which load of a model version this is: unlike any other's while the server runs. Requests name it.
    load: int = 0
    #: The repository that it is from, where repositories are namespaces; empty where not.
    namespace: str = ""

    @cached_property
    def identifier(self) -> str:
        """What the server knows the model by: its name, with the namespace that it is in."""
        return identifier(self.namespace, self.name)

    @property
    def key(self) -> tuple[str, int]:
        """Identifier and version: what a request is routed by."""
        return (self.identifier, self.version)

    @property
    def runs_python(self) -> bool:
        """True where a Python class does the work: the model's own, or that of its backend."""
        return self.backend == "python" or bool(self.backend_file)

    @property
    def identity(self) -> tuple[str, int, int]:
        """Identifier, version and load: two loads of a version may serve for a while."""
        return (self.identifier, self.version, self.load)

    @cached_property
    def inputs_by_name(self) -> dict[str, TensorSpec]:
        """Inputs by name."""
        return {spec.name: spec for spec in self.inputs}

    @cached_property
    def outputs_by_name(self) -> dict[str, TensorSpec]:
        """Outputs by name."""
        return {spec.name: spec for spec in self.outputs}

    @cached_property
    def input_positions(self) -> dict[str, int]:
        """Position of each input in the config."""
        return {spec.name: position for position, spec in enumerate(self.inputs)}

    @cached_property
    def output_positions(self) -> dict[str, int]:
        """Position of each output in the config."""
        return {spec.name: position for position, spec in enumerate(self.outputs)}

    @cached_property
    def state_outputs(self) -> tuple[str, ...]:
        """Names of the outputs that are kept as states of sequences, whether or not clients may ask for them."""
        return tuple(state.output_name for state in self.sequences.states) if self.sequences is not None else ()

    @cached_property
    def required_inputs(self) -> frozenset[str]:
        """Names of the inputs that a request must bring."""
        return frozenset(spec.name for spec in self.inputs if not spec.optional)

    @cached_property
    def needs_batch_key(self) -> bool:
        """True where two valid requests may be unable to share a batch."""
        return any(spec.has_variable_dims or spec.optional for spec in self.inputs)


class TensorSignature(msgspec.Struct, frozen=True):
    """An input or output as the model file itself declares it. `shape` includes every dimension; -1 is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelSignature(msgspec.Struct, frozen=True):
    """What a backend read from a model file: the source for completing and checking a config."""

    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]
    #: False where a variable first dimension is not taken for that of a batch unless the config says so.
    first_is_batch: bool = True
