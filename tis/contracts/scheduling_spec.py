"""How a model version's requests are scheduled: plain data derived from its config, parts of a `ModelSpec`. No logic."""

import msgspec


class QueuePolicySpec(msgspec.Struct, frozen=True):
    """`ModelQueuePolicy`: what a level of the queue does with requests that wait long, and how many may wait."""

    #: True: a request whose time is over goes behind all others of its level; False: it is refused.
    delays: bool = False
    default_timeout_us: int = 0
    allow_timeout_override: bool = False
    #: Requests that may wait; 0 for any number.
    max_queue_size: int = 0


class DynamicBatcherSpec(msgspec.Struct, frozen=True):
    """`dynamic_batching`."""

    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_us: int = 0
    preserve_ordering: bool = False
    #: 0: requests have no priorities.
    priority_levels: int = 0
    default_priority_level: int = 0
    default_policy: QueuePolicySpec = QueuePolicySpec()
    #: Policies of single levels; the others have the default one.
    level_policies: dict[int, QueuePolicySpec] = {}


class ControlSpec(msgspec.Struct, frozen=True):
    """An input that the server fills for a sequence's model."""

    name: str
    #: "START", "END", "READY" or "CORRID".
    kind: str
    #: Protocol name: INT32, FP32 or BOOL; for CORRID one of UINT64, INT64, UINT32, INT32, BYTES.
    datatype: str
    #: What the tensor holds when the control is false and when it is true; unused for CORRID.
    false_value: float = 0
    true_value: float = 1


class StateSpec(msgspec.Struct, frozen=True):
    """A tensor that the server keeps for a sequence between its requests."""

    input_name: str
    output_name: str
    datatype: str
    #: Without batch dimension; -1 is any size.
    shape: tuple[int, ...]
    #: The state before the first request: zeros of this shape, or the content of a file in `initial_state/`; without an
    #: initial state given, zeros with 1 for each -1.
    initial_shape: tuple[int, ...] | None = None
    initial_file: str = ""
    use_same_buffer: bool = False
    growable: bool = False


class SequenceBatcherSpec(msgspec.Struct, frozen=True):
    """`sequence_batching`."""

    max_idle_us: int = 1_000_000
    controls: tuple[ControlSpec, ...] = ()
    states: tuple[StateSpec, ...] = ()
    #: False: the direct strategy, a slot of the batch for each sequence; True: the oldest strategy.
    oldest: bool = False
    max_queue_delay_us: int = 0
    #: Direct: how full the slots must be to run before the delay is over, 0 to 1.
    minimum_slot_utilization: float = 0.0
    #: Oldest: sequences that an instance has at once; 0 for its batch size.
    max_candidate_sequences: int = 0
    preferred_batch_sizes: tuple[int, ...] = ()
    preserve_ordering: bool = False
    iterative: bool = False


class EnsembleStepSpec(msgspec.Struct, frozen=True):
    """A step of an ensemble: which model runs, and which of the ensemble's tensors its inputs and outputs are."""

    model: str
    #: -1: the latest one that is ready when the request begins.
    version: int
    #: Names of the model's inputs, and of the ensemble's tensors that they are.
    inputs: dict[str, str]
    outputs: dict[str, str]


class EnsembleSpec(msgspec.Struct, frozen=True):
    """`ensemble_scheduling`."""

    steps: tuple[EnsembleStepSpec, ...]
    #: Requests that may be in one step at once; 0 for any number.
    max_inflight_requests: int = 0


class ResourceSpec(msgspec.Struct, frozen=True):
    """A share of a resource that an instance holds while it runs."""

    name: str
    count: int
    is_global: bool = False


class RateLimitSpec(msgspec.Struct, frozen=True):
    """`rate_limiter` of an instance group."""

    resources: tuple[ResourceSpec, ...] = ()
    #: An instance gets its turn by executions times this; 0 counts as 1.
    priority: int = 0


class BatchInputSpec(msgspec.Struct, frozen=True):
    """`batch_input`: tensors of the batch as a whole, made from an input of its requests."""

    #: As the enum of the config names it, without `BATCH_`: "ELEMENT_COUNT", "ACCUMULATED_ELEMENT_COUNT", …
    kind: str
    names: tuple[str, ...]
    datatype: str
    source: str


class BatchOutputSpec(msgspec.Struct, frozen=True):
    """`batch_output`: outputs that are cut by the shapes of an input of the requests."""

    kind: str
    names: tuple[str, ...]
    source: str


class WarmupInputSpec(msgspec.Struct, frozen=True):
    """An input of a warm-up sample. `source` is "zero", "random" or "file"; "" for none, with which a model does not load."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    source: str
    filename: str = ""


class WarmupSpec(msgspec.Struct, frozen=True):
    """`model_warmup`: a sample to run before the model is ready."""

    name: str
    batch_size: int
    inputs: tuple[WarmupInputSpec, ...]
    #: How often; at least once.
    count: int = 1


class PaddingSpec(msgspec.Struct, frozen=True):
    """Beyond Triton: inputs of differing lengths share a batch, filled up to a common length. See `tis.config.extensions`.

    A length is the size of an input's first variable dimension.
    """

    #: Names of the inputs that are filled up, and the value that fills each.
    inputs: dict[str, float] = {}
    #: Requests share a batch only if their lengths fall below the same of these, ascending; empty: any lengths do.
    bucket_bounds: tuple[int, ...] = ()
    #: Outputs whose first variable dimension has the length of the inputs, and is cut back to the request's own.
    sliced_outputs: tuple[str, ...] = ()


class ExtensionSpec(msgspec.Struct, frozen=True):
    """What a config asks for beyond Triton, through its parameters. Everything is off by default."""

    padding: PaddingSpec | None = None
    #: How long requests may take in all by the operator's wish; the batcher learns how long it may wait. 0: no goal.
    latency_goal_us: int = 0
    #: True: a request's `timeout` covers its execution, too.
    timeout_covers_execution: bool = False
    #: How long an instance may take to load; 0: any time. None: as long as the server's settings say.
    load_limit_s: float | None = None
    #: How long a batch may run; an instance that takes longer is ended and started anew. 0: any time.
    execution_limit_s: float = 0.0
    #: How much memory an instance may have before another takes its place. 0: any amount.
    memory_limit_bytes: int = 0
