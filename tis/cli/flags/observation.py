"""Flags of metrics and tracing."""

from tis.cli.flag import Append, Flag, FlagGroup, Store
from tis.cli.metrics_setting import METRICS_SETTING
from tis.cli.trace_setting import TRACE_SETTING, old_flag
from tis.cli.values import BOOLEAN, NUMBER, PORT, TEXT

METRICS = FlagGroup(
    "Metrics",
    (
        Flag(
            name="allow-metrics",
            action=Store("allow_metrics", BOOLEAN),
            default="true",
            help="Whether to serve metrics in Prometheus' format.",
        ),
        Flag(
            name="allow-gpu-metrics",
            action=Store("allow_gpu_metrics", BOOLEAN),
            default="true",
            help="Whether the metrics tell about GPUs (needs the extra `gpu`).",
        ),
        Flag(
            name="allow-cpu-metrics",
            action=Store("allow_cpu_metrics", BOOLEAN),
            default="true",
            help="Whether the metrics tell about the processor and the memory.",
        ),
        Flag(
            name="metrics-address",
            action=Store("metrics_address", TEXT),
            help="The address to listen on for metrics; that of HTTP unless given.",
        ),
        Flag(
            name="metrics-port",
            action=Store("metrics_port", PORT),
            default="8002",
            help="The port to listen on for metrics; 0 for any that is free.",
        ),
        Flag(
            name="metrics-interval-ms",
            action=Store("metrics_interval_ms", NUMBER),
            default="2000",
            help="How many milliseconds pass between two looks at the machine.",
        ),
        Flag(
            name="metrics-config",
            action=Append("metrics_config", METRICS_SETTING),
            help="<setting>=<value>: how latencies are reported: counter_latencies, summary_latencies and "
            "histogram_latencies=<boolean>, summary_quantiles=<quantile>:<error>,... Give the flag once for each setting.",
        ),
    ),
)

TRACING = FlagGroup(
    "Tracing",
    (
        Flag(
            name="trace-config",
            action=Append("trace_config", TRACE_SETTING),
            help="<setting>=<value> for all traces: level (OFF, TIMESTAMPS or TENSORS; several add up), rate, count, mode "
            "(triton or opentelemetry); or triton,file=<path> and triton,log-frequency=<count>; or "
            "opentelemetry,url=<url>, opentelemetry,resource=<key>=<value>, opentelemetry,bsp_max_queue_size=<count>, "
            "opentelemetry,bsp_schedule_delay=<ms> and opentelemetry,bsp_max_export_batch_size=<count> (needs the extra "
            "`opentelemetry`). Give the flag once for each setting.",
        ),
    ),
)

DEPRECATED_TRACING = (
    Flag(
        name="trace-file",
        action=Append("old_trace_config", old_flag("file", "string", mode="triton")),
        deprecated_for="--trace-config triton,file=<file>",
        help="The file that traces are written to.",
    ),
    Flag(
        name="trace-level",
        action=Append("old_trace_config", old_flag("level", "string")),
        default="off",
        deprecated_for="--trace-config level=<level>",
        help="What is traced: off, timestamps or tensors.",
    ),
    Flag(
        name="trace-rate",
        action=Append("old_trace_config", old_flag("rate")),
        default="1000",
        deprecated_for="--trace-config rate=<rate>",
        help="One request out of this many is traced.",
    ),
    Flag(
        name="trace-count",
        action=Append("old_trace_config", old_flag("count")),
        default="-1",
        deprecated_for="--trace-config count=<count>",
        help="How many requests are traced at most; -1 for any number.",
    ),
    Flag(
        name="trace-log-frequency",
        action=Append("old_trace_config", old_flag("log-frequency", mode="triton")),
        default="0",
        deprecated_for="--trace-config triton,log-frequency=<count>",
        help="After how many traces a new file is begun; 0 for one file, completed at the end.",
    ),
)
