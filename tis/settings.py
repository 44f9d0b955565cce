"""What the operator asked for, as plain data: read from flags once, then handed to every process of the server.

Only settings that the server acts on are here. A flag whose feature does not exist yet has no field: the command line
refuses it by name (see `tis.cli.flag_table`).
"""

from typing import Final, Literal, get_args

import msgspec

DEFAULT_HTTP_MAX_INPUT_BYTES: Final = 64 << 20

DEFAULT_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)

#: Triton's two, and one of ours.
LogFormat = Literal["default", "ISO8601", "json"]
LOG_FORMATS: Final = get_args(LogFormat)
ModelControlMode = Literal["none", "poll", "explicit"]
GrpcServer = Literal["native", "grpcio"]
CompressionLevel = Literal["none", "low", "medium", "high"]
RateLimit = Literal["off", "execution_count"]


#: Parts of the HTTP and gRPC interface that can be restricted, by Triton's names.
RESTRICTED_CATEGORIES = (
    "health",
    "metadata",
    "inference",
    "shared-memory",
    "model-config",
    "model-repository",
    "statistics",
    "trace",
    "logging",
)


#: What a trace can tell of a request, in the order in which Triton shows it.
TRACE_LEVELS: Final = ("TIMESTAMPS", "TENSORS")


class Restriction(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of an interface that ask for a header with a certain value."""

    categories: tuple[str, ...]
    header: str
    value: str


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is logged, how a line looks and where it goes. All but `file` may change while the server runs."""

    verbose: int = 0
    info: bool = True
    warning: bool = True
    error: bool = True
    format: LogFormat = "default"
    #: Empty: the console.
    file: str = ""


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one server; the defaults are Triton's."""

    server_id: str = "triton"
    exit_timeout_s: int = 30
    exit_on_error: bool = True

    #: As given, without repeats.
    model_repositories: tuple[str, ...] = ()
    #: Python files whose declared functions are served, too.
    apps: tuple[str, ...] = ()
    model_control_mode: ModelControlMode = "none"
    #: In mode "poll": the time between two looks at the repositories; 0: they are never looked at again.
    repository_poll_s: int = 15
    #: In mode "explicit": what is loaded at start; `*` alone for everything.
    startup_models: tuple[str, ...] = ()
    #: Prefer `configs/<name>.pbtxt` where a model has it; empty: none.
    model_config_name: str = ""
    #: Each repository is a namespace: models of the same name in several of them are served side by side.
    model_namespacing: bool = False
    #: How many models are loaded at the same time, at least 1.
    model_load_thread_count: int = 4
    #: How often a load that failed is tried again.
    model_load_retry_count: int = 0
    #: How many seconds an instance may take to load, unless its model says; 0: any number.
    model_load_timeout_s: int = 0
    auto_complete_config: bool = True
    strict_readiness: bool = True

    allow_http: bool = True
    http_address: str = "0.0.0.0"  # noqa: S104 - Triton's default: every interface
    #: 0: any free port.
    http_port: int = 8000
    #: Bounds JSON, raw bodies and what comes out of compressed ones; tensors sent as binary data are bounded by the pool.
    http_max_input_bytes: int = DEFAULT_HTTP_MAX_INPUT_BYTES
    #: A regular expression; empty: no headers are passed on to models.
    http_header_forward_pattern: str = ""
    http_restricted_apis: tuple[Restriction, ...] = ()
    allow_grpc: bool = True
    grpc_address: str = "0.0.0.0"  # noqa: S104 - Triton's default: every interface
    #: 0: any free port.
    grpc_port: int = 8001
    #: Metadata whose keys match become parameters of a request; empty: none.
    grpc_header_forward_pattern: str = ""
    #: How long a client may stop in the middle of a request or a response, in seconds; 0: as long as it likes.
    stall_timeout_s: int = 60
    #: The transport of gRPC.
    grpc_server: GrpcServer = "native"
    grpc_use_ssl: bool = False
    #: The same, and clients have to show a certificate.
    grpc_use_ssl_mutual: bool = False
    #: PEM files.
    grpc_server_cert: str = ""
    grpc_server_key: str = ""
    grpc_root_cert: str = ""
    grpc_infer_response_compression_level: CompressionLevel = "none"
    grpc_keepalive_time_ms: int = 7_200_000
    grpc_keepalive_timeout_ms: int = 20_000
    grpc_keepalive_permit_without_calls: bool = False
    #: 0: any number.
    grpc_http2_max_pings_without_data: int = 2
    grpc_http2_min_recv_ping_interval_without_data_ms: int = 300_000
    #: 0: any number.
    grpc_http2_max_ping_strikes: int = 2
    #: 0: no limit.
    grpc_max_connection_age_ms: int = 0
    grpc_max_connection_age_grace_ms: int = 0

    #: The headers are gRPC metadata, named `triton-grpc-protocol-<header>` there.
    grpc_restricted_protocols: tuple[Restriction, ...] = ()

    allow_metrics: bool = True
    allow_gpu_metrics: bool = True
    allow_cpu_metrics: bool = True
    #: Empty: that of HTTP.
    metrics_address: str = ""
    #: 0: any free port.
    metrics_port: int = 8002
    #: How often the machine is looked at.
    metrics_interval_ms: float = 2000.0
    #: (setting, value) of `--metrics-config` in the order given.
    metrics_config: tuple[tuple[str, str], ...] = ()

    #: (mode, setting, value) of `--trace-config` and the flags before it, in the order given; the mode may be empty.
    trace_config: tuple[tuple[str, str, str], ...] = ()

    log_verbose: int = 0
    log_info: bool = True
    log_warning: bool = True
    log_error: bool = True
    log_format: LogFormat = "default"
    log_file: str = ""
    #: A file, `-` for where the log goes; empty for none.
    access_log: str = ""

    #: Where Python environments of models are kept that the server has built or unpacked; empty: choose.
    environment_directory: str = ""
    backend_directory: str = "/opt/tritonserver/backends"
    #: (backend, key, value) in the order given; an empty backend means all of them.
    backend_config: tuple[tuple[str, str, str], ...] = ()

    #: (cache, setting, value) in the order given; empty: answers are not kept. See `tis.contracts.cache_config`.
    cache_config: tuple[tuple[str, str, str], ...] = ()

    #: Where other caches than those would be.
    cache_directory: str = "/opt/tritonserver/caches"

    #: Whether instances wait for the resources that their models name.
    rate_limit: RateLimit = "off"
    #: (name, count, device) in the order given; device -1 for each of them. Empty: as much as the neediest instance needs.
    rate_limit_resources: tuple[tuple[str, int, int], ...] = ()

    #: (policy, setting, value) in the order given, see `tis.supervisor.host_policy`.
    host_policies: tuple[tuple[str, str, str], ...] = ()
    #: (GPU, fraction) in the order given: no model is loaded onto a GPU of whose memory more than this is in use.
    model_load_gpu_limits: tuple[tuple[int, float], ...] = ()
    #: As 7.5; GPUs below it are not used. 0: all are.
    min_supported_compute_capability: float = 0.0

    #: Whether clients may have their own memory registered, for tensors that travel by name.
    allow_client_shm: bool = True

    #: Where direct ZeroMQ clients connect: `ipc:///path` or `tcp://<IP address>:<port>`; empty: nowhere.
    zmq_address: str = ""
    #: The file with this server's secret key, and the folder of its clients' public keys; both or neither.
    zmq_server_secret_key_file: str = ""
    zmq_client_keys: str = ""

    #: 0: choose by the machine's cores, see `frontend_count`.
    frontends: int = 0
    #: 0: choose by the machine's memory.
    pool_byte_size: int = 0
    #: How long scheduler and workers look again at most before they sleep; -1: choose by the cores, see `tis.carrier.spin`.
    spin_us: int = -1
    #: Empty: choose.
    runtime_directory: str = ""

    def frontend_count(self, cores: int) -> int:
        """How many frontend processes to run on a machine with so many cores."""
        return self.frontends or max(1, min(4, cores // 2))

    @property
    def exports_spans(self) -> bool:
        """Whether traces are exported as spans of OpenTelemetry, in place of being written to files."""
        modes = [value for _, setting, value in self.trace_config if setting == "mode"]
        return modes[-1:] == ["opentelemetry"]

    @property
    def span_settings(self) -> tuple[tuple[str, str], ...]:
        """(setting, value) of `--trace-config opentelemetry,…` in the order given."""
        return tuple((setting, value) for mode, setting, value in self.trace_config if mode == "opentelemetry")

    @property
    def metrics_host(self) -> str:
        """The address that metrics are served on."""
        return self.metrics_address or self.http_address

    @property
    def metrics_counters(self) -> bool:
        """Whether latencies are told as counters."""
        return dict(self.metrics_config).get("counter_latencies", "true") == "true"

    @property
    def metrics_summaries(self) -> bool:
        """Whether latencies are told as quantiles."""
        return dict(self.metrics_config).get("summary_latencies", "false") == "true"

    @property
    def metrics_histograms(self) -> bool:
        """Whether latencies are told as histograms."""
        return dict(self.metrics_config).get("histogram_latencies", "false") == "true"

    @property
    def metrics_quantiles(self) -> tuple[float, ...]:
        """The quantiles wanted, in the order given."""
        chosen = dict(self.metrics_config).get("summary_quantiles", "")
        return tuple(float(pair.partition(":")[0]) for pair in chosen.split(",") if pair) or DEFAULT_QUANTILES

    @property
    def grpc_encrypted(self) -> bool:
        """Whether gRPC connections are encrypted."""
        return self.grpc_use_ssl or self.grpc_use_ssl_mutual

    @property
    def log(self) -> LogSettings:
        """The part that `tis.log.configure` takes."""
        return LogSettings(
            verbose=self.log_verbose,
            info=self.log_info,
            warning=self.log_warning,
            error=self.log_error,
            format=self.log_format,
            file=self.log_file,
        )
